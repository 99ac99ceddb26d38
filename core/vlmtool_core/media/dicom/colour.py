"""The colour path of a picture: samples to RGB, RGB to 8 bits, and an ICC profile to sRGB.

PS3.3 C.7.6.3.1.2 for the colour spaces, C.11.15 for the profile.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.dicom.functional_groups import functional_group
from vlmtool_core.media.dicom.header import text
from vlmtool_core.media.pictures.colour import conversion, profile_notes
from vlmtool_core.records import Json

# Rows: Y, CB and CR of red, green and blue; and what is added to them.
_FULL = np.array([[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5000], [0.5000, -0.4187, -0.0813]])
_PARTIAL = np.array(
    [[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]]
)
_ADDED = {"YBR_FULL": (0, 128, 128), "YBR_PARTIAL": (16, 128, 128)}


def rgb_of(values: np.ndarray, photometric: str, bits: int, path: Path) -> np.ndarray:
    """uint8 RGB (h, w, 3) of the samples of a frame that is in colour.

    photometric : what `values` are, as their decoder left them; bits : of a sample

    Raises
    ------
    DamagedMediaError : there are not three samples per pixel
    """
    if values.ndim != 3 or values.shape[2] < 3:
        shape = " x ".join(str(side) for side in values.shape)
        raise DamagedMediaError(f"{photometric} pixels decode to {shape} values", path=path)
    values = values[:, :, :3]
    full = 2**bits - 1
    for kind in ("YBR_PARTIAL", "YBR_FULL"):
        if photometric.startswith(kind):
            values = _from_ybr(values, kind, full)
    if values.dtype == np.uint8 and bits >= 8:
        return values
    scaled = np.rint(values.astype(np.float64) * (255 / full))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _from_ybr(values: np.ndarray, kind: str, full: int) -> np.ndarray:
    """RGB of the same type; samples of more than 8 bits have their zero point in proportion."""
    matrix = _PARTIAL if kind == "YBR_PARTIAL" else _FULL
    zero = np.array(_ADDED[kind]) * ((full + 1) / 256)
    rgb = (values.astype(np.float64) - zero) @ np.linalg.inv(matrix).T
    return np.clip(np.rint(rgb), 0, full).astype(values.dtype)


def icc_profile(dataset: Any, index: int = 0) -> bytes:
    """The ICC profile that applies to frame `index`, b"" without one.

    It is that of the frame's optical path in whole-slide microscopy (PS3.3 C.8.12.5), else that
    of the object.
    """
    own = dataset.get("ICCProfile")
    if isinstance(own, bytes) and own:
        return own
    paths = list(dataset.get("OpticalPathSequence") or ())
    frame = functional_group(dataset, index, "OpticalPathIdentificationSequence")
    wanted = "" if frame is None else text(frame, "OpticalPathIdentifier")
    chosen = [path for path in paths if text(path, "OpticalPathIdentifier") == wanted] or paths
    profile = chosen[0].get("ICCProfile") if chosen else None
    return profile if isinstance(profile, bytes) else b""


def icc_notes(dataset: Any) -> tuple[str, ...]:
    """What a user must know of a profile that is broken or fits no colour picture."""
    return profile_notes(icc_profile(dataset), "RGB")


def to_srgb(rgb: np.ndarray, profile: bytes, provenance: MutableMapping[str, Json]) -> np.ndarray:
    """uint8 (h, w, 3) in sRGB; as it is, and the provenance says so, where the profile is broken.

    profile : bytes of an ICC profile, b"" for none
    """
    if not profile:
        return rgb
    notes = profile_notes(profile, "RGB")
    if notes:
        provenance["icc"] = {"applied": False, "reason": notes[0]}
        return rgb
    found = conversion(profile)
    provenance["icc"] = {"applied": True, "profile": found.name}
    if found.transform is None:
        return rgb
    from PIL import Image, ImageCms

    shown: Any = ImageCms.applyTransform(
        Image.fromarray(np.ascontiguousarray(rgb)), found.transform
    )
    return np.asarray(shown)

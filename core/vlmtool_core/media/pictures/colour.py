"""Brings pictures of any colour profile to sRGB: the same for the screen, thumbnails and models."""

from __future__ import annotations

import io
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmtool_core.records import Json

if TYPE_CHECKING:
    from PIL.Image import Image

SRGB_GAMMA = 1 / 2.2
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "LAB": "LAB"}
# A profile whose colours differ from sRGB by no more than rounding is not worth the rounding.
_SAME = 1
_PROBE_STEPS = 9


@dataclass(frozen=True)
class Conversion:
    """mode : that pictures must have; transform : of littlecms, None when it changes nothing"""

    mode: str
    name: str
    transform: Any


@lru_cache(maxsize=16)
def conversion(icc: bytes) -> Conversion:
    """From the colours of an ICC profile to sRGB, with the intent that the profile names.

    Raises
    ------
    ValueError : the profile is broken, or of a colour space that no picture here has
    """
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        space = profile.profile.xcolor_space.strip().upper()
        if space not in _SPACES:
            raise ValueError(f"it describes {space or 'no'} colours")
        mode = _SPACES[space]
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.getDefaultIntent(profile)
        # Grey curves are few numbers: interpolating between some of them darkens shadows.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(
            profile, srgb, mode, "RGB", ImageCms.Intent(min(max(intent, 0), 3)), flags
        )
        name = ImageCms.getProfileDescription(profile).strip()
    except (ImageCms.PyCMSError, OSError, TypeError) as error:
        raise ValueError(str(error)) from error
    return Conversion(mode, name, None if _changes_nothing(transform, mode) else transform)


def _changes_nothing(transform: Any, mode: str) -> bool:
    from PIL import Image, ImageCms

    if mode == "RGB":
        steps = np.linspace(0, 255, _PROBE_STEPS).astype(np.uint8)
        probe = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
        expected = probe
    elif mode == "L":
        probe = np.arange(256, dtype=np.uint8)[None]
        expected = np.repeat(probe[:, :, None], 3, axis=2)
    else:
        return False
    shown: Any = ImageCms.applyTransform(Image.fromarray(probe), transform)
    return bool(np.abs(np.asarray(shown).astype(int) - expected).max() <= _SAME)


def profile_notes(icc: object, mode: str) -> tuple[str, ...]:
    """What a user must know of a picture's profile: that it is broken, or of another kind."""
    if not isinstance(icc, bytes) or not icc:
        return ()
    try:
        fits = conversion(icc).mode in _modes_of(mode)
    except ValueError as error:
        return (f"the colour profile is damaged ({error}); it is not applied",)
    return () if fits else ("the colour profile is not for such a picture; it is not applied",)


def _modes_of(mode: str) -> tuple[str, ...]:
    """Profiles that apply to a picture of this Pillow mode."""
    if mode in ("CMYK", "LAB"):
        return (mode,)
    grey = mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;")
    return ("L", "RGB") if grey else ("RGB",)


def to_srgb(image: Image, provenance: MutableMapping[str, Json]) -> Image:
    """An RGB picture of the colours that the profile (or gamma) of `image` means.

    image : L, RGB, CMYK, YCbCr or LAB, without alpha
    """
    icc = image.info.get("icc_profile")
    if isinstance(icc, bytes) and icc and not profile_notes(icc, image.mode):
        found = conversion(icc)
        provenance["profile"] = found.name
        if found.transform is not None:
            return _applied(image, found)
    if image.mode == "LAB":
        return _from_lab(image)
    shown = image if image.mode == "RGB" else image.convert("RGB")
    return _gamma(image, shown, provenance)


def _applied(image: Image, found: Conversion) -> Image:
    from PIL import ImageCms

    matching = image if image.mode == found.mode else image.convert(found.mode)
    converted = ImageCms.applyTransform(matching, found.transform)
    assert converted is not None
    return converted


def _from_lab(image: Image) -> Image:
    return _applied(image, _lab())


@lru_cache(maxsize=1)
def _lab() -> Conversion:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return Conversion("LAB", "CIELab", ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))


def _gamma(image: Image, shown: Image, provenance: MutableMapping[str, Json]) -> Image:
    """PNG's gAMA chunk, where no better word on the colours is there (PNG, 3rd ed., 11.3.2.2)."""
    gamma = image.info.get("gamma")
    stated = "srgb" in image.info or "icc_profile" in image.info
    if stated or not isinstance(gamma, float) or not 0.01 < gamma < 10:
        return shown
    exponent = SRGB_GAMMA / gamma
    if abs(exponent - 1) < 0.05:
        return shown
    provenance["gamma"] = gamma
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(int).tolist()
    return shown.point(table * 3)

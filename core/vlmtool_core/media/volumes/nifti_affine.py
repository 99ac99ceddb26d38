"""From voxel indices of a NIfTI file to the patient: sform, else qform, else nothing.

NIfTI's axes point right, anterior, superior (RAS); DICOM's, and ours, left, posterior,
superior (LPS): x and y change their sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
DIFFERENT_MM = 0.1

_MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
_SMALLEST_MM = 1e-6
# Cosine between axes; less is the rounding of float32.
_SHEARED = 1e-3


@dataclass(frozen=True)
class Placement:
    """Where the voxels lie.

    affine : float64 (4, 4), from voxel (i, j, k, 1) to LPS in mm; None when the file does not
        say it
    voxel_mm : distances of voxels along i, j, k
    source : "sform (scanner)", "qform (mni)", or "" when there is no affine
    """

    affine: np.ndarray | None
    voxel_mm: tuple[float, float, float]
    source: str
    notes: tuple[str, ...] = ()


def placement_of(fields: Any, path: Path) -> Placement:
    """The sform where its code is above 0, else the qform where its is, as nifti1.h advises.

    Raises
    ------
    DamagedMediaError : there is neither a usable transform nor a usable voxel size
    """
    notes: list[str] = []
    scale = _scale(fields, notes)
    sform, qform = _sform(fields, scale, notes), _qform(fields, scale, notes)
    chosen, kind = (sform, "sform") if sform is not None else (qform, "qform")
    if chosen is None:
        notes.append("the file does not say how it lies in the patient (qform and sform are unset)")
        return Placement(None, _pixdim(fields, scale, path), "", tuple(notes))
    if sform is not None and qform is not None:
        corners = _corners(fields)
        apart = float(np.abs((sform - qform) @ corners).max())
        if apart > DIFFERENT_MM:
            notes.append(f"sform and qform differ by up to {apart:.1f} mm; sform is used")
    code = int(fields[f"{kind}_code"])
    sizes = np.linalg.norm(chosen[:3, :3], axis=0)
    axes = chosen[:3, :3] / sizes
    if float(np.abs(axes.T @ axes - np.eye(3)).max()) > _SHEARED:
        notes.append(f"the {kind} shears: the axes are not at right angles, nor are angles true")
    return Placement(
        RAS_TO_LPS @ chosen,
        (float(sizes[0]), float(sizes[1]), float(sizes[2])),
        f"{kind} ({_code_name(code)})",
        tuple(notes),
    )


def _scale(fields: Any, notes: list[str]) -> float:
    unit = int(fields["xyzt_units"]) & 7
    if unit not in _MILLIMETRES:
        notes.append("the file does not say the unit of lengths; it was taken as mm")
    return _MILLIMETRES.get(unit, 1.0)


def _code_name(code: int) -> str:
    from nibabel.nifti1 import xform_codes

    return str(xform_codes.label[code]) if code in xform_codes.label else f"code {code}"


def _sform(fields: Any, scale: float, notes: list[str]) -> np.ndarray | None:
    if int(fields["sform_code"]) <= 0:
        return None
    return _usable(np.asarray(fields.get_sform(), dtype=np.float64), "sform", scale, notes)


def _qform(fields: Any, scale: float, notes: list[str]) -> np.ndarray | None:
    if int(fields["qform_code"]) <= 0:
        return None
    from nibabel.spatialimages import HeaderDataError

    fixed = fields.copy()
    if float(fixed["pixdim"][0]) not in (-1.0, 1.0):
        fixed["pixdim"][0] = 1.0  # nifti1.h: 0 counts as 1
    try:
        found = fixed.get_qform()
    except (HeaderDataError, ValueError) as error:
        notes.append(f"the qform cannot be used: {error}")
        return None
    return _usable(np.asarray(found, dtype=np.float64), "qform", scale, notes)


def _usable(affine: np.ndarray, name: str, scale: float, notes: list[str]) -> np.ndarray | None:
    """The affine in mm; None where it leads nowhere, which is noted."""
    scaled = affine.copy()
    scaled[:3] *= scale
    sizes = np.linalg.norm(scaled[:3, :3], axis=0)
    if np.isfinite(scaled).all() and sizes.min() > _SMALLEST_MM:
        axes = scaled[:3, :3] / sizes
        if abs(np.linalg.det(axes)) > _SMALLEST_MM:
            return scaled
    notes.append(f"the {name} cannot be used: it is not finite, or maps voxels onto one another")
    return None


def _pixdim(fields: Any, scale: float, path: Path) -> tuple[float, float, float]:
    count = min(int(fields["dim"][0]), 3)
    sizes = [abs(float(value)) * scale for value in fields["pixdim"][1 : count + 1]]
    sizes += [scale] * (3 - count)
    if not np.isfinite(sizes).all() or min(sizes) < _SMALLEST_MM:
        raise DamagedMediaError(
            f"pixdim is {[float(v) for v in fields['pixdim'][1:4]]}, and no transform is stated",
            path=path,
            field="pixdim",
        )
    return sizes[0], sizes[1], sizes[2]


def _corners(fields: Any) -> np.ndarray:
    """The eight corners of the volume as voxel indices, (4, 8)."""
    far = [max(int(value) - 1, 0) for value in fields["dim"][1:4]]
    grid = np.array(np.meshgrid(*[(0, end) for end in far])).reshape(3, -1)
    return np.vstack([grid, np.ones(8)])

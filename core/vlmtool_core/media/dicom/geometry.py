"""Where a DICOM frame lies in the patient."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmtool_core.media.base import PlaneGeometry
from vlmtool_core.media.dicom.header import numbers, text
from vlmtool_core.media.dicom.spacing import pixel_spacing
from vlmtool_core.media.dicom.transform import functional_group

_SMALLEST_AXIS = 1e-6


def plane_geometry(dataset: Any, index: int = 0) -> PlaneGeometry | None:
    """The plane of frame `index` (PS3.3 C.7.6.2); None when any part of it is not stated."""
    position = _of(dataset, index, "PlanePositionSequence", "ImagePositionPatient")
    axes = _of(dataset, index, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = pixel_spacing(dataset, index)
    if len(position) != 3 or len(axes) != 6 or spacing is None:
        return None
    row, column = _unit(axes[:3]), _unit(axes[3:])
    if row is None or column is None or not np.isfinite(position).all():
        return None
    return PlaneGeometry(
        (position[0], position[1], position[2]),
        row,
        column,
        (spacing.row_mm, spacing.column_mm),
        text(dataset, "FrameOfReferenceUID"),
    )


def _of(dataset: Any, index: int, group: str, keyword: str) -> list[float]:
    macro = functional_group(dataset, index, group)
    return numbers(dataset if macro is None else macro, keyword)


def _unit(axis: list[float]) -> tuple[float, float, float] | None:
    length = float(np.linalg.norm(axis))
    if not np.isfinite(length) or length < _SMALLEST_AXIS:
        return None
    return axis[0] / length, axis[1] / length, axis[2] / length

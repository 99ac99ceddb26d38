"""Where a DICOM frame lies in the patient."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmtool_core.media.base import PlaneGeometry
from vlmtool_core.media.dicom.functional_groups import functional_group
from vlmtool_core.media.dicom.header import numbers, text
from vlmtool_core.media.dicom.spacing import pixel_spacing
from vlmtool_core.media.volumes.letters import (
    EdgeLetters,
    ends_of,
    letters_of_directions,
    letters_of_plane,
)

_SMALLEST_AXIS = 1e-6
# Cosine between rows and columns; more is no rounding but a broken header.
_SQUARE = 0.01
_SAME_MM = 0.01


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
    if abs(np.dot(row, column)) > _SQUARE:
        return None
    offset = _grid_offset(dataset, index, position[2])
    if offset is None:
        return None
    x, y, z = np.add(position, offset * np.cross(row, column))
    return PlaneGeometry(
        (float(x), float(y), float(z)),
        row,
        column,
        (spacing.row_mm, spacing.column_mm),
        text(dataset, "FrameOfReferenceUID"),
    )


def _grid_offset(dataset: Any, index: int, z: float) -> float | None:
    """How far, in mm along row x column, a frame of a dose grid lies from the position stated.

    0.0 for what is no dose grid; None where GridFrameOffsetVector says nothing that is allowed
    (PS3.3 C.8.8.3.2): offsets, the first of them 0, or the z of straight axial planes.
    """
    offsets = numbers(dataset, "GridFrameOffsetVector")
    if not offsets:
        return 0.0
    if index >= len(offsets) or not np.isfinite(offsets).all():
        return None
    if offsets[0] == 0:
        return offsets[index]
    axes = numbers(dataset, "ImageOrientationPatient")
    straight = [abs(value) for value in axes] == [1, 0, 0, 0, 1, 0]
    if not straight or abs(offsets[0] - z) > _SAME_MM:
        return None
    return (offsets[index] - z) * axes[0] * axes[4]


def edge_letters(dataset: Any, index: int = 0) -> EdgeLetters | None:
    """What lies at the edges of frame `index`; None where the header does not say.

    From ImageOrientationPatient, else from PatientOrientation, which projections have.
    """
    anatomy = text(dataset, "AnatomicalOrientationType").upper()
    axes = _of(dataset, index, "PlaneOrientationSequence", "ImageOrientationPatient")
    row, column = (_unit(axes[:3]), _unit(axes[3:])) if len(axes) == 6 else (None, None)
    if row is not None and column is not None and abs(np.dot(row, column)) <= _SQUARE:
        ends = ends_of(anatomy, text(dataset, "BodyPartExamined"))
        plane = PlaneGeometry((0.0, 0.0, 0.0), row, column, (1.0, 1.0))
        return None if ends is None else letters_of_plane(plane, ends)
    macro = functional_group(dataset, index, "PatientOrientationInFrameSequence")
    stated = (dataset if macro is None else macro).get("PatientOrientation") or ()
    values = [stated] if isinstance(stated, str) else [str(value) for value in stated]
    return letters_of_directions(values, anatomy)


def _of(dataset: Any, index: int, group: str, keyword: str) -> list[float]:
    macro = functional_group(dataset, index, group)
    return numbers(dataset if macro is None else macro, keyword)


def _unit(axis: list[float]) -> tuple[float, float, float] | None:
    length = float(np.linalg.norm(axis))
    if not np.isfinite(length) or length < _SMALLEST_AXIS:
        return None
    return axis[0] / length, axis[1] / length, axis[2] / length

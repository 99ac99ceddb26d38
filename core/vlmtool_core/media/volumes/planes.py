"""Between pixels of a picture and millimetres in the patient, and where two planes meet.

Points of a picture are (x, y) in pixels from its top left corner, so that the centre of the
first pixel, which `PlaneGeometry.position` is, lies at (0.5, 0.5). Points in the patient are
LPS in mm (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

import numpy as np

from vlmtool_core.media.base import PlaneGeometry

Point = tuple[float, float]
Segment = tuple[Point, Point]

_PARALLEL = 1e-6


def to_patient(plane: PlaneGeometry, x: float, y: float) -> np.ndarray:
    """float64 (3,): where a point of the picture lies."""
    row, column = np.array(plane.row), np.array(plane.column)
    across, down = (x - 0.5) * plane.spacing[1], (y - 0.5) * plane.spacing[0]
    return np.array(plane.position) + across * row + down * column


def to_picture(plane: PlaneGeometry, point: np.ndarray) -> tuple[float, float, float]:
    """(x, y) of the point nearest to `point`, and how far in front of the plane that is in mm.

    In front is where `normal` points to.
    """
    away = np.asarray(point, dtype=np.float64) - np.array(plane.position)
    row, column, ahead = np.array(plane.row), np.array(plane.column), normal(plane)
    # Rows and columns need not be quite at right angles.
    across, down, distance = np.linalg.solve(np.column_stack([row, column, ahead]), away)
    x, y = across / plane.spacing[1] + 0.5, down / plane.spacing[0] + 0.5
    return float(x), float(y), float(distance)


def normal(plane: PlaneGeometry) -> np.ndarray:
    """float64 (3,): the unit vector row x column."""
    found = np.cross(plane.row, plane.column)
    unit: np.ndarray = found / np.linalg.norm(found)
    return unit


def comparable(a: PlaneGeometry, b: PlaneGeometry) -> bool:
    """Whether positions of both are of one system: the same, known frame of reference."""
    return bool(a.frame_of_reference) and a.frame_of_reference == b.frame_of_reference


def reference_line(
    a: PlaneGeometry, size_a: tuple[int, int], b: PlaneGeometry, size_b: tuple[int, int]
) -> Segment | None:
    """Where the picture of `b` cuts that of `a`: the ends in pixels of `a`.

    size_a, size_b : (width, height)
    None when they do not meet, are parallel, or cannot be compared.
    """
    if not comparable(a, b) or np.linalg.norm(np.cross(normal(a), normal(b))) < _PARALLEL:
        return None
    corners = [(0, 0), (size_b[0], 0), (size_b[0], size_b[1]), (0, size_b[1])]
    placed = [to_picture(a, to_patient(b, x, y)) for x, y in corners]
    ends = [
        end
        for start, stop in zip(placed, placed[1:] + placed[:1], strict=True)
        if (end := _crossing(start, stop)) is not None
    ]
    if len(ends) < 2:
        return None
    # At a corner two sides give the same end.
    first = ends[0]
    last = max(ends, key=lambda end: (end[0] - first[0]) ** 2 + (end[1] - first[1]) ** 2)
    return _clipped(first, last, size_a)


def _crossing(start: tuple[float, float, float], stop: tuple[float, float, float]) -> Point | None:
    """Where a side, given as (x, y, distance), goes through the plane."""
    before, after = start[2], stop[2]
    if before * after > 0 or before == after:
        return None
    part = before / (before - after)
    return start[0] + part * (stop[0] - start[0]), start[1] + part * (stop[1] - start[1])


def _clipped(start: Point, stop: Point, size: tuple[int, int]) -> Segment | None:
    """The part of a line inside of the picture; None where there is none."""
    first, last = 0.0, 1.0
    for begin, end, most in zip(start, stop, size, strict=True):
        step = end - begin
        if step == 0:
            if not 0 <= begin <= most:
                return None
            continue
        low, high = sorted(((0 - begin) / step, (most - begin) / step))
        first, last = max(first, low), min(last, high)
    if last <= first:
        return None
    across, down = stop[0] - start[0], stop[1] - start[1]
    return (
        (start[0] + first * across, start[1] + first * down),
        (start[0] + last * across, start[1] + last * down),
    )

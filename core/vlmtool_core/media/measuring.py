"""Measurements on a picture: lengths, angles, areas, and the values under a shape.

Points are (x, y) in pixels of the oriented source, origin at the top left corner; the centre of
the pixel in column i is at x = i + 0.5. `spacing` is (row, column) in mm, as in PixelSpacing;
without it, lengths are in pixels and areas in square pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlmtool_core.media.base import PlaneGeometry

Point = tuple[float, float]
Spacing = tuple[float, float]

_UNIT: Spacing = (1.0, 1.0)
_MOST_CROSSINGS = 5000


@dataclass(frozen=True, slots=True)
class RegionStatistics:
    """The values under a shape, padding and what is no number left out.

    count : pixels with a value whose centre lies inside; left_out : those without one
    area : in mm² or square pixels, of the shape itself
    sd : with n - 1 in the denominator, 0 for a single pixel
    """

    count: int
    area: float
    mean: float
    sd: float
    minimum: float
    maximum: float
    left_out: int = 0


def length(points: Sequence[Point], spacing: Spacing | None = None) -> float:
    """Of the line through all points: a distance for two of them.

    Raises
    ------
    ValueError : fewer than two points
    """
    if len(points) < 2:
        raise ValueError("a line needs two points")
    scaled = _scaled(points, spacing)
    return math.fsum(math.dist(a, b) for a, b in itertools.pairwise(scaled))


def angle(arm: Point, vertex: Point, other: Point, spacing: Spacing | None = None) -> float:
    """Degrees between the two arms at `vertex`, 0 to 180.

    Raises
    ------
    ValueError : an arm has no length
    """
    a, v, b = _scaled((arm, vertex, other), spacing)
    return _between((a[0] - v[0], a[1] - v[1]), (b[0] - v[0], b[1] - v[1]))


def cobb_angle(
    first: tuple[Point, Point], second: tuple[Point, Point], spacing: Spacing | None = None
) -> float:
    """Degrees between two lines, 0 to 90, however they were drawn.

    Raises
    ------
    ValueError : a line has no length
    """
    a, b, c, d = _scaled((*first, *second), spacing)
    found = _between((b[0] - a[0], b[1] - a[1]), (d[0] - c[0], d[1] - c[1]))
    return min(found, 180.0 - found)


def polygon_area(points: Sequence[Point], spacing: Spacing | None = None) -> float:
    """Area inside a closed outline, by the even-odd rule where it crosses itself.

    Raises
    ------
    ValueError : fewer than three points, or an outline that crosses itself thousands of times
    """
    if len(points) < 3:
        raise ValueError("an area needs three points")
    ring = np.array(_scaled(points, spacing), np.float64)
    # Not the shoelace formula: it also fails where sides only touch or lie on one another.
    return _even_odd_area(ring, _crossings(ring))


def _crossings(ring: np.ndarray) -> np.ndarray:
    """float64 (k,): y of the points where two sides of the ring (n, 2) cross."""
    start, step = ring, np.roll(ring, -1, axis=0) - ring
    found = []
    for first in range(len(ring) - 2):
        # Sides that follow one another only share an end.
        others = slice(first + 2, len(ring) - (first == 0))
        offset = start[others] - start[first]
        with np.errstate(divide="ignore", invalid="ignore"):
            parallel = _cross(step[first], step[others])
            here = _cross(offset, step[others]) / parallel
            there = _cross(offset, step[first]) / parallel
        crossed = (here > 0) & (here < 1) & (there > 0) & (there < 1)
        found.append(start[first, 1] + here[crossed] * step[first, 1])
        if sum(map(len, found)) > _MOST_CROSSINGS:
            raise ValueError("the outline crosses itself too often to have an area")
    return np.concatenate(found) if found else np.empty(0)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    product: np.ndarray = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product


def _even_odd_area(ring: np.ndarray, crossings: np.ndarray) -> float:
    """Sum over strips between neighbouring heights of ends and crossings: in a strip no two sides
    cross, so that every second gap between them is inside."""
    following = np.roll(ring, -1, axis=0)
    (x1, y1), (x2, y2) = ring.T, following.T
    low, high = np.minimum(y1, y2), np.maximum(y1, y2)
    heights = np.unique(np.concatenate([ring[:, 1], crossings]))
    areas = []
    for lower, upper in itertools.pairwise(heights):
        middle = (lower + upper) / 2
        through = (low < middle) & (high > middle)
        slope = (x2[through] - x1[through]) / (y2[through] - y1[through])
        x = np.sort(x1[through] + (middle - y1[through]) * slope)
        areas.append(float((x[1::2] - x[::2]).sum() * (upper - lower)))
    return math.fsum(areas)


def ellipse_area(
    x1: float, y1: float, x2: float, y2: float, spacing: Spacing | None = None
) -> float:
    """Area of the ellipse that fills a box (xyxy)."""
    row, column = spacing or _UNIT
    return math.pi / 4 * abs(x2 - x1) * column * abs(y2 - y1) * row


def rectangle_mask(
    shape: tuple[int, int], x1: float, y1: float, x2: float, y2: float
) -> np.ndarray:
    """bool (h, w): pixels whose centre is inside the box (xyxy, right and bottom exclusive)."""
    x, y = _centres(shape)
    across = (x >= min(x1, x2)) & (x < max(x1, x2))
    down = (y >= min(y1, y2)) & (y < max(y1, y2))
    return down[:, None] & across[None, :]


def ellipse_mask(shape: tuple[int, int], x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    """bool (h, w): pixels whose centre is inside the ellipse that fills a box (xyxy)."""
    x, y = _centres(shape)
    half_width, half_height = abs(x2 - x1) / 2, abs(y2 - y1) / 2
    if not half_width or not half_height:
        return np.zeros(shape, bool)
    across = ((x - (x1 + x2) / 2) / half_width) ** 2
    down = ((y - (y1 + y2) / 2) / half_height) ** 2
    inside: np.ndarray = down[:, None] + across[None, :] <= 1
    return inside


def polygon_mask(shape: tuple[int, int], points: Sequence[Point]) -> np.ndarray:
    """bool (h, w): pixels whose centre is inside a closed outline, by the even-odd rule.

    Raises
    ------
    ValueError : fewer than three points
    """
    if len(points) < 3:
        raise ValueError("an area needs three points")
    height, width = shape
    _, y = _centres(shape)
    # How often the outline is met at the left end of each pixel, seen along its row.
    met = np.zeros((height, width + 1), np.uint8)
    for ends in zip(points, [*points[1:], points[0]], strict=True):
        # From the upper end always, so that a line drawn to and fro takes itself away exactly.
        (x1, y1), (x2, y2) = sorted(ends, key=lambda end: (end[1], end[0]))
        rows = np.flatnonzero((y >= y1) & (y < y2))
        if rows.size:
            at = x1 + (y[rows] - y1) * (x2 - x1) / (y2 - y1)
            met[rows, np.clip(np.ceil(at - 0.5), 0, width).astype(np.int64)] ^= 1
    inside: np.ndarray = np.bitwise_xor.accumulate(met[:, :0:-1], axis=1)[:, ::-1].astype(bool)
    return inside


def statistics(values: np.ndarray, mask: np.ndarray, area: float) -> RegionStatistics | None:
    """Of the values (h, w) under `mask`; masked values of a masked array are padding.

    None when no pixel that holds a value lies inside.
    """
    inside = np.ma.MaskedArray(values)[mask]
    chosen = inside.compressed().astype(np.float64)
    chosen = chosen[np.isfinite(chosen)]
    if chosen.size == 0:
        return None
    return RegionStatistics(
        int(chosen.size),
        area,
        float(chosen.mean()),
        float(chosen.std(ddof=1)) if chosen.size > 1 else 0.0,
        float(chosen.min()),
        float(chosen.max()),
        int(inside.size - chosen.size),
    )


def patient_position(geometry: PlaneGeometry, point: Point) -> tuple[float, float, float]:
    """Where a point of the picture lies in the patient: LPS, in mm (PS3.3 C.7.6.2.1.1)."""
    row, column = geometry.spacing
    # The position of a plane is that of the centre of its first pixel.
    right, down = (point[0] - 0.5) * column, (point[1] - 0.5) * row
    x, y, z = (
        start + right * along + down * across
        for start, along, across in zip(
            geometry.position, geometry.row, geometry.column, strict=True
        )
    )
    return x, y, z


def _scaled(points: Sequence[Point], spacing: Spacing | None) -> list[Point]:
    row, column = spacing or _UNIT
    return [(x * column, y * row) for x, y in points]


def _between(a: Point, b: Point) -> float:
    if not any(a) or not any(b):
        raise ValueError("a line has no length")
    cross = a[0] * b[1] - a[1] * b[0]
    return abs(math.degrees(math.atan2(cross, a[0] * b[0] + a[1] * b[1])))


def _centres(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    height, width = shape
    return np.arange(width) + 0.5, np.arange(height) + 0.5

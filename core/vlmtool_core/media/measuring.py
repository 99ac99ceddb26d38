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

Point = tuple[float, float]
Spacing = tuple[float, float]

_UNIT: Spacing = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class RegionStatistics:
    """The values under a shape, padding left out.

    count : pixels whose centre lies inside; area in mm² or square pixels, of the shape itself
    sd : with n - 1 in the denominator, 0 for a single pixel
    """

    count: int
    area: float
    mean: float
    sd: float
    minimum: float
    maximum: float


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
    """Area inside a closed outline that does not cross itself (the shoelace formula).

    Raises
    ------
    ValueError : fewer than three points
    """
    if len(points) < 3:
        raise ValueError("an area needs three points")
    ring = _scaled(points, spacing)
    doubled = (a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))
    return abs(math.fsum(doubled)) / 2


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
    x, y = _centres(shape)
    inside = np.zeros(shape, bool)
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        crossed = (y >= min(y1, y2)) & (y < max(y1, y2))
        if crossed.any():
            at = x1 + (y[crossed] - y1) * (x2 - x1) / (y2 - y1)
            inside[crossed] ^= x[None, :] < at[:, None]
    return inside


def statistics(values: np.ndarray, mask: np.ndarray, area: float) -> RegionStatistics | None:
    """Of the values (h, w) under `mask`; masked values of a masked array are padding.

    None when no pixel that holds a value lies inside.
    """
    chosen = np.ma.MaskedArray(values)[mask].compressed().astype(np.float64)
    if chosen.size == 0:
        return None
    return RegionStatistics(
        int(chosen.size),
        area,
        float(chosen.mean()),
        float(chosen.std(ddof=1)) if chosen.size > 1 else 0.0,
        float(chosen.min()),
        float(chosen.max()),
    )


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

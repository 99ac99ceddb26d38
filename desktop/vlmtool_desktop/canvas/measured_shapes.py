"""Measurements as shapes over the picture: their lines, their handles, and how they are moved."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vlmtool_core.measurement import MeasurementKind
from vlmtool_desktop.canvas.shapes import HANDLES

Point = tuple[float, float]
Points = tuple[Point, ...]
KIND = MeasurementKind

_ROUND = 72  # sides of the polygon that an ellipse is drawn as
_MOST_HANDLES = 12


@dataclass(frozen=True, slots=True)
class MeasuredShape:
    """A measurement over the picture, in pixels of the source.

    id : of the annotation that keeps it, None while it is on its way there
    lines : what stands beside it; warning : one more line that must be seen
    """

    id: int | None
    kind: MeasurementKind
    points: Points
    lines: tuple[str, ...] = ()
    warning: str = ""


def lines_of(kind: MeasurementKind, points: Sequence[Point]) -> list[list[Point]]:
    """The open or closed lines of a shape; those of an unfinished one as far as it goes."""
    given = list(points)
    if kind is KIND.COBB:
        return [line for line in (given[:2], given[2:]) if len(line) == 2]
    if len(given) == 2 and kind is KIND.RECTANGLE:
        (x1, y1), (x2, y2) = given
        return [[(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]]
    if len(given) == 2 and kind is KIND.ELLIPSE:
        return [_ellipse(*given)]
    if kind is KIND.FREEHAND:
        return [[*given, *given[:1]]]
    return [given]


def connector_of(kind: MeasurementKind, points: Sequence[Point]) -> list[Point]:
    """The line between the middles of the two lines of Cobb, which only guides the eye."""
    if kind is not KIND.COBB or len(points) < 4:
        return []
    a, b, c, d = points[:4]
    return [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2), ((c[0] + d[0]) / 2, (c[1] + d[1]) / 2)]


def _ellipse(first: Point, second: Point) -> list[Point]:
    x, y = (first[0] + second[0]) / 2, (first[1] + second[1]) / 2
    a, b = abs(second[0] - first[0]) / 2, abs(second[1] - first[1]) / 2
    turns = (2 * math.pi * step / _ROUND for step in range(_ROUND + 1))
    return [(x + a * math.cos(turn), y + b * math.sin(turn)) for turn in turns]


def bounds_of(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """xyxy around all points."""
    across, down = [x for x, _ in points], [y for _, y in points]
    return min(across), min(down), max(across), max(down)


def handles_of(kind: MeasurementKind, points: Sequence[Point]) -> list[Point]:
    """Where a shape can be pulled: its points, or the corners and sides of its box."""
    if kind in (KIND.RECTANGLE, KIND.ELLIPSE):
        (x1, y1), (x2, y2) = points
        return [(x1 + fx * (x2 - x1), y1 + fy * (y2 - y1)) for fx, fy in HANDLES]
    return [points[index] for index in _pulled_points(kind, len(points))]


def _pulled_points(kind: MeasurementKind, count: int) -> list[int]:
    """The points that have a handle: of a freehand outline only some, evenly spread."""
    if kind is not KIND.FREEHAND or count <= _MOST_HANDLES:
        return list(range(count))
    return [round(step * count / _MOST_HANDLES) for step in range(_MOST_HANDLES)]


def pulled(shape: MeasuredShape, handle: int, to: Point, size: tuple[int, int]) -> MeasuredShape:
    """The shape with one handle at `to`; a freehand outline follows on both sides of it."""
    to = inside(to, size)
    points = list(shape.points)
    if shape.kind in (KIND.RECTANGLE, KIND.ELLIPSE):
        (x1, y1), (x2, y2) = points
        fx, fy = HANDLES[handle]
        x1, x2 = (to[0] if fx == 0 else x1), (to[0] if fx == 1 else x2)
        y1, y2 = (to[1] if fy == 0 else y1), (to[1] if fy == 1 else y2)
        return replace(shape, points=((x1, y1), (x2, y2)))
    indices = _pulled_points(shape.kind, len(points))
    at = indices[handle]
    dx, dy = to[0] - points[at][0], to[1] - points[at][1]
    reach = max(1, len(points) // _MOST_HANDLES) if len(indices) < len(points) else 1
    for step in range(1 - reach, reach):
        share = 1 - abs(step) / reach
        index = (at + step) % len(points)
        x, y = points[index]
        points[index] = inside((x + share * dx, y + share * dy), size)
    return replace(shape, points=tuple(points))


def shifted(shape: MeasuredShape, dx: float, dy: float, size: tuple[int, int]) -> MeasuredShape:
    """The whole shape moved, but not out of the picture."""
    x1, y1, x2, y2 = bounds_of(shape.points)
    dx = min(max(dx, -x1), size[0] - x2)
    dy = min(max(dy, -y1), size[1] - y2)
    return replace(shape, points=tuple((x + dx, y + dy) for x, y in shape.points))


def inside(point: Point, size: tuple[int, int]) -> Point:
    """The point, or the nearest one in a picture of `size` (width, height)."""
    return min(max(point[0], 0.0), float(size[0])), min(max(point[1], 0.0), float(size[1]))


def handle_under(shape: MeasuredShape, at: Point, reach: float) -> int | None:
    """The nearest handle within `reach` pixels."""
    near = [
        (math.dist(place, at), number)
        for number, place in enumerate(handles_of(shape.kind, shape.points))
    ]
    distance, number = min(near)
    return number if distance <= reach else None


def shape_under(shapes: Sequence[MeasuredShape], at: Point, reach: float) -> MeasuredShape | None:
    """The shape whose line is nearest, within `reach` pixels; else the smallest region around."""
    near = [(_distance(shape, at), number) for number, shape in enumerate(shapes)]
    if near and min(near)[0] <= reach:
        return shapes[min(near)[1]]
    around = [s for s in shapes if s.kind.is_region and _holds(s, at)]
    return min(around, key=lambda shape: _box_area(shape.points), default=None)


def _box_area(points: Sequence[Point]) -> float:
    x1, y1, x2, y2 = bounds_of(points)
    return (x2 - x1) * (y2 - y1)


def _distance(shape: MeasuredShape, at: Point) -> float:
    return min(
        _to_side(at, a, b)
        for line in lines_of(shape.kind, shape.points)
        for a, b in itertools.pairwise(line)
    )


def _to_side(at: Point, a: Point, b: Point) -> float:
    dx, dy = b[0] - a[0], b[1] - a[1]
    squared = dx * dx + dy * dy
    share = 0.0 if squared == 0 else ((at[0] - a[0]) * dx + (at[1] - a[1]) * dy) / squared
    share = min(1.0, max(0.0, share))
    return math.dist(at, (a[0] + share * dx, a[1] + share * dy))


def _holds(shape: MeasuredShape, at: Point) -> bool:
    """Even-odd rule."""
    (line,) = lines_of(shape.kind, shape.points)
    crossed = False
    for (x1, y1), (x2, y2) in itertools.pairwise(line):
        if (y1 > at[1]) != (y2 > at[1]):
            crossed ^= at[0] < x1 + (at[1] - y1) * (x2 - x1) / (y2 - y1)
    return crossed


def middle_shape(kind: MeasurementKind, size: tuple[int, int]) -> Points:
    """A shape in the middle of the picture, to be moved into place by keys."""
    width, height = size
    near, far, top, low = width * 0.4, width * 0.6, height * 0.4, height * 0.6
    middle = width / 2, height / 2
    shapes: dict[MeasurementKind, Points] = {
        KIND.DISTANCE: ((near, middle[1]), (far, middle[1])),
        KIND.POLYLINE: ((near, low), middle, (far, low)),
        KIND.ANGLE: ((near, top), (near, low), (far, low)),
        KIND.COBB: ((near, top), (far, top), (near, low), (far, middle[1])),
        KIND.FREEHAND: ((middle[0], top), (far, middle[1]), (middle[0], low), (near, middle[1])),
    }
    return shapes.get(kind, ((near, top), (far, low)))

"""What is drawn over a picture, as data, and which of it lies under the pointer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from vlmtool_core.records import Box

HANDLE_RADIUS = 6.0
# Position of each handle in units of the box: (x, y) from its top-left corner.
HANDLES = ((0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1), (0.5, 1), (0, 1), (0, 0.5))


class ShapeKind(StrEnum):
    ANNOTATION = "annotation"
    PREDICTION = "prediction"
    FINDING = "finding"
    REGION = "region"


@dataclass(frozen=True, slots=True)
class Shape:
    """A box over the picture. Only annotations can be moved; `id` is the annotation's row."""

    id: int
    kind: ShapeKind
    box: Box
    colour: str

    @property
    def editable(self) -> bool:
        return self.kind is ShapeKind.ANNOTATION

    @property
    def text(self) -> str:
        score = self.box.score
        return self.box.label if score is None else f"{self.box.label} {score:.0%}"


@dataclass(frozen=True, slots=True)
class Outline:
    """A polygon, line or quadrilateral with a text, such as a line of read text."""

    points: tuple[tuple[float, float], ...]
    text: str
    colour: str
    closed: bool = True


def ordered(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
    """Corners in the order that `Box` wants."""
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def clamped(
    corners: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Corners inside a picture of `size` (width, height)."""
    x1, y1, x2, y2 = corners
    width, height = size
    return (
        min(max(x1, 0.0), width),
        min(max(y1, 0.0), height),
        min(max(x2, 0.0), width),
        min(max(y2, 0.0), height),
    )


def moved(box: Box, dx: float, dy: float, size: tuple[int, int]) -> Box:
    """The box shifted, but kept inside the picture and of the same size."""
    dx = min(max(dx, -box.x1), size[0] - box.x2)
    dy = min(max(dy, -box.y1), size[1] - box.y2)
    return replace(box, x1=box.x1 + dx, y1=box.y1 + dy, x2=box.x2 + dx, y2=box.y2 + dy)


def resized(box: Box, handle: int, x: float, y: float, size: tuple[int, int]) -> Box:
    """The box with one handle pulled to (x, y); pulling past the other side turns it over."""
    fx, fy = HANDLES[handle]
    x1, y1, x2, y2 = box.xyxy
    if fx == 0:
        x1 = x
    elif fx == 1:
        x2 = x
    if fy == 0:
        y1 = y
    elif fy == 1:
        y2 = y
    x1, y1, x2, y2 = clamped(ordered(x1, y1, x2, y2), size)
    return replace(box, x1=x1, y1=y1, x2=x2, y2=y2)


def shape_at(shapes: Sequence[Shape], x: float, y: float, reach: float) -> Shape | None:
    """The smallest box that holds the point, within `reach` image pixels around it."""
    hits = [
        s
        for s in shapes
        if s.box.x1 - reach <= x <= s.box.x2 + reach and s.box.y1 - reach <= y <= s.box.y2 + reach
    ]
    return min(hits, key=_area, default=None)


def _area(shape: Shape) -> float:
    return (shape.box.x2 - shape.box.x1) * (shape.box.y2 - shape.box.y1)


def handle_at(box: Box, x: float, y: float, reach: float) -> int | None:
    """The handle within `reach` image pixels of the point."""
    for number, (hx, hy) in enumerate(handle_points(box)):
        if abs(hx - x) <= reach and abs(hy - y) <= reach:
            return number
    return None


def handle_points(box: Box) -> Iterable[tuple[float, float]]:
    width, height = box.x2 - box.x1, box.y2 - box.y1
    return [(box.x1 + fx * width, box.y1 + fy * height) for fx, fy in HANDLES]

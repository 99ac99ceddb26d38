"""Graphics and texts of presentation states (PS3.3 C.10.5): read, and laid over the pixels.

Positions are (x, y) in pixels of the picture: (0, 0) is the top left corner of its first pixel,
(columns, rows) the bottom right corner of its last one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vlmtool_core.media.dicom.header import number, numbers, text
from vlmtool_core.media.dicom.shutters import Colour, srgb_of_lab

PIXEL, DISPLAY = "PIXEL", "DISPLAY"
_POINTS_NEEDED = {"POINT": 1, "POLYLINE": 2, "INTERPOLATED": 2, "CIRCLE": 2, "ELLIPSE": 4}
_MOST_POINTS = 100_000
_STEPS_PER_TURN = 96
_STEPS_PER_SPAN = 12
_UNCOLOURED: Colour = (255, 221, 87)
Point = tuple[float, float]


@dataclass(frozen=True)
class Layer:
    """name, order : of the file; colour : sRGB that the file recommends, else a yellow."""

    name: str
    order: int = 0
    colour: Colour = _UNCOLOURED
    description: str = ""


@dataclass(frozen=True)
class Graphic:
    """kind : POINT, POLYLINE, INTERPOLATED, CIRCLE, ELLIPSE; units : PIXEL or DISPLAY."""

    kind: str
    points: tuple[Point, ...]
    units: str = PIXEL
    filled: bool = False


@dataclass(frozen=True)
class TextObject:
    """box : its two corners, (left, top) and (right, bottom) on the display; None without one

    anchor : where what it speaks of lies; linked : whether a line leads there
    """

    value: str
    box: tuple[Point, Point] | None = None
    box_units: str = PIXEL
    anchor: Point | None = None
    anchor_units: str = PIXEL
    linked: bool = False
    justification: str = "LEFT"


@dataclass(frozen=True)
class Annotation:
    """What an item of the Graphic Annotation Sequence draws and writes into a layer."""

    layer: Layer
    graphics: tuple[Graphic, ...] = ()
    texts: tuple[TextObject, ...] = ()


@dataclass(frozen=True)
class Area:
    """The part of a picture that fills the display: (left, top, right, bottom) in pixels.

    mode : SCALE TO FIT, TRUE SIZE or MAGNIFY; ratio : of display to picture pixels for MAGNIFY
    """

    left: float
    top: float
    right: float
    bottom: float
    mode: str = "SCALE TO FIT"
    ratio: float = 0.0

    def in_words(self) -> str:
        size = f"{self.right - self.left:g} x {self.bottom - self.top:g} pixels"
        times = f" {self.ratio:g} times" if self.ratio else ""
        return f"{size} from ({self.left:g}, {self.top:g}), {self.mode.lower()}{times}"


@dataclass(frozen=True)
class Stroke:
    """A line through points of the picture. closed : its end meets its start."""

    points: tuple[Point, ...]
    closed: bool = False
    filled: bool = False
    is_point: bool = False


@dataclass(frozen=True)
class Writing:
    """A text, as the picture is read.

    corners : of its box, or only the point that it speaks of
    line : from the text to what it speaks of; empty without one
    """

    value: str
    corners: tuple[Point, ...]
    line: tuple[Point, ...] = ()

    @property
    def place(self) -> Point:
        """The top left of the text."""
        return min(x for x, _ in self.corners), min(y for _, y in self.corners)


@dataclass(frozen=True)
class Drawn:
    """An annotation laid over the picture, ready to be drawn."""

    colour: Colour
    strokes: tuple[Stroke, ...]
    writings: tuple[Writing, ...]


# Reading -----------------------------------------------------------------------------------------


def annotations_of(dataset: Any) -> Iterator[tuple[Any, Annotation]]:
    """The items of the Graphic Annotation Sequence with what they hold.

    Raises
    ------
    ValueError : a graphic breaks its own description; says how
    """
    layers = _layers(dataset)
    for item in dataset.get("GraphicAnnotationSequence") or ():
        name = text(item, "GraphicLayer")
        graphics = tuple(_graphic(one) for one in item.get("GraphicObjectSequence") or ())
        texts = tuple(_text(one) for one in item.get("TextObjectSequence") or ())
        yield item, Annotation(layers.get(name, Layer(name)), graphics, texts)


def _layers(dataset: Any) -> dict[str, Layer]:
    """Of the Graphic Layer module (PS3.3 C.10.7)."""
    layers = {}
    for item in dataset.get("GraphicLayerSequence") or ():
        name = text(item, "GraphicLayer")
        order = int(number(item, "GraphicLayerOrder") or 0)
        layers[name] = Layer(name, order, _colour(item), text(item, "GraphicLayerDescription"))
    return layers


def _colour(item: Any) -> Colour:
    lab = numbers(item, "GraphicLayerRecommendedDisplayCIELabValue")
    if len(lab) == 3:
        return srgb_of_lab(lab)
    grey = number(item, "GraphicLayerRecommendedDisplayGrayscaleValue")
    if grey is None:
        return _UNCOLOURED
    shade = round(255 * min(max(grey, 0.0), 65535.0) / 65535)
    return shade, shade, shade


def _graphic(item: Any) -> Graphic:
    kind = text(item, "GraphicType").upper()
    values = numbers(item, "GraphicData")
    if kind not in _POINTS_NEEDED:
        raise ValueError("a graphic of a kind that is none of the standard")
    if len(values) < 2 * _POINTS_NEEDED[kind] or len(values) > 2 * _MOST_POINTS:
        raise ValueError(f"a {kind} of {len(values) // 2} points")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"a {kind} with a coordinate that is no number")
    points = tuple(zip(values[::2], values[1::2], strict=False))
    return Graphic(
        kind, points, _units(item, "GraphicAnnotationUnits"), _yes(item, "GraphicFilled")
    )


def _text(item: Any) -> TextObject:
    first = numbers(item, "BoundingBoxTopLeftHandCorner")
    last = numbers(item, "BoundingBoxBottomRightHandCorner")
    anchor = numbers(item, "AnchorPoint")
    boxed = len(first) == 2 and len(last) == 2
    return TextObject(
        str(item.get("UnformattedTextValue", "") or "").strip("\0").strip(),
        ((first[0], first[1]), (last[0], last[1])) if boxed else None,
        _units(item, "BoundingBoxAnnotationUnits"),
        (anchor[0], anchor[1]) if len(anchor) == 2 else None,
        _units(item, "AnchorPointAnnotationUnits"),
        _yes(item, "AnchorPointVisibility"),
        text(item, "BoundingBoxTextHorizontalJustification").upper() or "LEFT",
    )


def _units(item: Any, keyword: str) -> str:
    return DISPLAY if text(item, keyword).upper() == DISPLAY else PIXEL


def _yes(item: Any, keyword: str) -> bool:
    return text(item, keyword).upper() == "Y"


# Laying over the pixels --------------------------------------------------------------------------


@dataclass(frozen=True)
class Placement:
    """How display units become pixels: the displayed area, then turned, then mirrored."""

    area: Area
    rotation: int = 0
    flipped: bool = False

    def pixel(self, point: Point, units: str) -> Point:
        """Where a point lies in the picture as it is stored."""
        if units != DISPLAY:
            return point
        across, down = (1 - point[0] if self.flipped else point[0]), point[1]
        area = self.area
        width, height = area.right - area.left, area.bottom - area.top
        return {
            0: (area.left + across * width, area.top + down * height),
            90: (area.left + down * width, area.bottom - across * height),
            180: (area.right - across * width, area.bottom - down * height),
            270: (area.right - down * width, area.top + across * height),
        }[self.rotation]


def laid_over(annotation: Annotation, placement: Placement) -> Drawn:
    """An annotation in pixels of the picture, its curves as short lines."""
    strokes = tuple(stroke_of(graphic, placement) for graphic in annotation.graphics)
    writings = tuple(
        writing for one in annotation.texts if (writing := _writing(one, placement)) is not None
    )
    return Drawn(annotation.layer.colour, strokes, writings)


def stroke_of(graphic: Graphic, placement: Placement) -> Stroke:
    """The line that a graphic draws; curves are computed where the file gives their points."""
    kind, given = graphic.kind, graphic.points
    closed = kind in ("CIRCLE", "ELLIPSE") or (len(given) > 2 and given[0] == given[-1])
    if kind == "POINT":
        return Stroke((placement.pixel(given[0], graphic.units),), is_point=True)
    # Ends of axes and points on a circle are moved first: the display's units are not square.
    moved = [placement.pixel(point, graphic.units) for point in given]
    if kind == "CIRCLE":
        moved = _circle(moved[0], moved[1])
    elif kind == "ELLIPSE":
        moved = _ellipse(moved[:4])
    elif kind == "INTERPOLATED":
        moved = _curve(moved, closed)
    return Stroke(tuple(moved), closed, graphic.filled and closed)


def _circle(center: Point, rim: Point) -> list[Point]:
    radius = math.dist(center, rim)
    return [
        (center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle))
        for angle in _angles()
    ]


def _ellipse(ends: Sequence[Point]) -> list[Point]:
    """Through the ends of its major and its minor axis."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = ends
    x, y = (ax + bx) / 2, (ay + by) / 2
    major, minor = ((bx - ax) / 2, (by - ay) / 2), ((dx - cx) / 2, (dy - cy) / 2)
    return [
        (
            x + major[0] * math.cos(angle) + minor[0] * math.sin(angle),
            y + major[1] * math.cos(angle) + minor[1] * math.sin(angle),
        )
        for angle in _angles()
    ]


def _angles() -> list[float]:
    return [2 * math.pi * step / _STEPS_PER_TURN for step in range(_STEPS_PER_TURN)]


def _curve(points: Sequence[Point], closed: bool) -> list[Point]:
    """A Catmull-Rom spline: the standard asks for a curve through the points, and names no kind."""
    ring = list(points[:-1] if closed else points)
    count = len(ring)
    if count < 3:
        return list(points)
    spans = count if closed else count - 1
    curve: list[Point] = []
    for span in range(spans):
        near = [span - 1, span, span + 1, span + 2]
        four = [
            ring[place % count] if closed else ring[min(max(place, 0), count - 1)] for place in near
        ]
        curve += [_between(four, step / _STEPS_PER_SPAN) for step in range(_STEPS_PER_SPAN)]
    return [*curve, ring[0] if closed else ring[-1]]


def _between(four: Sequence[Point], part: float) -> Point:
    before, start, end, after = four

    def along(axis: int) -> float:
        a, b, c, d = before[axis], start[axis], end[axis], after[axis]
        return 0.5 * (
            2 * b
            + (c - a) * part
            + (2 * a - 5 * b + 4 * c - d) * part**2
            + (3 * b - a - 3 * c + d) * part**3
        )

    return along(0), along(1)


def _writing(one: TextObject, placement: Placement) -> Writing | None:
    anchor = None if one.anchor is None else placement.pixel(one.anchor, one.anchor_units)
    if one.box is None:
        return None if anchor is None else Writing(one.value, (anchor,))
    corners = tuple(placement.pixel(corner, one.box_units) for corner in one.box)
    if anchor is None or not one.linked:
        return Writing(one.value, corners)
    middle = (sum(x for x, _ in corners) / 2, sum(y for _, y in corners) / 2)
    return Writing(one.value, corners, (middle, anchor))


def turned(
    drawn: Drawn, size: tuple[float, float], rotation: int, *, flipped: bool = False
) -> Drawn:
    """The same over a picture of `size` (width, height) that was turned clockwise, then mirrored.

    Texts move with what they belong to, and stay upright.
    """
    width, height = size

    def moved(point: Point) -> Point:
        x, y = point
        x, y = {
            0: (x, y),
            90: (height - y, x),
            180: (width - x, height - y),
            270: (y, width - x),
        }[rotation]
        across = height if rotation % 180 else width
        return (across - x, y) if flipped else (x, y)

    def all_moved(points: Sequence[Point]) -> tuple[Point, ...]:
        return tuple(moved(point) for point in points)

    strokes = tuple(replace(stroke, points=all_moved(stroke.points)) for stroke in drawn.strokes)
    writings = tuple(
        replace(one, corners=all_moved(one.corners), line=all_moved(one.line))
        for one in drawn.writings
    )
    return Drawn(drawn.colour, strokes, writings)

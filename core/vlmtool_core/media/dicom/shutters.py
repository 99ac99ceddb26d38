"""Display shutters (PS3.3 C.7.6.11 and C.7.6.15): what of a picture is covered for looking at it.

Edges and vertices count rows and columns from 1; a pixel whose centre lies on an edge is shown.
Of several shapes only what lies within all of them is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.dicom.functional_groups import functional_group
from vlmtool_core.media.dicom.header import Header, number, numbers, text
from vlmtool_core.media.dicom.overlays import overlay_planes

RECTANGULAR, CIRCULAR, POLYGONAL, BITMAP = "RECTANGULAR", "CIRCULAR", "POLYGONAL", "BITMAP"
_FULL_SCALE = 65535
_MOST_VERTICES = 10_000
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Shutter:
    """What is shown of a picture.

    shapes : of the standard, in the order of the file
    rectangle : (left, right, upper, lower) edge; circle : (row, column, radius in columns)
    polygon : (row, column) of each vertex; overlay : group of a bitmap, 0 without one
    colour : sRGB of what is covered
    """

    shapes: tuple[str, ...]
    rectangle: tuple[float, float, float, float] | None = None
    circle: tuple[float, float, float] | None = None
    polygon: tuple[tuple[float, float], ...] = ()
    overlay: int = 0
    colour: Colour = (0, 0, 0)

    def in_words(self) -> str:
        return " and ".join(shape.lower() for shape in self.shapes) + " shutter"


@dataclass(frozen=True)
class Covered:
    """mask : bool (rows, columns), where a shutter covers the picture; colour : sRGB of it."""

    mask: np.ndarray
    colour: Colour


def shutter_of(dataset: Any, index: int = 0) -> Shutter | None:
    """The shutter of frame `index` (0-based), of a data set or a presentation state.

    Raises
    ------
    ValueError : it lacks what its shape needs; says what
    """
    group = functional_group(dataset, index, "FrameDisplayShutterSequence")
    source = dataset if group is None else group
    shapes = tuple(shape.upper() for shape in _texts(source, "ShutterShape"))
    if not shapes:
        return None
    rectangle = circle = None
    polygon: tuple[tuple[float, float], ...] = ()
    overlay = 0
    for shape in shapes:
        if shape == RECTANGULAR:
            rectangle = _rectangle(source)
        elif shape == CIRCULAR:
            circle = _circle(source)
        elif shape == POLYGONAL:
            polygon = _polygon(source)
        elif shape == BITMAP:
            overlay = int(_needed(source, "ShutterOverlayGroup", 1)[0])
        else:
            raise ValueError("the shape of the display shutter is none of the standard")
    return Shutter(shapes, rectangle, circle, polygon, overlay, _colour(source))


def covered(
    header: Header, shutter: Shutter, index: int, size: tuple[int, int], *, aspect: float = 1.0
) -> Covered:
    """What a shutter covers of a picture of `size` (rows, columns).

    header : has the overlay that a bitmap shutter needs
    aspect : height of a pixel by its width, for circles

    Raises
    ------
    DamagedMediaError : the bitmap is missing or broken
    """
    shown = np.ones(size, bool)
    if shutter.rectangle is not None:
        shown &= _within_rectangle(shutter.rectangle, size)
    if shutter.circle is not None:
        shown &= _within_circle(shutter.circle, size, aspect)
    if shutter.polygon:
        shown &= within_polygon(shutter.polygon, size)
    if shutter.overlay:
        shown &= ~_bitmap(header, shutter.overlay, index, size)
    return Covered(~shown, shutter.colour)


def _texts(dataset: Any, keyword: str) -> list[str]:
    value = dataset.get(keyword) or ()
    return [value.strip()] if isinstance(value, str) else [str(item).strip() for item in value]


def _needed(dataset: Any, keyword: str, count: int) -> list[float]:
    values = numbers(dataset, keyword)
    if len(values) < count:
        raise ValueError(f"the display shutter lacks {keyword}")
    return values


def _rectangle(dataset: Any) -> tuple[float, float, float, float]:
    keywords = (
        "ShutterLeftVerticalEdge",
        "ShutterRightVerticalEdge",
        "ShutterUpperHorizontalEdge",
        "ShutterLowerHorizontalEdge",
    )
    left, right, upper, lower = (_needed(dataset, keyword, 1)[0] for keyword in keywords)
    return left, right, upper, lower


def _circle(dataset: Any) -> tuple[float, float, float]:
    row, column = _needed(dataset, "CenterOfCircularShutter", 2)[:2]
    return row, column, _needed(dataset, "RadiusOfCircularShutter", 1)[0]


def _polygon(dataset: Any) -> tuple[tuple[float, float], ...]:
    values = _needed(dataset, "VerticesOfThePolygonalShutter", 6)
    if len(values) > 2 * _MOST_VERTICES:
        raise ValueError(f"the display shutter has more than {_MOST_VERTICES} vertices")
    return tuple(zip(values[::2], values[1::2], strict=False))


def _colour(dataset: Any) -> Colour:
    lab = numbers(dataset, "ShutterPresentationColorCIELabValue")
    if len(lab) == 3:
        return srgb_of_lab(lab)
    value = number(dataset, "ShutterPresentationValue") or 0.0
    grey = round(255 * min(max(value, 0.0), _FULL_SCALE) / _FULL_SCALE)
    return grey, grey, grey


def _within_rectangle(
    rectangle: tuple[float, float, float, float], size: tuple[int, int]
) -> np.ndarray:
    left, right, upper, lower = rectangle
    rows = np.arange(1, size[0] + 1)[:, None]
    columns = np.arange(1, size[1] + 1)[None, :]
    within: np.ndarray = (columns >= left) & (columns <= right) & (rows >= upper) & (rows <= lower)
    return within


def _within_circle(
    circle: tuple[float, float, float], size: tuple[int, int], aspect: float
) -> np.ndarray:
    row, column, radius = circle
    down = (np.arange(1, size[0] + 1)[:, None] - row) * aspect
    across = np.arange(1, size[1] + 1)[None, :] - column
    within: np.ndarray = down**2 + across**2 <= radius**2
    return within


def within_polygon(vertices: tuple[tuple[float, float], ...], size: tuple[int, int]) -> np.ndarray:
    """bool (rows, columns): the pixels whose centres lie inside, by the even-odd rule.

    vertices : (row, column), counted from 1; the last is joined to the first
    """
    crossings = np.zeros((size[0], size[1] + 1), np.int32)
    for (row, column), (next_row, next_column) in zip(
        vertices, (*vertices[1:], vertices[0]), strict=True
    ):
        if row == next_row:
            continue
        first, last = sorted((row, next_row))
        rows = np.arange(max(1, math.ceil(first)), min(size[0], math.ceil(last) - 1) + 1)
        places = column + (rows - row) * (next_column - column) / (next_row - row)
        # Every pixel from the crossing on lies behind one edge more.
        start = np.clip(np.ceil(places).astype(np.int64) - 1, 0, size[1])
        np.add.at(crossings, (rows - 1, start), 1)
    within: np.ndarray = np.cumsum(crossings, axis=1)[:, : size[1]] % 2 == 1
    return within


def _bitmap(header: Header, group: int, index: int, size: tuple[int, int]) -> np.ndarray:
    planes = overlay_planes(header, index, size, None, groups=(group,))
    if not planes:
        raise DamagedMediaError(
            f"the bitmap of its display shutter is missing (overlay {group:04x})",
            path=header.path,
            field="ShutterOverlayGroup",
        )
    return planes[0].mask


def srgb_of_lab(coded: list[float]) -> Colour:
    """sRGB of a colour as PS3.3 C.10.7.1.1 codes it: CIELab for D50, 16 bits each."""
    lightness = coded[0] * 100 / _FULL_SCALE
    a, b = (value * 255 / _FULL_SCALE - 128 for value in coded[1:3])
    y = (lightness + 16) / 116
    white = (0.96422, 1.0, 0.82521)
    xyz = [
        _of_root(root) * part
        for root, part in zip((y + a / 500, y, y - b / 200), white, strict=True)
    ]
    # Bradford-adapted matrix from D50 to linear sRGB.
    matrix = (
        (3.1338561, -1.6168667, -0.4906146),
        (-0.9787684, 1.9161415, 0.0334540),
        (0.0719453, -0.2289914, 1.4052427),
    )
    linear = [sum(m * v for m, v in zip(line, xyz, strict=True)) for line in matrix]
    red, green, blue = (round(255 * _gamma(min(max(value, 0.0), 1.0))) for value in linear)
    return red, green, blue


def _of_root(root: float) -> float:
    return root**3 if root > 6 / 29 else 3 * (6 / 29) ** 2 * (root - 4 / 29)


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def words_of(dataset: Any) -> str:
    """The shutter of a data set in words, "" where it has none or a broken one."""
    try:
        shutter = shutter_of(dataset)
    except ValueError as error:
        return text(dataset, "ShutterShape") and f"not drawn: {error}"
    return "" if shutter is None else shutter.in_words()

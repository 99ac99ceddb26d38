"""Measurements on a frame of an opened item: what is measured on, and what a shape comes to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vlmtool_core.errors import BudgetExceededError, UnsupportedMediaError, VlmtoolError
from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.media import measuring
from vlmtool_core.media.base import MediaSource, PixelSpacing, PlaneGeometry, grey
from vlmtool_core.media.measuring import Point
from vlmtool_core.media.opening import open_media
from vlmtool_core.records import ItemRef

LUMINANCE = "luminance"
_BECQUEREL = "BQML"
_LARGEST_REGION = 64_000_000
_TOO_LARGE = "the region has more than 64 million pixels"


@dataclass(frozen=True)
class Measurable:
    """One frame, ready to be measured on.

    size : (width, height) of the oriented source
    values : masked float32 (h, w) in `unit`, or uint8 (h, w, 3) RGB, of which the luminance counts;
        None where the picture is too large to be held, see `measurable`
    origin : (x, y) of the first pixel of `values`
    suv_factor : values times this are SUVbw in g/ml; no_suv : why a PET picture has none
    no_values : why `values` is None
    """

    size: tuple[int, int]
    values: np.ndarray | None = field(default=None, repr=False)
    origin: tuple[int, int] = (0, 0)
    unit: str = ""
    spacing: PixelSpacing | None = None
    geometry: PlaneGeometry | None = None
    suv_factor: float | None = None
    no_suv: str = ""
    no_values: str = _TOO_LARGE

    @property
    def scale(self) -> measuring.Spacing | None:
        return None if self.spacing is None else (self.spacing.row_mm, self.spacing.column_mm)


def measurable(
    source: MediaSource,
    frame: int = 0,
    *,
    values: bool = True,
    known: np.ndarray | None = None,
    around: Sequence[Point] | None = None,
) -> Measurable:
    """What can be measured on a frame.

    values : False where only lengths and angles are wanted, so that nothing is decoded
    known : the modality values of the frame, where somebody has decoded them already
    around : points of a region; of a picture in tiles only its pixels are read then, and without
        it none

    Raises
    ------
    MediaError : the frame cannot be decoded
    IndexError : no such frame
    """
    info = source.info
    spacing, geometry = _ask(source, "spacing", frame), _ask(source, "geometry", frame)
    plain = Measurable((info.width, info.height), spacing=spacing, geometry=geometry)
    if not values:
        return plain
    if info.facts.get("tiled"):
        return replace(_part(source, plain, around), unit=LUMINANCE)
    behind = grey(source)
    if behind is None:
        return replace(plain, values=source.frame(frame).pixels, unit=LUMINANCE)
    decoded = behind.modality_values(frame) if known is None else known
    found = replace(plain, values=decoded, unit=info.unit)
    if info.facts.get("modality") == "PT" and info.unit == _BECQUEREL:
        return _with_suv(source, found, frame)
    return found


def _ask(source: MediaSource, what: str, frame: int) -> Any:
    ask = getattr(source, what, None)
    return None if ask is None else ask(frame)


def _part(source: Any, plain: Measurable, around: Sequence[Point] | None) -> Measurable:
    box = _pixels_around(around, plain.size) if around else None
    if box is None or box.width * box.height > _LARGEST_REGION:
        return plain
    try:
        pixels = source.region(0, box.x, box.y, box.width, box.height)
    except BudgetExceededError as error:
        return replace(plain, no_values=error.message)
    return replace(plain, values=pixels, origin=(box.x, box.y))


def _with_suv(source: Any, found: Measurable, frame: int) -> Measurable:
    try:
        return replace(found, suv_factor=source.suv_factor(frame))
    except UnsupportedMediaError as error:
        why = error.message.removeprefix("no SUV: ")
        return replace(found, no_suv=f"no SUV, {error.field}: {why}")


def measure(kind: MeasurementKind, points: Sequence[Point], on: Measurable) -> Measured:
    """What a shape comes to.

    Raises
    ------
    ValueError : it cannot be measured: an arm without a length, an outline without an area
    """
    Measurement(kind, tuple(points))  # the number of points
    common = Measured(
        unit="mm" if on.spacing else "px",
        outside=not all(0 <= x <= on.size[0] and 0 <= y <= on.size[1] for x, y in points),
        spacing=on.scale,
        spacing_source=on.spacing.source if on.spacing else "",
        projected=bool(on.spacing and on.spacing.projected),
    )
    if kind is MeasurementKind.ANGLE:
        arm, vertex, other = points
        return replace(common, angle=measuring.angle(arm, vertex, other, on.scale))
    if kind is MeasurementKind.COBB:
        a, b, c, d = points
        return replace(common, angle=measuring.cobb_angle((a, b), (c, d), on.scale))
    if kind.is_region:
        return _measured_region(kind, points, on, common)
    return replace(common, length=measuring.length(points, on.scale))


def _measured_region(
    kind: MeasurementKind, points: Sequence[Point], on: Measurable, common: Measured
) -> Measured:
    area = region_area(kind, points, on.scale)
    found = replace(common, area=area, value_unit=on.unit, suv_factor=on.suv_factor)
    box = _pixels_around(points, on.size)
    if box is None:
        return replace(found, count=0, note="no values: it is outside of the picture")
    if on.values is None:
        return replace(found, note=f"no values: {on.no_values}")
    values = _cut(on, box)
    mask = _mask(kind, [(x - box.x, y - box.y) for x, y in points], (box.height, box.width))
    statistics = measuring.statistics(values, mask, area)
    if statistics is None:
        inside = int(mask.sum())
        why = "only padding is inside" if inside else "no centre of a pixel is inside"
        return replace(found, count=0, left_out=inside, note=f"no values: {why}")
    return replace(
        found,
        count=statistics.count,
        mean=statistics.mean,
        sd=statistics.sd,
        minimum=statistics.minimum,
        maximum=statistics.maximum,
        left_out=statistics.left_out,
    )


def region_area(
    kind: MeasurementKind, points: Sequence[Point], scale: measuring.Spacing | None
) -> float:
    """In mm², or square pixels without a scale; of the shape itself, wherever it lies.

    Raises
    ------
    ValueError : an outline without an area
    """
    if kind is MeasurementKind.FREEHAND:
        return measuring.polygon_area(points, scale)
    (x1, y1), (x2, y2) = points
    if kind is MeasurementKind.ELLIPSE:
        return measuring.ellipse_area(x1, y1, x2, y2, scale)
    return measuring.polygon_area([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], scale)


def _mask(kind: MeasurementKind, points: Sequence[Point], shape: tuple[int, int]) -> np.ndarray:
    if kind is MeasurementKind.FREEHAND:
        return measuring.polygon_mask(shape, points)
    (x1, y1), (x2, y2) = points
    if kind is MeasurementKind.ELLIPSE:
        return measuring.ellipse_mask(shape, x1, y1, x2, y2)
    return measuring.rectangle_mask(shape, x1, y1, x2, y2)


@dataclass(frozen=True)
class _Pixels:
    x: int
    y: int
    width: int
    height: int


def _pixels_around(points: Sequence[Point], size: tuple[int, int]) -> _Pixels | None:
    """The pixels of the picture that a shape can touch; None where it touches none."""
    across, down = [x for x, _ in points], [y for _, y in points]
    x1, y1 = max(0, math.floor(min(across))), max(0, math.floor(min(down)))
    x2, y2 = min(size[0], math.ceil(max(across))), min(size[1], math.ceil(max(down)))
    return _Pixels(x1, y1, x2 - x1, y2 - y1) if x1 < x2 and y1 < y2 else None


def _cut(on: Measurable, box: _Pixels) -> np.ndarray:
    assert on.values is not None
    x, y = box.x - on.origin[0], box.y - on.origin[1]
    part: np.ndarray = on.values[y : y + box.height, x : x + box.width]
    return luminance(part) if part.ndim == 3 else part


def luminance(pixels: np.ndarray) -> np.ndarray:
    """float64 (h, w), 0 to 255, of uint8 RGB: ITU-R BT.601 luma, whole numbers for grey."""
    red, green, blue = (pixels[..., channel].astype(np.int64) for channel in range(3))
    found: np.ndarray = (299 * red + 587 * green + 114 * blue) / 1000
    return found


@dataclass(frozen=True, slots=True)
class Probe:
    """One pixel. value : modality value, None for padding; the rest as in `Measurable`.

    stored : as the file has it, None where that is not known
    position : of its centre in the patient, LPS, in mm
    """

    x: int
    y: int
    value: float | None
    unit: str
    padding: bool = False
    stored: float | None = None
    suv: float | None = None
    position: tuple[float, float, float] | None = None


def probe(on: Measurable, point: Point, stored: np.ndarray | None = None) -> Probe:
    """What is under a point; `stored` (h, w) adds the value of the file.

    Raises
    ------
    ValueError : it is outside of the picture
    """
    x, y = math.floor(point[0]), math.floor(point[1])
    width, height = on.size
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"the point is outside of {width} x {height} pixels")
    value = None if on.values is None else _cut(on, _Pixels(x, y, 1, 1))[0, 0]
    padding = value is np.ma.masked
    known = None if value is None or padding else float(value)
    place = on.geometry
    return Probe(
        x,
        y,
        known,
        on.unit,
        padding=padding,
        stored=None if stored is None else float(stored[y, x]),
        suv=None if known is None or on.suv_factor is None else known * on.suv_factor,
        position=None if place is None else measuring.patient_position(place, (x + 0.5, y + 0.5)),
    )


def measured_again(
    ref: ItemRef, shapes: Sequence[tuple[int, Measurement]]
) -> Iterator[Measured | VlmtoolError]:
    """What (frame, measurement) come to on the pixels as they are now, in the order given.

    An error in place of a result says why one cannot be had. The item is opened once; shapes
    should come by frame.
    """
    try:
        source = open_media(ref.path, ref.files)
    except VlmtoolError as error:
        yield from itertools.repeat(error, len(shapes))
        return
    with source:
        for frame, group in itertools.groupby(shapes, key=lambda shape: shape[0]):
            yield from _on_frame(source, frame, [measurement for _, measurement in group])


def _on_frame(
    source: MediaSource, frame: int, shapes: Sequence[Measurement]
) -> Iterator[Measured | VlmtoolError]:
    tiled = bool(source.info.facts.get("tiled"))
    shared: Measurable | None = None
    regions = any(shape.kind.is_region for shape in shapes)
    for shape in shapes:
        try:
            shared = shared or measurable(source, frame, values=regions and not tiled)
            on = shared
            if tiled and shape.kind.is_region:
                on = measurable(source, frame, around=shape.points)
            yield measure(shape.kind, shape.points, on)
        except VlmtoolError as error:
            yield error
        except (IndexError, ValueError) as error:
            yield UnsupportedMediaError(str(error), path=source.info.path)

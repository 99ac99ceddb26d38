"""`vlmtool-cli media measure`: lengths, angles and the values under a shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlmtool_core.cli.console import emit_json, emit_table
from vlmtool_core.errors import UsageError
from vlmtool_core.media import MediaSource, measuring, open_media
from vlmtool_core.records import Json

if TYPE_CHECKING:
    import numpy as np

Numbers = tuple[float, ...]
_XYXY = "X1,Y1,X2,Y2"


@dataclasses.dataclass(frozen=True)
class _Picture:
    """What is measured on: values (h, w) with their unit, and mm per pixel (row, column)."""

    values: np.ndarray
    unit: str
    spacing: measuring.Spacing | None
    spacing_source: str

    @property
    def length_unit(self) -> str:
        return "mm" if self.spacing else "px"


def _line(picture: _Picture, given: Numbers) -> dict[str, Json]:
    found = measuring.length(_points(given), picture.spacing)
    return {"length": found, "unit": picture.length_unit}


def _angle(picture: _Picture, given: Numbers) -> dict[str, Json]:
    arm, vertex, other = _points(given)
    return {"angle": measuring.angle(arm, vertex, other, picture.spacing), "unit": "degrees"}


def _cobb(picture: _Picture, given: Numbers) -> dict[str, Json]:
    a, b, c, d = _points(given)
    return {"angle": measuring.cobb_angle((a, b), (c, d), picture.spacing), "unit": "degrees"}


def _probe(picture: _Picture, given: Numbers) -> dict[str, Json]:
    import numpy as np

    height, width = picture.values.shape
    column, row = (int(np.floor(value)) for value in given)
    if not (0 <= column < width and 0 <= row < height):
        raise ValueError(f"the point is outside of {width} x {height} pixels")
    value = picture.values[row, column]
    masked = value is np.ma.masked
    return {"value": None if masked else float(value), "unit": picture.unit, "padding": masked}


def _rectangle(picture: _Picture, given: Numbers) -> dict[str, Json]:
    x1, y1, x2, y2 = given
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    area = measuring.polygon_area(corners, picture.spacing)
    return _region(picture, measuring.rectangle_mask(picture.values.shape, x1, y1, x2, y2), area)


def _ellipse(picture: _Picture, given: Numbers) -> dict[str, Json]:
    x1, y1, x2, y2 = given
    area = measuring.ellipse_area(x1, y1, x2, y2, picture.spacing)
    return _region(picture, measuring.ellipse_mask(picture.values.shape, x1, y1, x2, y2), area)


def _polygon(picture: _Picture, given: Numbers) -> dict[str, Json]:
    points = _points(given)
    area = measuring.polygon_area(points, picture.spacing)
    return _region(picture, measuring.polygon_mask(picture.values.shape, points), area)


def _region(picture: _Picture, mask: np.ndarray, area: float) -> dict[str, Json]:
    found = measuring.statistics(picture.values, mask, area)
    if found is None:
        raise ValueError("no pixel with a value lies inside")
    values: dict[str, Json] = dataclasses.asdict(found)
    return {**values, "unit": picture.unit, "area_unit": f"{picture.length_unit}²"}


@dataclasses.dataclass(frozen=True)
class _Shape:
    """How a measurement is asked for. counts : allowed numbers of coordinates, least and most."""

    measure: Callable[[_Picture, Numbers], dict[str, Json]]
    metavar: str
    help: str
    counts: tuple[int, int]


_SHAPES = {
    "line": _Shape(_line, f"{_XYXY}[,...]", "Length of a line through points.", (4, 2000)),
    "angle": _Shape(_angle, f"{_XYXY},X3,Y3", "Angle at the second of three points.", (6, 6)),
    "cobb": _Shape(_cobb, "8 numbers", "Angle between two lines (Cobb).", (8, 8)),
    "probe": _Shape(_probe, "X,Y", "Value of one pixel.", (2, 2)),
    "rectangle": _Shape(_rectangle, _XYXY, "Values and area of a rectangle.", (4, 4)),
    "ellipse": _Shape(_ellipse, _XYXY, "The same of the ellipse that fills a box.", (4, 4)),
    "polygon": _Shape(_polygon, "X1,Y1,X2,Y2,X3,Y3[,...]", "The same of an outline.", (6, 2000)),
}


def _with_shapes(function: Callable[..., None]) -> Callable[..., None]:
    for name, shape in reversed(_SHAPES.items()):
        option = click.option(f"--{name}", multiple=True, metavar=shape.metavar, help=shape.help)
        function = option(function)
    return function


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--frame", type=click.IntRange(min=0), default=0, show_default=True, help="Which frame, from 0."
)
@_with_shapes
@click.option("--suv", is_flag=True, help="PET values as SUV by body weight, where they allow it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def measure(path: Path, frame: int, suv: bool, as_json: bool, **asked: tuple[str, ...]) -> None:
    """Measure on one frame of PATH: in mm where the header says how large a pixel is.

    Coordinates are pixels from the top left corner. Values are modality values (HU for CT),
    padding left out; of ordinary pictures they are luminance, 0 to 255.
    """
    wanted = [(name, text) for name in _SHAPES for text in asked[name]]
    if not wanted:
        raise UsageError("nothing to measure", remedy="Give --line, --ellipse, --probe, ...")
    given = [(name, text, _numbers(name, text)) for name, text in wanted]
    with open_media(path) as source:
        picture = _picture(source, frame, suv=suv)
    rows = [(name, text, _measured(name, picture, numbers)) for name, text, numbers in given]
    if as_json:
        emit_json(
            {
                "path": str(path),
                "frame": frame,
                "pixel_spacing_mm": picture.spacing and list(picture.spacing),
                "spacing_source": picture.spacing_source,
                "measurements": [{"shape": n, "at": t, **found} for n, t, found in rows],
            }
        )
        return
    source_text = picture.spacing_source or "unknown, lengths are in pixels"
    table = [(name, text, _shown(found)) for name, text, found in rows]
    emit_table(f"Pixel spacing: {source_text}", ("Shape", "At", "Measured"), table)


def _measured(name: str, picture: _Picture, numbers: Numbers) -> dict[str, Json]:
    try:
        return _SHAPES[name].measure(picture, numbers)
    except ValueError as error:
        raise UsageError(str(error), field=f"--{name}") from error


def _picture(source: MediaSource, frame: int, *, suv: bool) -> _Picture:
    from vlmtool_core.media.dicom.source import DicomSource

    count = source.info.frame_count
    if count is not None and frame >= count:
        raise UsageError(f"there is no frame {frame}; there are {count}", field="--frame")
    dicom = source if isinstance(source, DicomSource) else None
    if suv and dicom is None:
        raise UsageError("SUV is defined for PET only", path=source.info.path, field="--suv")
    if dicom is None or dicom.is_colour:
        return _Picture(_luminance(source, frame), "", *_spacing(dicom, frame))
    values, unit = dicom.modality_values(frame), source.info.unit
    if suv:
        values, unit = values * dicom.suv_factor(frame), "g/ml (SUVbw)"
    return _Picture(values, unit, *_spacing(dicom, frame))


def _spacing(source: Any, frame: int) -> tuple[measuring.Spacing | None, str]:
    found = source.spacing(frame) if source is not None else None
    return (None, "") if found is None else ((found.row_mm, found.column_mm), found.source)


def _luminance(source: MediaSource, frame: int) -> np.ndarray:
    """float64 (h, w), 0 to 255: ITU-R BT.601 luma, whole for grey pictures."""
    import numpy as np

    pixels = source.frame(frame).pixels.astype(np.float64)
    return pixels @ np.array([0.299, 0.587, 0.114])


def _numbers(name: str, text: str) -> Numbers:
    least, most = _SHAPES[name].counts
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    finite = all(abs(value) < 1e9 for value in found)
    if not (least <= len(found) <= most and len(found) % 2 == 0 and finite):
        raise UsageError(f"expected {_SHAPES[name].metavar}, got {text!r}", field=f"--{name}")
    return found


def _points(given: Sequence[float]) -> list[measuring.Point]:
    return list(zip(given[::2], given[1::2], strict=True))


def _shown(found: dict[str, Json]) -> str:
    parts = [
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in found.items()
        if value not in ("", None, False)
    ]
    return ", ".join(parts)

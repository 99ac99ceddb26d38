"""`vlmtool-cli media measure`: lengths, angles and the values under a shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from vlmtool_core.cli.console import emit_json, emit_table
from vlmtool_core.errors import UsageError
from vlmtool_core.measurement import Measured, MeasurementKind
from vlmtool_core.media import MediaSource, measuring, open_media
from vlmtool_core.media.measured_text import PROJECTED
from vlmtool_core.media.measurements import Measurable, measurable, probe
from vlmtool_core.media.measurements import measure as measure_shape
from vlmtool_core.records import Json

Numbers = tuple[float, ...]
_XYXY = "X1,Y1,X2,Y2"


def _line(on: Measurable, given: Numbers) -> dict[str, Json]:
    kind = MeasurementKind.DISTANCE if len(given) == 4 else MeasurementKind.POLYLINE
    found = measure_shape(kind, _points(given), on)
    return {"length": found.length, "unit": found.unit}


def _angle(on: Measurable, given: Numbers) -> dict[str, Json]:
    return _degrees(measure_shape(MeasurementKind.ANGLE, _points(given), on))


def _cobb(on: Measurable, given: Numbers) -> dict[str, Json]:
    return _degrees(measure_shape(MeasurementKind.COBB, _points(given), on))


def _degrees(found: Measured) -> dict[str, Json]:
    return {"angle": found.angle, "unit": "degrees"}


def _probe(on: Measurable, given: Numbers) -> dict[str, Json]:
    found = probe(on, (given[0], given[1]))
    place = None if found.position is None else list(found.position)
    told = {"suv": found.suv, "position_mm": place}
    known = {name: value for name, value in told.items() if value is not None}
    return {"value": found.value, "unit": found.unit, "padding": found.padding, **known}


def _rectangle(on: Measurable, given: Numbers) -> dict[str, Json]:
    return _region(measure_shape(MeasurementKind.RECTANGLE, _points(given), on))


def _ellipse(on: Measurable, given: Numbers) -> dict[str, Json]:
    return _region(measure_shape(MeasurementKind.ELLIPSE, _points(given), on))


def _polygon(on: Measurable, given: Numbers) -> dict[str, Json]:
    return _region(measure_shape(MeasurementKind.FREEHAND, _points(given), on))


def _region(found: Measured) -> dict[str, Json]:
    if not found.count:
        raise ValueError(found.note)
    names = ("count", "area", "mean", "sd", "minimum", "maximum", "left_out", "outside")
    values: dict[str, Json] = {name: getattr(found, name) for name in names}
    return {**values, "unit": found.value_unit, "area_unit": f"{found.unit}²"}


@dataclasses.dataclass(frozen=True)
class _Shape:
    """How a measurement is asked for. counts : allowed numbers of coordinates, least and most."""

    measure: Callable[[Measurable, Numbers], dict[str, Json]]
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
_REGIONS = ("probe", "rectangle", "ellipse", "polygon")


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
    padding left out; of ordinary pictures, and in colour, they are luminance, 0 to 255.
    """
    wanted = [(name, text) for name in _SHAPES for text in asked[name]]
    if not wanted:
        raise UsageError("nothing to measure", remedy="Give --line, --ellipse, --probe, ...")
    given = [(name, text, _numbers(name, text)) for name, text in wanted]
    with open_media(path) as source:
        inside = [
            point for name, _, numbers in given if name in _REGIONS for point in _points(numbers)
        ]
        on = _measurable(source, frame, inside, suv=suv)
    rows = [(name, text, _measured(name, on, numbers)) for name, text, numbers in given]
    spacing = on.spacing
    if as_json:
        emit_json(
            {
                "path": str(path),
                "frame": frame,
                "pixel_spacing_mm": on.scale and list(on.scale),
                "spacing_source": spacing.source if spacing else "",
                "projected": bool(spacing and spacing.projected),
                "measurements": [{"shape": n, "at": t, **found} for n, t, found in rows],
            }
        )
        return
    source_text = spacing.source if spacing else "unknown, lengths are in pixels"
    if spacing and spacing.projected:
        source_text += f", {PROJECTED}"
    table = [(name, text, _shown(found)) for name, text, found in rows]
    emit_table(f"Pixel spacing: {source_text}", ("Shape", "At", "Measured"), table)


def _measured(name: str, on: Measurable, numbers: Numbers) -> dict[str, Json]:
    try:
        return _SHAPES[name].measure(on, numbers)
    except ValueError as error:
        raise UsageError(str(error), field=f"--{name}") from error


def _measurable(
    source: MediaSource, frame: int, inside: Sequence[measuring.Point], *, suv: bool
) -> Measurable:
    count = source.info.frame_count
    if count is not None and frame >= count:
        raise UsageError(f"there is no frame {frame}; there are {count}", field="--frame")
    found = measurable(source, frame, around=inside)
    if not suv:
        # A probe would tell both: asked for one, it tells that one.
        return dataclasses.replace(found, suv_factor=None)
    factor = found.suv_factor or _suv_factor(source, frame)
    assert found.values is not None
    values = found.values * factor
    return dataclasses.replace(found, values=values, unit="g/ml (SUVbw)", suv_factor=None)


def _suv_factor(source: MediaSource, frame: int) -> float:
    """Raises the reason why there is none."""
    ask = getattr(source, "suv_factor", None)
    if ask is None or not source.info.has_values:
        raise UsageError("SUV is defined for PET only", path=source.info.path, field="--suv")
    factor: float = ask(frame)
    return factor


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

"""Results of measurements in words: for the picture, for lists and for tables."""

from __future__ import annotations

from vlmtool_core.measurement import Measured, Measurement

PROJECTED = "not calibrated: larger or smaller in the body"
# How far a result may be from the one kept before it counts as another: decoders round.
_TOLERANCE = 1e-5


def number_text(value: float) -> str:
    """Three digits that count, and at least one after the point up to a thousand."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text


def size_text(result: Measured) -> str:
    """The length, angle or area."""
    if result.length is not None:
        return f"{number_text(result.length)} {result.unit}"
    if result.angle is not None:
        return f"{result.angle:.1f}°"
    return "" if result.area is None else f"{number_text(result.area)} {result.unit}²"


def values_text(result: Measured) -> str:
    """Mean and standard deviation, of PET as SUV; why there is none where there is none."""
    if result.mean is None or result.sd is None:
        return result.note
    factor, unit = 1.0, result.value_unit
    if result.suv_factor is not None:
        factor, unit = result.suv_factor, "SUV"
    mean, sd = number_text(result.mean * factor), number_text(result.sd * factor)
    return _with_unit(f"{mean} ± {sd}", unit)


def range_text(result: Measured) -> str:
    """Number of pixels, smallest and largest value."""
    if result.minimum is None or result.maximum is None:
        return ""
    factor = 1.0 if result.suv_factor is None else result.suv_factor
    low, high = number_text(result.minimum * factor), number_text(result.maximum * factor)
    return f"n {result.count}, {low} to {high}"


def measured_text(measurement: Measurement) -> str:
    """In one line: `distance 12.3 mm`, `ellipse 40.1 ± 3.2 HU, 120 mm²`."""
    result = measurement.result
    parts = [values_text(result), size_text(result)] if result.area is not None else []
    return f"{measurement.kind} {', '.join(p for p in parts if p) or size_text(result)}"


def label_lines(result: Measured) -> list[str]:
    """What stands beside a shape in the picture."""
    lines = [values_text(result), range_text(result)] if result.area is not None else []
    lines.append(size_text(result))
    if result.projected:
        lines.append(result.spacing_source or PROJECTED)
    if result.outside:
        lines.append("partly outside of the picture")
    return [line for line in lines if line]


def spacing_text(result: Measured) -> str:
    """Whose word the millimetres are."""
    if result.spacing is None:
        return "pixel spacing unknown: in pixels"
    row, column = (f"{value:.4g}" for value in result.spacing)
    text = f"{row} × {column} mm, {result.spacing_source}"
    return f"{text} ({PROJECTED})" if result.projected else text


def changes(kept: Measured, now: Measured) -> list[str]:
    """In what a result differs from the one that was kept, each with what it was."""
    found = []
    if kept.spacing_source != now.spacing_source or not _same(kept.spacing, now.spacing):
        found.append(f"pixel spacing was {spacing_text(kept) if kept.spacing else 'unknown'}")
    if kept.unit != now.unit or kept.value_unit != now.value_unit:
        found.append(f"units were {kept.unit}, {kept.value_unit or 'none'}")
    for name in ("length", "angle", "area"):
        if not _same(getattr(kept, name), getattr(now, name)):
            found.append(f"{name} was {size_text(kept) or 'not known'}")
    if not all(_same(getattr(kept, n), getattr(now, n)) for n in ("mean", "sd")):
        found.append(f"values were {values_text(kept) or 'not known'}")
    elif not all(_same(getattr(kept, n), getattr(now, n)) for n in _RANGE):
        found.append(f"values were {range_text(kept) or 'not known'}")
    if not _same(kept.suv_factor, now.suv_factor):
        found.append("SUV was another")
    return found


_RANGE = ("count", "minimum", "maximum")
_Numbers = float | tuple[float, ...] | None


def _same(a: _Numbers, b: _Numbers) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, tuple) and isinstance(b, tuple):
        return all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, tuple) or isinstance(b, tuple):
        return False
    return abs(a - b) <= _TOLERANCE * max(1.0, abs(a), abs(b))

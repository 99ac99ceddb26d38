"""Outcomes, boxes and errors as plain JSON and back, for the store, the formats and the host.

Readers are strict: a missing key, a wrong type or an impossible value is a `FormatError` that
names the field. Floats are written exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from vlmtool_core.errors import FormatError
from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.records import (
    Box,
    ErrorInfo,
    Evidence,
    Json,
    Mask,
    Outcome,
    OutcomeStatus,
    Score,
    TextLine,
)

T = TypeVar("T")


def _wrong(field: str, expected: str, value: object) -> FormatError:
    shown = repr(value)
    return FormatError(f"expected {expected}, got {shown[:80]}", field=field)


def mapping(value: Json, field: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise _wrong(field, "an object", value)
    return value


def text(value: Json, field: str) -> str:
    if not isinstance(value, str):
        raise _wrong(field, "a text", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, from an escape
            raise _wrong(field, "a text of valid Unicode", value) from error
    return value


def integer(value: Json, field: str, *, minimum: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise _wrong(field, f"a whole number from {minimum}", value)
    return value


def number(value: Json, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(field, "a finite number", value)
    return float(value)


def probability(value: Json, field: str) -> float:
    found = number(value, field)
    if not 0 <= found <= 1:
        raise _wrong(field, "a number from 0 to 1", value)
    return found


def optional(value: Json, field: str, read: Callable[[Json, str], T]) -> T | None:
    return None if value is None else read(value, field)


def sequence(value: Json, field: str, read: Callable[[Json, str], T]) -> tuple[T, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(field, "a list", value)
    return tuple(read(entry, f"{field}[{index}]") for index, entry in enumerate(value))


def required(value: Mapping[str, Json], key: str, field: str = "") -> Json:
    """The value under `key`; a `FormatError` that names it when it is not there."""
    if key not in value:
        raise FormatError("is missing", field=f"{field}.{key}" if field else key)
    return value[key]


def box_to_json(box: Box) -> dict[str, Json]:
    return {"bbox": list(box.xyxy), "label": box.label, "score": box.score}


def box_from_json(value: Json, field: str = "box") -> Box:
    entry = mapping(value, field)
    corners = sequence(required(entry, "bbox", field), f"{field}.bbox", number)
    if len(corners) != 4 or corners[0] > corners[2] or corners[1] > corners[3]:
        expected = "[x1, y1, x2, y2] with x1 <= x2 and y1 <= y2"
        raise _wrong(f"{field}.bbox", expected, list(corners))
    label = text(entry.get("label", ""), f"{field}.label")
    return Box(*corners, label, optional(entry.get("score"), f"{field}.score", number))


def measurement_to_json(measurement: Measurement) -> dict[str, Json]:
    """Kind, points, and of the result the unit and what there is to say."""
    plain = Measured()
    result = {
        field.name: list(value) if isinstance(value, tuple) else value
        for field in fields(plain)
        if (value := getattr(measurement.result, field.name)) != getattr(plain, field.name)
        or field.name == "unit"
    }
    points = [list(point) for point in measurement.points]
    return {"kind": measurement.kind.value, "points": points, "result": result}


def measurement_from_json(value: Json, field: str = "measurement") -> Measurement:
    entry = mapping(value, field)
    name = text(required(entry, "kind", field), f"{field}.kind")
    kinds = [kind.value for kind in MeasurementKind]
    if name not in kinds:
        raise _wrong(f"{field}.kind", f"one of {', '.join(kinds)}", name)
    points = sequence(required(entry, "points", field), f"{field}.points", _point)
    result = _measured(mapping(entry.get("result", {}), f"{field}.result"), f"{field}.result")
    try:
        return Measurement(MeasurementKind(name), points, result)
    except ValueError as error:
        raise FormatError(str(error), field=f"{field}.points") from error


def _flag(value: Json, field: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(field, "true or false", value)
    return value


_MEASURED: dict[str, Callable[[Json, str], Any]] = {
    "unit": text,
    "value_unit": text,
    "spacing_source": text,
    "note": text,
    "count": integer,
    "left_out": integer,
    "outside": _flag,
    "projected": _flag,
    **dict.fromkeys(("length", "angle", "area", "mean", "sd"), number),
    **dict.fromkeys(("minimum", "maximum", "suv_factor"), number),
}


def _measured(entry: Mapping[str, Json], field: str) -> Measured:
    found: dict[str, Any] = {}
    for key, value in entry.items():
        place = f"{field}.{key}"
        if key == "spacing":
            found[key] = _point(value, place)
        elif key in _MEASURED:
            found[key] = _MEASURED[key](value, place)
        else:
            raise FormatError("is no part of a measurement", field=place)
    return Measured(**found)


def error_to_json(error: ErrorInfo) -> dict[str, Json]:
    return {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        "path": error.path,
        "field": error.field,
    }


def error_from_json(value: Json, field: str = "error") -> ErrorInfo:
    entry = mapping(value, field)
    return ErrorInfo(
        text(required(entry, "code", field), f"{field}.code"),
        text(required(entry, "message", field), f"{field}.message"),
        text(entry.get("remedy", ""), f"{field}.remedy"),
        optional(entry.get("path"), f"{field}.path", text),
        optional(entry.get("field"), f"{field}.field", text),
    )


def score_from_json(value: Json, field: str = "score") -> Score:
    entry = mapping(value, field)
    return Score(
        text(required(entry, "label", field), f"{field}.label"),
        number(required(entry, "score", field), f"{field}.score"),
    )


def _point(value: Json, field: str) -> tuple[float, float]:
    found = sequence(value, field, number)
    if len(found) != 2:
        raise _wrong(field, "[x, y]", value)
    return found[0], found[1]


def _line_to_json(line: TextLine) -> dict[str, Json]:
    return {"text": line.text, "quad": [list(point) for point in line.quad], "score": line.score}


def line_from_json(value: Json, field: str = "line") -> TextLine:
    entry = mapping(value, field)
    return TextLine(
        text(required(entry, "text", field), f"{field}.text"),
        sequence(entry.get("quad", []), f"{field}.quad", _point),
        optional(entry.get("score"), f"{field}.score", number),
    )


def _evidence_to_json(evidence: Evidence) -> dict[str, Json]:
    found: dict[str, Json] = {"kind": evidence.kind, "text": evidence.text, "score": evidence.score}
    if evidence.box is not None:
        found["box"] = box_to_json(evidence.box)
    return found


def evidence_from_json(value: Json, field: str = "evidence") -> Evidence:
    entry = mapping(value, field)
    return Evidence(
        text(required(entry, "kind", field), f"{field}.kind"),
        text(required(entry, "text", field), f"{field}.text"),
        optional(entry.get("score"), f"{field}.score", number),
        optional(entry.get("box"), f"{field}.box", box_from_json),
    )


def mask_to_json(mask: Mask) -> dict[str, Json]:
    """The mask as COCO's `segmentation` object, with its label and score beside it."""
    segmentation = {"size": list(mask.size), "counts": mask.counts}
    return {"segmentation": segmentation, "label": mask.label, "score": mask.score}


def mask_from_json(value: Json, field: str = "mask") -> Mask:
    entry = mapping(value, field)
    where = f"{field}.segmentation"
    segmentation = mapping(required(entry, "segmentation", field), where)
    size = sequence(required(segmentation, "size", where), f"{where}.size", integer)
    if len(size) != 2 or min(size) < 1:
        raise _wrong(f"{where}.size", "[height, width]", list(size))
    counts = text(required(segmentation, "counts", where), f"{where}.counts")
    label = text(entry.get("label", ""), f"{field}.label")
    return Mask(size, counts, label, optional(entry.get("score"), f"{field}.score", number))


def outcome_to_json(outcome: Outcome) -> dict[str, Json]:
    """`outcome` (the status), then only what the outcome holds."""
    found: dict[str, Json] = {"outcome": outcome.status.value}
    if outcome.scores:
        found["scores"] = [{"label": s.label, "score": s.score} for s in outcome.scores]
    if outcome.boxes:
        found["boxes"] = [box_to_json(box) for box in outcome.boxes]
    if outcome.text is not None:
        found["text"] = outcome.text
    if outcome.lines:
        found["lines"] = [_line_to_json(line) for line in outcome.lines]
    if outcome.embedding is not None:
        found["embedding"] = [float(value) for value in outcome.embedding]
    if outcome.masks:
        found["masks"] = [mask_to_json(mask) for mask in outcome.masks]
    return {**found, **_basis_to_json(outcome)}


def _basis_to_json(outcome: Outcome) -> dict[str, Json]:
    """What an outcome rests on, or why there is none."""
    found: dict[str, Json] = {}
    if outcome.data is not None:
        found["data"] = outcome.data
    if outcome.evidence:
        found["evidence"] = [_evidence_to_json(entry) for entry in outcome.evidence]
    if outcome.error is not None:
        found["error"] = error_to_json(outcome.error)
    if outcome.provenance:
        found["provenance"] = dict(outcome.provenance)
    return found


def _embedding(value: Json, field: str) -> Any:
    import numpy as np

    return np.array(sequence(value, field, number), dtype=np.float32)


def status_from_json(value: Json, field: str = "outcome") -> OutcomeStatus:
    if value not in set(OutcomeStatus):
        raise _wrong(field, "one of " + ", ".join(OutcomeStatus), value)
    return OutcomeStatus(value)


def outcome_from_json(value: Json) -> Outcome:
    """The outcome in `value`; other keys are left alone.

    Raises
    ------
    FormatError : a field is missing, of the wrong type or out of range, or a failure has no error.
    """
    entry = mapping(value, "result")
    status = status_from_json(required(entry, "outcome"))
    error = optional(entry.get("error"), "error", error_from_json)
    if status is OutcomeStatus.FAILED and error is None:
        raise FormatError("a failed outcome needs its reason", field="error")
    return Outcome(
        status,
        scores=sequence(entry.get("scores", ()), "scores", score_from_json),
        boxes=sequence(entry.get("boxes", ()), "boxes", box_from_json),
        text=optional(entry.get("text"), "text", text),
        lines=sequence(entry.get("lines", ()), "lines", line_from_json),
        embedding=optional(entry.get("embedding"), "embedding", _embedding),
        evidence=sequence(entry.get("evidence", ()), "evidence", evidence_from_json),
        masks=sequence(entry.get("masks", ()), "masks", mask_from_json),
        data=entry.get("data"),
        error=error,
        provenance=dict(mapping(entry.get("provenance", {}), "provenance")),
    )

"""The small part of JSON Schema that answers may have: checked, matched and bounded.

`type`: object (`properties`, `required`), array (`items`, `maxItems`), string (`maxLength`),
number and integer (`minimum`, `maximum`), boolean; or `enum` of texts, numbers and booleans.
`title`, `description` and `$schema` are allowed anywhere and tell the model what is meant. An
object holds its named properties and no others. What has no limit of its own gets one, so that
every answer comes to an end: 200 characters, 20 entries, 1,000,000,000 either way, 4 decimals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal

from vlmtool_core.errors import UsageError
from vlmtool_core.records import Json

MOST_LENGTH = 200
MOST_ITEMS = 20
LARGEST_NUMBER = 1_000_000_000
_LEAST_DECIMALS, _MOST_DECIMALS = 4, 9
_MOST_DEPTH = 8
_MOST_PROPERTIES = 100
_TOLD = frozenset({"title", "description", "$schema", "type"})
_KEYS: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "maxItems"}),
    "string": frozenset({"maxLength", "enum"}),
    "number": frozenset({"minimum", "maximum", "enum"}),
    "integer": frozenset({"minimum", "maximum", "enum"}),
    "boolean": frozenset({"enum"}),
}
_WORDS = {"object": "an object", "array": "a list", "string": "a text", "number": "a number",
          "integer": "a whole number", "boolean": "true or false"}  # fmt: skip


def check_schema(schema: Json, where: str = "schema", depth: int = 0) -> None:
    """Raise unless the schema says only what is supported, and something can fit it.

    Raises
    ------
    UsageError : names the place and the keyword.
    """
    if not isinstance(schema, Mapping):
        raise _unsupported(where, f"expected an object, got {schema!r}")
    if depth > _MOST_DEPTH:
        raise _unsupported(where, f"is nested more than {_MOST_DEPTH} deep")
    kind = _kind(schema, where)
    for key in schema:
        if key not in _TOLD and key not in _KEYS[kind]:
            raise _unsupported(where, f"{key!r} is not supported for {kind}")
    if "enum" in schema:
        _check_enum(schema, where, kind)
    else:
        _CHECKS[kind](schema, where, depth)


def _kind(schema: Mapping[str, Json], where: str) -> str:
    """The `type`; an `enum` without one takes that of its first value."""
    kind = schema.get("type")
    if kind is None and isinstance(schema.get("enum"), list) and schema["enum"]:
        kind = _type_of(schema["enum"][0])
    if not isinstance(kind, str) or kind not in _KEYS:
        given = "is missing" if kind is None else f"{kind!r} is not supported"
        raise _unsupported(where, f"the type {given}; use one of {', '.join(_KEYS)}")
    return kind


def _type_of(value: Json) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string" if isinstance(value, str) else None


def _check_enum(schema: Mapping[str, Json], where: str, kind: str) -> None:
    values = schema["enum"]
    if not isinstance(values, list) or not 1 <= len(values) <= 1000:
        raise _unsupported(where, "enum must be a list of 1 to 1000 values")
    for value in values:
        if "type" in schema and not _is(value, kind):
            raise _unsupported(where, f"enum holds {value!r}, which is not {_WORDS[kind]}")
        if _type_of(value) is None or not _is_written(value):
            raise _unsupported(where, f"enum may hold texts, numbers and booleans, not {value!r}")


def _is_written(value: Json) -> bool:
    """Whether a scalar can stand in a JSON file: no NaN, no half of a character."""
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, str) or value.isascii() or _encodes(value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_object(schema: Mapping[str, Json], where: str, depth: int) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not 1 <= len(properties) <= _MOST_PROPERTIES:
        raise _unsupported(where, f"expected 1 to {_MOST_PROPERTIES} properties")
    if schema.get("additionalProperties", False) is not False:
        raise _unsupported(where, "additionalProperties is not supported")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(name in properties for name in required):
        raise _unsupported(where, "required must list names of properties")
    for name, part in properties.items():
        check_schema(part, f"{where}.{name}", depth + 1)


def _check_array(schema: Mapping[str, Json], where: str, depth: int) -> None:
    _whole(schema, "maxItems", where, 1000)
    if "items" not in schema:
        raise _unsupported(where, "items is missing")
    check_schema(schema["items"], f"{where}[]", depth + 1)


def _check_string(schema: Mapping[str, Json], where: str, _depth: int) -> None:
    _whole(schema, "maxLength", where, 10_000)


def _check_number(schema: Mapping[str, Json], where: str, _depth: int) -> None:
    for key in ("minimum", "maximum"):
        value = schema.get(key, 0)
        if not _is(value, "number") or not abs(value) <= LARGEST_NUMBER:
            raise _unsupported(where, f"{key} must be a number of at most {LARGEST_NUMBER:,}")
    if decimals(schema) > _MOST_DECIMALS:
        raise _unsupported(where, f"numbers may have at most {_MOST_DECIMALS} decimals")
    low, high = limits(schema)
    if schema["type"] == "integer":
        low, high = math.ceil(low), math.floor(high)
    if low > high:
        raise _unsupported(where, "no number lies between minimum and maximum")


def _check_boolean(_schema: Mapping[str, Json], _where: str, _depth: int) -> None:
    """Nothing more can be said of it."""


_CHECKS: Mapping[str, Callable[[Mapping[str, Json], str, int], None]] = {
    "object": _check_object,
    "array": _check_array,
    "string": _check_string,
    "number": _check_number,
    "integer": _check_number,
    "boolean": _check_boolean,
}


def _whole(schema: Mapping[str, Json], key: str, where: str, most: int) -> None:
    value = schema.get(key, 0)
    if not _is(value, "integer") or not 0 <= value <= most:
        raise _unsupported(where, f"{key} must be 0 to {most:,}")


def _unsupported(where: str, message: str) -> UsageError:
    return UsageError(
        message, field=where, remedy="See which schemas can be used: help, Asking questions."
    )


def limits(schema: Mapping[str, Json]) -> tuple[float, float]:
    """The least and the greatest number that fits."""
    return schema.get("minimum", -LARGEST_NUMBER), schema.get("maximum", LARGEST_NUMBER)


def decimals(schema: Mapping[str, Json]) -> int:
    """Most digits behind the point that are written."""
    exponents = [Decimal(str(limit)).as_tuple().exponent for limit in limits(schema)]
    wanted = max(-exponent if isinstance(exponent, int) else 0 for exponent in exponents)
    return max(wanted, _LEAST_DECIMALS)


def mismatch(value: Json, schema: Mapping[str, Json], where: str = "$") -> tuple[str, str] | None:
    """Where a value does not fit a checked schema and what was expected there; None if it fits."""
    if "enum" in schema:
        fits = any(value == one and _type_of(value) == _type_of(one) for one in schema["enum"])
        told = ", ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"][:10])
        return None if fits else (where, f"one of {told}")
    kind = schema["type"]
    if not _is(value, kind) or not _is_written(value):
        return where, _WORDS[kind]
    if kind == "object":
        return _object_mismatch(value, schema, where)
    if kind == "array":
        return _array_mismatch(value, schema, where)
    if kind == "string" and len(value) > schema.get("maxLength", MOST_LENGTH):
        return where, f"at most {schema.get('maxLength', MOST_LENGTH)} characters"
    if kind in ("number", "integer"):
        low, high = limits(schema)
        return None if low <= value <= high else (where, f"{low} to {high}")
    return None


def _object_mismatch(
    value: Mapping[str, Json], schema: Mapping[str, Json], where: str
) -> tuple[str, str] | None:
    properties = schema["properties"]
    for name in schema.get("required", ()):
        if name not in value:
            return where, f"the property {name!r}"
    for name, part in value.items():
        if name not in properties:
            return where, f"no property {name[:40]!r}"
        if (wrong := mismatch(part, properties[name], f"{where}.{name}")) is not None:
            return wrong
    return None


def _array_mismatch(
    value: list[Json], schema: Mapping[str, Json], where: str
) -> tuple[str, str] | None:
    most = schema.get("maxItems", MOST_ITEMS)
    if len(value) > most:
        return where, f"at most {most} entries"
    found = (mismatch(part, schema["items"], f"{where}[{n}]") for n, part in enumerate(value))
    return next((wrong for wrong in found if wrong is not None), None)


def _is(value: Json, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "number":
        return isinstance(value, int | float) and math.isfinite(value)
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, {"object": dict, "array": list, "string": str}.get(kind, ()))


def bounded(schema: Mapping[str, Json]) -> dict[str, Json]:
    """The checked schema with every limit written out, so that each answer comes to an end."""
    if "enum" in schema:
        return {"enum": schema["enum"]}
    kind = schema["type"]
    if kind == "object":
        return {
            "type": kind,
            "properties": {name: bounded(part) for name, part in schema["properties"].items()},
            "required": list(schema.get("required", ())),
            "additionalProperties": False,
        }
    if kind == "array":
        most = schema.get("maxItems", MOST_ITEMS)
        return {"type": kind, "items": bounded(schema["items"]), "maxItems": most}
    if kind == "string":
        return {"type": kind, "maxLength": schema.get("maxLength", MOST_LENGTH)}
    if kind == "boolean":
        return {"type": kind}
    low, high = limits(schema)
    found = {"type": kind, "minimum": low, "maximum": high}
    return found if kind == "integer" else {**found, "multipleOf": float(f"1e-{decimals(schema)}")}


def most_characters(schema: Mapping[str, Json]) -> int:
    """No value that fits is longer as JSON."""
    if "enum" in schema:
        return max(_longest(one) for one in schema["enum"])
    kind = schema["type"]
    if kind == "object":
        parts = schema["properties"].items()
        return 2 + sum(_longest(name) + 4 + most_characters(part) for name, part in parts)
    if kind == "array":
        return 2 + schema.get("maxItems", MOST_ITEMS) * (most_characters(schema["items"]) + 2)
    if kind == "string":
        return 2 + 6 * int(schema.get("maxLength", MOST_LENGTH))
    return 5 if kind == "boolean" else 12 + (0 if kind == "integer" else 1 + decimals(schema))


def _longest(value: Json) -> int:
    """Characters of a scalar where each may be written as an escape."""
    return 2 + 6 * len(value) if isinstance(value, str) else len(json.dumps(value))

"""Values between the program and its workers: JSON, with numbers of arrays as bytes beside it.

Nothing is unpickled. What a worker sends is only ever made into plain values, arrays of plain
numbers, and dataclasses and enumerations of `records` and `media`.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np

from vlmtool_core.errors import FormatError
from vlmtool_core.records import Json

_PACKAGES = ("vlmtool_core.media.", "vlmtool_core.records.")
_KINDS = "biufc"
_PLAIN = (str, bool, int, float, type(None))


class Sink(Protocol):
    """Where the bytes of arrays go."""

    def put(self, array: np.ndarray) -> Json:
        """Keep the bytes of a contiguous array, and say in JSON where they are."""
        ...


class Store(Protocol):
    """Where the bytes of arrays come from."""

    def get(self, place: Json, size: int) -> np.ndarray:
        """The `size` bytes that were put there: uint8 (size,), for the caller to keep."""
        ...


def encode(value: Any, sink: Sink) -> Json:
    """The value as JSON; the bytes of its arrays go to `sink`.

    Raises
    ------
    TypeError : it is of a type that does not travel
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    coder = _ENCODERS.get(kind) or _coder_of(value)
    return coder(value, sink)


def _coder_of(value: Any) -> Callable[[Any, Sink], Json]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _record
    for kinds, coder in _FAMILIES:
        if isinstance(value, kinds):
            return coder
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} cannot travel")


def _named(value: object) -> str:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if not name.startswith(_PACKAGES):
        raise TypeError(f"{name} cannot travel: it is not of records or media")
    return name


def _record(value: Any, sink: Sink) -> Json:
    fields = {
        field.name: encode(getattr(value, field.name), sink)
        for field in dataclasses.fields(value)
        if field.init
    }
    return {"$o": [_named(value), fields]}


def _enumeration(value: Any, _sink: Sink) -> Json:
    return {"$e": [_named(value), value.value]}


def _list(value: Iterable[Any], sink: Sink) -> Json:
    return [encode(entry, sink) for entry in value]


def _mapping(value: Mapping[Any, Any], sink: Sink) -> Json:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: encode(entry, sink) for key, entry in value.items()}
    return {"$d": [[encode(k, sink), encode(v, sink)] for k, v in value.items()]}


def _array(value: np.ndarray, sink: Sink) -> Json:
    if value.dtype.kind not in _KINDS:
        raise TypeError(f"an array of {value.dtype} cannot travel")
    whole = np.ascontiguousarray(value)
    return {"$a": [whole.dtype.str, list(value.shape), sink.put(whole)]}


def _masked(value: np.ma.MaskedArray, sink: Sink) -> Json:
    mask = None if value.mask is np.ma.nomask else _array(np.asarray(value.mask), sink)
    return {"$m": [_array(np.asarray(value.data), sink), mask]}


def _bytes(value: bytes, sink: Sink) -> Json:
    return {"$b": _array(np.frombuffer(value, np.uint8), sink)}


_ENCODERS: dict[type, Callable[[Any, Sink], Json]] = {
    list: _list,
    dict: _mapping,
    tuple: lambda value, sink: {"$t": _list(value, sink)},
    np.ndarray: _array,
    np.ma.MaskedArray: _masked,
    bytes: _bytes,
}
_FAMILIES: tuple[tuple[Any, Callable[[Any, Sink], Json]], ...] = (
    (np.ma.MaskedArray, _masked),
    (np.ndarray, _array),
    (np.generic, lambda value, sink: encode(value.item(), sink)),
    (Enum, _enumeration),
    (PurePath, lambda value, _: {"$p": str(value)}),
    (Fraction, lambda value, _: {"$q": [value.numerator, value.denominator]}),
    (datetime, lambda value, _: {"$n": value.isoformat()}),
    (date, lambda value, _: {"$y": value.isoformat()}),
    (timedelta, lambda value, _: {"$s": [value.days, value.seconds, value.microseconds]}),
    ((set, frozenset), lambda value, sink: {"$f": _list(value, sink)}),
    (Mapping, _mapping),
    (tuple, lambda value, sink: {"$t": _list(value, sink)}),
    (str, lambda value, _: str(value)),
    (int, lambda value, _: int(value)),
    (float, lambda value, _: float(value)),
    (bytearray, lambda value, sink: _bytes(bytes(value), sink)),
    (Iterable, _list),
)


def decode(value: Json, store: Store) -> Any:
    """The value that `encode` made this JSON of.

    Raises
    ------
    FormatError : it was not made by `encode`
    """
    try:
        return _decoded(value, store)
    except FormatError:
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        ImportError,
        RecursionError,
    ) as error:
        raise FormatError(f"a worker sent a broken value: {error}") from error


def _decoded(value: Json, store: Store) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, list):
        return [_decoded(entry, store) for entry in value]
    if len(value) == 1:
        ((key, entry),) = value.items()
        if key in _DECODERS:
            return _DECODERS[key](entry, store)
    return {key: _decoded(entry, store) for key, entry in value.items()}


def _type_of(name: str) -> Any:
    if not name.startswith(_PACKAGES):
        raise FormatError(f"a worker sent a value of type {name}")
    module, _, kind = name.rpartition(".")
    found: Any = getattr(importlib.import_module(module), kind)
    is_known = isinstance(found, type) and found.__module__ == module
    if not is_known or not (dataclasses.is_dataclass(found) or issubclass(found, Enum)):
        raise FormatError(f"a worker sent a value of type {name}")
    return found


def _record_of(value: Json, store: Store) -> Any:
    name, fields = value
    return _type_of(name)(**{key: _decoded(entry, store) for key, entry in fields.items()})


def _array_of(value: Json, store: Store) -> np.ndarray:
    text, shape, place = value
    dtype = np.dtype(str(text))
    if dtype.kind not in _KINDS or not all(type(n) is int and n >= 0 for n in shape):
        raise FormatError(f"a worker sent an array of {dtype} {shape}")
    size = math.prod(shape) * dtype.itemsize
    if size == 0:
        return np.empty(shape, dtype)
    return store.get(place, size).view(dtype).reshape(shape)


def _masked_of(value: Json, store: Store) -> np.ma.MaskedArray:
    data = _decoded(value[0], store)
    mask = np.ma.nomask if value[1] is None else _decoded(value[1], store)
    return np.ma.MaskedArray(data, mask=mask)


_DECODERS: dict[str, Callable[[Json, Store], Any]] = {
    "$a": _array_of,
    "$m": _masked_of,
    "$b": lambda value, store: _decoded(value, store).tobytes(),
    "$o": _record_of,
    "$e": lambda value, _: _type_of(value[0])(value[1]),
    "$t": lambda value, store: tuple(_decoded(entry, store) for entry in value),
    "$f": lambda value, store: frozenset(_decoded(entry, store) for entry in value),
    "$d": lambda value, store: {_decoded(k, store): _decoded(v, store) for k, v in value},
    "$p": lambda value, _: Path(str(value)),
    "$q": lambda value, _: Fraction(*value),
    "$n": lambda value, _: datetime.fromisoformat(value),
    "$y": lambda value, _: date.fromisoformat(value),
    "$s": lambda value, _: timedelta(*value),
}

"""Make the fixed batch, height and width of an ONNX file free, without the onnx library.

The file is a protocol buffer; only the shapes of the graph's inputs and outputs are rewritten
(ModelProto.graph = 7; GraphProto.input = 11, output = 12, value_info = 13).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from vlmtool_core.errors import PackIntegrityError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SPATIAL = {0: b"batch", 2: b"height", 3: b"width"}


def free_dimensions(model: bytes) -> bytes:
    """The same model with named free dimensions 0, 2 and 3 on its inputs and outputs.

    Raises
    ------
    PackIntegrityError : not a protocol buffer.
    """
    return _rewrite(model, {7: _graph})


def _graph(data: bytes) -> bytes:
    # value_info (13) states shapes of values inside the graph; they would contradict.
    return _rewrite(data, {11: _value(b"in"), 12: _value(b"out"), 13: _drop})


def _drop(_data: bytes) -> None:
    """Leave the field out."""


def _value(prefix: bytes) -> Callable[[bytes], bytes]:
    def shape(data: bytes) -> bytes:
        parts, position = [], 0
        for number, wire, value in _fields(data):
            if number == 1 and position in _SPATIAL:
                name = prefix + b"_" + _SPATIAL[position]
                value = _field(2, _BYTES, name)
            position += number == 1
            parts.append(_field(number, wire, value))
        return b"".join(parts)

    def tensor(data: bytes) -> bytes:
        return _rewrite(data, {2: shape})

    def kind(data: bytes) -> bytes:
        return _rewrite(data, {1: tensor})

    return lambda data: _rewrite(data, {2: kind})


def _rewrite(data: bytes, change: Mapping[int, Callable[[bytes], bytes | None]]) -> bytes:
    parts = []
    for number, wire, value in _fields(data):
        kept: bytes | None = value
        if wire == _BYTES and number in change:
            kept = change[number](value)
        if kept is not None:
            parts.append(_field(number, wire, kept))
    return b"".join(parts)


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(field number, wire type, payload); the payload of a number is its raw bytes."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire = key & 7
        start = at
        if wire == _BYTES:
            length, start = _read_varint(data, at)
            at = start + length
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        elif wire == _VARINT:
            _, at = _read_varint(data, at)
        else:
            raise PackIntegrityError("not an ONNX file")
        if at > len(data):
            raise PackIntegrityError("the ONNX file is cut off")
        yield key >> 3, wire, data[start:at]


def _field(number: int, wire: int, value: bytes) -> bytes:
    head = _varint(number << 3 | wire)
    return head + _varint(len(value)) + value if wire == _BYTES else head + value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise PackIntegrityError("the ONNX file is cut off")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if not byte & 0x80:
            return value, at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

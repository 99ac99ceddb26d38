"""Messages on a pipe: the lengths of both parts, a JSON object, and bytes that it refers to."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np

from vlmtool_core.errors import FormatError
from vlmtool_core.media.safe.codec import decode, encode
from vlmtool_core.records import Json

_LENGTHS = struct.Struct("<II")
MOST_BYTES = 1 << 30
# Smaller arrays go through the pipe: that costs less than looking after a place.
MOST_INLINE = 48 * 1024

Message = dict[str, Json]


class Outgoing:
    """The bytes of a message's arrays. lay : puts a large one elsewhere, None when it cannot."""

    def __init__(self, lay: Callable[[np.ndarray], int | None] | None = None) -> None:
        self._lay = lay
        self._parts: list[np.ndarray] = []
        self._size = 0

    def put(self, array: np.ndarray) -> Json:
        if self._lay is not None and array.nbytes > MOST_INLINE:
            offset = self._lay(array)
            if offset is not None:
                return ["shared", offset]
        start = self._size
        self._parts.append(array.reshape(-1).view(np.uint8))
        self._size += array.nbytes
        return ["inline", start]

    def packed(self, message: Message) -> tuple[bytes, int]:
        """The JSON of a message whose values were encoded with this object, and bytes in all."""
        text = json.dumps(message, separators=(",", ":")).encode()
        return text, len(text) + self._size

    def write(self, pipe: BinaryIO, text: bytes) -> None:
        """Send a message.

        Raises
        ------
        OSError : the other side is gone
        """
        pipe.write(_LENGTHS.pack(len(text), self._size) + text)
        for part in self._parts:
            pipe.write(part.data)
        pipe.flush()


class Incoming:
    """A message and the bytes that came with it. fetch : gives the bytes laid elsewhere."""

    def __init__(
        self,
        message: Message,
        data: bytes,
        fetch: Callable[[int, int], np.ndarray] | None = None,
    ) -> None:
        self.message = message
        self._data = data
        self._fetch = fetch

    def get(self, place: Json, size: int) -> np.ndarray:
        where, start = place
        if where == "shared" and self._fetch is not None:
            return self._fetch(start, size)
        if where != "inline" or not 0 <= start <= start + size <= len(self._data):
            raise FormatError(f"a message refers to {size} bytes at {where} {start}")
        return np.frombuffer(bytearray(self._data[start : start + size]), np.uint8)

    def value(self, key: str) -> object:
        """The value under `key`, decoded.

        Raises
        ------
        FormatError
        """
        return decode(self.message.get(key), self)


def read(pipe: BinaryIO, fetch: Callable[[int, int], np.ndarray] | None = None) -> Incoming | None:
    """The next message, None at the end of the pipe.

    Raises
    ------
    FormatError : it is no message
    """
    head = pipe.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    length, size = _LENGTHS.unpack(head)
    if length > MOST_BYTES or size > MOST_BYTES:
        raise FormatError(f"a message of {length} and {size} bytes")
    text, data = pipe.read(length), pipe.read(size)
    if len(text) < length or len(data) < size:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a message is no JSON: {error}") from error
    if not isinstance(message, dict):
        raise FormatError("a message is no object")
    return Incoming(message, data, fetch)


def pack(
    values: Mapping[str, object], lay: Callable[[np.ndarray], int | None] | None = None
) -> tuple[Outgoing, Message]:
    """Encode each value of a message; what to `write` and with what.

    Raises
    ------
    TypeError : a value is of a type that does not travel
    """
    outgoing = Outgoing(lay)
    return outgoing, {key: encode(value, outgoing) for key, value in values.items()}

"""How long each frame of an animated picture is shown, read from the file without decoding it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_GRAPHIC_CONTROL = b"\x21\xf9\x04"


def frame_durations(path: Path, image: Image, count: int) -> tuple[float, ...]:
    """Seconds of each of `count` frames, as the file has them; empty when it does not say.

    Raises
    ------
    struct.error, IndexError, OSError : the file is broken
    """
    readers: dict[str, Callable[[bytes], Iterator[float]]] = {
        "GIF": _gif,
        "PNG": _apng,
        "WEBP": _webp,
    }
    reader = readers.get(image.format or "")
    found = _by_seeking(image, count) if reader is None else tuple(reader(path.read_bytes()))
    return found if len(found) == count else ()


def start_times(durations: tuple[float, ...]) -> list[float]:
    """When each frame appears, in seconds from the first."""
    return [0.0, *accumulate(durations)][: len(durations)]


def _gif(data: bytes) -> Iterator[float]:
    """Delays of the graphic control extensions, in 1/100 s (GIF89a, 23)."""
    place = 13 + _colour_table(data[10])
    delay = 0.0
    while place < len(data):
        kind = data[place]
        if kind == 0x2C:
            yield delay
            delay = 0.0
            place += 10 + _colour_table(data[place + 9]) + 1
        elif kind == 0x21:
            if data[place : place + 3] == _GRAPHIC_CONTROL:
                delay = struct.unpack_from("<H", data, place + 4)[0] / 100
            place += 2
        else:
            return
        while data[place]:
            place += 1 + data[place]
        place += 1


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _apng(data: bytes) -> Iterator[float]:
    """Delays of the fcTL chunks (PNG, third edition, 11.3.6.2)."""
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"fcTL":
            numerator, denominator = struct.unpack_from(">HH", data, place + 8 + 20)
            yield numerator / (denominator or 100)
        place += 12 + length


def _webp(data: bytes) -> Iterator[float]:
    """Durations of the ANMF chunks, in ms (RFC 9649, 2.7.1.1)."""
    place = 12
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        if kind == b"ANMF":
            yield int.from_bytes(data[place + 8 + 12 : place + 8 + 15], "little") / 1000
        place += 8 + length + length % 2


def _by_seeking(image: Image, count: int) -> tuple[float, ...]:
    found = []
    for index in range(count):
        image.seek(index)
        image.load()
        duration = image.info.get("duration")
        if not isinstance(duration, int | float):
            return ()
        found.append(duration / 1000)
    return tuple(found)

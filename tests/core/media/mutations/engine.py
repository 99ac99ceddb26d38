"""Breaks files in ways that are always the same: the n-th mutation of a seed never changes.

Half of the mutations know nothing of the format (bits, runs of bytes, cuts, repeats); half change
the fields that decoders trust: lengths, sizes, counts and offsets.
"""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

EXTREMES = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
WIDE = (0x10000, 0xFFFFFF, 0x7FFFFFF0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


@dataclass(frozen=True)
class Field:
    """A whole number that a decoder reads: `size` bytes at `start`."""

    start: int
    size: int
    order: Literal["little", "big"]


Finder = Callable[[bytes], Iterator[Field]]


def mutated(kind: str, data: bytes, number: int, finder: Finder | None = None) -> bytes:
    """The `number`-th broken version of `data`; `kind` makes the kinds differ from each other."""
    chance = random.Random(f"{kind}-{number}")
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        fields = (
            list(finder(bytes(changed))) if finder is not None and chance.random() < 0.6 else []
        )
        if fields:
            _set_field(changed, chance.choice(fields), chance)
        else:
            chance.choice(BLIND)(changed, chance)
    if changed[:8] == b"\x89PNG\r\n\x1a\n" and chance.random() < 0.7:
        _mend_png(changed)
    return bytes(changed)


def _set_field(data: bytearray, field: Field, chance: random.Random) -> None:
    place = slice(field.start, field.start + field.size)
    value = int.from_bytes(data[place], field.order)
    choices = [*EXTREMES, *(WIDE if field.size >= 4 else ())]
    choices += [value + 1, value - 1, 2 * value, value // 2, value ^ 1 << chance.randrange(16)]
    choices.append(chance.getrandbits(8 * field.size))
    wanted = chance.choice(choices) % (1 << 8 * field.size)
    data[place] = wanted.to_bytes(field.size, field.order)


def _flip_bits(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 2, 8, 64)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random) -> None:
    start, size = _run(data, chance)
    fill = chance.choice((b"\0", b"\xff", None))
    data[start : start + size] = fill * size if fill else chance.randbytes(size)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _remove(data: bytearray, chance: random.Random) -> None:
    start, size = _run(data, chance)
    del data[start : start + size]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start, size = _run(data, chance)
    data[start:start] = data[start : start + size] * chance.choice((1, 2, 50))


def _insert(data: bytearray, chance: random.Random) -> None:
    start, size = _run(data, chance)
    data[start:start] = chance.randbytes(size)


def _run(data: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(chance.choice((1, 2, 4, 16, 64, 256)), len(data) - start)


BLIND = (_flip_bits, _overwrite, _cut, _remove, _repeat, _insert)


def _mend_png(data: bytearray) -> None:
    """Right check sums, so that what lies behind them is looked at."""
    place = 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[place + 4 : end]))
        place = end + 4


def dicom_fields(data: bytes) -> Iterator[Field]:
    """Lengths and short values of elements, in the data set and in its items."""
    order: Literal["little", "big"] = "big" if b"1.2.840.10008.1.2.2\0" in data[:600] else "little"
    for found in re.finditer(rb"(?:AE|AS|CS|DA|DS|IS|LO|PN|SH|TM|UI|US|SS|UL|SL|FL)(?=..)", data):
        yield Field(found.end(), 2, order)
        if found[0] in (b"US", b"SS"):
            yield Field(found.end() + 2, 2, order)
    for found in re.finditer(rb"(?:OB|OW|SQ|UN|UT|OF)\0\0", data):
        yield Field(found.end(), 4, order)
    for found in re.finditer(rb"\xfe\xff[\x00\x0d\xdd]\xe0", data):
        yield Field(found.end(), 4, order)
    if b"1.2.840.10008.1.2\0" in data[:600]:
        # Implicit: the group of what describes the pixels, and the pixels themselves.
        for found in re.finditer(rb"\x28\0..|\xe0\x7f\x10\0", data, re.DOTALL):
            yield Field(found.end(), 4, order)
            yield Field(found.end() + 4, 2, order)


def inner_fields(finder: Finder, magic: bytes) -> Finder:
    """Those of the element structure, and of what an encoder wrote into the pixel data."""

    def find(data: bytes) -> Iterator[Field]:
        yield from dicom_fields(data)
        start = data.find(magic)
        if start >= 0:
            for field in finder(data[start:]):
                yield Field(start + field.start, field.size, field.order)

    return find


def png_fields(data: bytes) -> Iterator[Field]:
    """Lengths of chunks; sizes, depth and kinds of the header."""
    place = 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        yield Field(place, 4, "big")
        if data[place + 4 : place + 8] == b"IHDR":
            yield from (Field(place + 8, 4, "big"), Field(place + 12, 4, "big"))
            yield from (Field(place + 16 + n, 1, "big") for n in range(5))
        elif length >= 4:
            yield Field(place + 8, 4, "big")
        place += 12 + length


def jpeg_fields(data: bytes) -> Iterator[Field]:
    """Lengths of segments; sizes and components of frame headers (also of JPEG-LS)."""
    for found in re.finditer(rb"\xff[\xc0-\xcf\xda-\xef\xf7\xf8]", data[:-12]):
        start = found.end()
        yield Field(start, 2, "big")
        if data[start - 1] in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7):
            yield from (Field(start + 2, 1, "big"), Field(start + 3, 2, "big"))
            yield from (Field(start + 5, 2, "big"), Field(start + 7, 1, "big"))
            yield from (Field(start + 9 + n, 1, "big") for n in range(3))


def codestream_fields(data: bytes) -> Iterator[Field]:
    """JPEG 2000: lengths of segments, sizes, tiles and components; levels and code blocks."""
    for found in re.finditer(rb"\xff[\x4f-\x65\x90]", data[:-44]):
        start = found.end()
        yield Field(start, 2, "big")
        if data[start - 1] == 0x51:
            yield from (Field(start + 4 + 4 * n, 4, "big") for n in range(8))
            yield Field(start + 36, 2, "big")
            yield from (Field(start + 38 + n, 1, "big") for n in range(3))
        elif data[start - 1] in (0x52, 0x53, 0x5C, 0x90):
            yield from (Field(start + 2 + n, 1, "big") for n in range(9))


def rle_fields(data: bytes) -> Iterator[Field]:
    """Number of segments and their offsets."""
    yield from (Field(4 * n, 4, "little") for n in range(5))


def tiff_fields(data: bytes) -> Iterator[Field]:
    """Kind, count and value of each entry of the first directories."""
    order: Literal["little", "big"] = "big" if data[:2] == b"MM" else "little"
    place, seen = int.from_bytes(data[4:8], order), 0
    yield Field(4, 4, order)
    while 8 <= place < len(data) - 2 and seen < 3:
        count = int.from_bytes(data[place : place + 2], order)
        yield Field(place, 2, order)
        for entry in range(place + 2, min(place + 2 + 12 * count, len(data) - 12), 12):
            yield from (Field(entry + 2, 2, order), Field(entry + 4, 4, order))
            yield from (Field(entry + 8, 4, order), Field(entry + 8, 2, order))
        following = place + 2 + 12 * count
        place, seen = int.from_bytes(data[following : following + 4], order), seen + 1


def riff_fields(data: bytes) -> Iterator[Field]:
    """Sizes of chunks, and the first numbers in each."""
    yield Field(4, 4, "little")
    place = 12
    while place + 8 <= len(data):
        yield Field(place + 4, 4, "little")
        yield from (Field(place + 8 + n, 2, "little") for n in range(0, 12, 2))
        place += 8 + int.from_bytes(data[place + 4 : place + 8], "little")


def box_fields(data: bytes) -> Iterator[Field]:
    """ISO media: sizes of boxes at all depths, and the first numbers in each."""
    for found in re.finditer(rb"[a-z][a-zA-Z0-9]{2}[a-zA-Z0-9 ]", data):
        start = found.start()
        if start >= 4 and int.from_bytes(data[start - 4 : start], "big") <= len(data):
            yield Field(start - 4, 4, "big")
            last = min(40, len(data) - start - 8)
            yield from (Field(start + 4 + n, 4, "big") for n in range(0, last, 4))


def gif_fields(data: bytes) -> Iterator[Field]:
    """Sizes of the screen and of the pictures, and their flags."""
    yield from (Field(6, 2, "little"), Field(8, 2, "little"), Field(10, 1, "little"))
    for found in re.finditer(rb",....", data, re.DOTALL):
        yield from (Field(found.start() + n, 2, "little") for n in (1, 3, 5, 7))


def text_fields(data: bytes) -> Iterator[Field]:
    """Digits of numbers, which PDF writes as text."""
    for found in re.finditer(rb"\d+", data):
        yield Field(found.start(), 1, "big")
        yield Field(found.end() - 1, 1, "big")


def nifti_fields(data: bytes) -> Iterator[Field]:
    """The header's size, dimensions, type, bits and where the values begin."""
    yield Field(0, 4, "little")
    yield from (Field(40 + 2 * n, 2, "little") for n in range(8))
    yield from (Field(70, 2, "little"), Field(72, 2, "little"), Field(108, 4, "little"))


FINDERS: Mapping[str, Finder] = {
    "jpeg": jpeg_fields,
    "png": png_fields,
    "tiff": tiff_fields,
    "webp": riff_fields,
    "mp4": box_fields,
    "pdf": text_fields,
    "gif": gif_fields,
    "avif": box_fields,
    "heic": box_fields,
    "nifti": nifti_fields,
    "nifti-gz": rle_fields,
    "jpeg-2000": codestream_fields,
}

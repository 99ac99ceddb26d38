"""Reads from the first bytes how large and how deep a picture is, before anything is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

JXL_CODESTREAM = b"\xff\x0a"
JXL_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_MOST_EXIF = 1 << 20
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# Ratios of width to height that a JPEG XL size header can name by number.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)


@dataclass(frozen=True, slots=True)
class CodedHeader:
    """format : as Pillow calls it; width, height : as stored; bits : of a sample

    offset : where the pixels begin, or what comes last before them; process : of a JPEG, its SOF
    """

    format: str
    width: int
    height: int
    bits: int
    channels: int
    orientation: int = 1
    offset: int = 0
    process: int = 0


def read_coded(head: bytes) -> CodedHeader | None:
    """The header of a format that tells its depth; None for another, or a broken one."""
    try:
        if head.startswith(_PNG):
            return _png(head)
        if head.startswith(b"\xff\xd8\xff"):
            return _jpeg(head)
        if head[:2] == b"P5":
            return _pgm(head)
        if head.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
            return _jpeg_xl(head)
        return _jpeg_2000(head)
    except (IndexError, struct.error, ValueError):
        return None


def _png(head: bytes) -> CodedHeader | None:
    if b"acTL" in head[: head.find(b"IDAT")]:
        return None  # frames over each other
    width, height, bits, kind = struct.unpack_from(">IIBB", head, 16)
    return CodedHeader("PNG", width, height, bits, _PNG_CHANNELS.get(kind, 3))


def exif_of_png(path: Path) -> bytes:
    """The eXIf chunk of a PNG, which may stand behind its pixels; b"" without one.

    Raises
    ------
    OSError
    """
    with path.open("rb") as file:
        file.seek(len(_PNG))
        while len(start := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", start)
            if kind == b"eXIf" and length <= _MOST_EXIF:
                return b"Exif\0\0" + file.read(length)
            if kind == b"IEND" or not kind.isalpha():
                break  # what follows is no chunk, and may be gigabytes of zeros
            file.seek(length + 4, 1)
    return b""


def _jpeg(head: bytes) -> CodedHeader | None:
    """The frame header (SOF) of a JPEG, whatever its process and precision (T.81, B.2.2)."""
    place = 2
    while place + 4 <= len(head):
        if head[place] != 0xFF:
            place += 1
            continue
        marker = head[place + 1]
        if marker in _SOF:
            bits, height, width, channels = struct.unpack_from(">BHHB", head, place + 4)
            return CodedHeader("JPEG", width, height, bits, channels, offset=place, process=marker)
        if marker == 0xFF or marker in _STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        place += 2 + struct.unpack_from(">H", head, place + 2)[0]
    return None


def _pgm(head: bytes) -> CodedHeader | None:
    """Width, height and white of a binary grey map, which comments may interrupt."""
    numbers: list[int] = []
    place = 2
    while len(numbers) < 3:
        while head[place : place + 1].isspace():
            place += 1
        if head[place : place + 1] == b"#":
            place = head.index(b"\n", place)
            continue
        begin = place
        while head[place : place + 1].isdigit():
            place += 1
        numbers.append(int(head[begin:place]))
    width, height, white = numbers
    bits = max(1, white.bit_length())
    return CodedHeader("PPM", width, height, bits, 1, offset=place + 1)


def _jpeg_2000(head: bytes) -> CodedHeader | None:
    """The SIZ segment of a JPEG 2000 codestream (T.800, A.5.1)."""
    begin = head.find(b"\xff\x4f\xff\x51")
    if begin < 0:
        return None
    x1, y1, x0, y0 = struct.unpack_from(">IIII", head, begin + 8)
    channels, depth = struct.unpack_from(">HB", head, begin + 40)
    return CodedHeader("JPEG2000", x1 - x0, y1 - y0, (depth & 0x7F) + 1, channels, offset=begin)


class _Bits:
    """Bits of a JPEG XL codestream, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


def _jpeg_xl(head: bytes) -> CodedHeader | None:
    """Size and orientation (ISO/IEC 18181-1, annex D); samples count as what they decode to."""
    begin = head.find(b"jxlc") + 4 if head.startswith(JXL_CONTAINER) else 0
    if head.startswith(JXL_CONTAINER) and begin < 4:
        begin = head.index(b"jxlp") + 8  # the part's number comes before the codestream
    if head[begin : begin + 2] != JXL_CODESTREAM:
        return None
    bits = _Bits(head[begin + 2 : begin + 32])
    eighths = bits.take(1)
    height = _side(bits, eighths)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        width = height * across // down
    else:
        width = _side(bits, eighths)
    orientation = 1
    if not bits.take(1) and bits.take(1):
        orientation = bits.take(3) + 1
    return CodedHeader("JXL", width, height, 8, 3, orientation)


def _side(bits: _Bits, eighths: int) -> int:
    if eighths:
        return 8 * (bits.take(5) + 1)
    return bits.take(_SIZE_BITS[bits.take(2)]) + 1

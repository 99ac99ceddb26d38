"""What the samples of a colour code stream mean: the stream says it, headers are often wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_UID = "1.2.840.10008.1.2.4"
_JPEG = frozenset(f"{_UID}.{number}" for number in (50, 51))
_LOSSLESS_JPEG = frozenset(f"{_UID}.{number}" for number in (57, 70))
_JPEG_2000 = frozenset(f"{_UID}.{number}" for number in (90, 91, 201, 202, 203))
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_APP0, _APP14, _SCAN = 0xE0, 0xEE, 0xDA
_RGB_NAMES = (b"RGB", b"rgb")


def coded_photometric(syntax: str, data: bytes, stated: str, *, converts: bool = False) -> str:
    """The photometric interpretation of the samples as their decoder gives them.

    stated : that of the header; it counts where the stream says nothing
    converts : whether the decoder itself turns JPEG's YCbCr into RGB where Adobe's marker is
    """
    if syntax in _JPEG:
        marks = _marks(data)
        if converts and marks.adobe is not None:
            return "RGB"
        return "RGB" if _is_rgb(marks, stated) else "YBR_FULL"
    if syntax in _LOSSLESS_JPEG and stated in ("YBR_ICT", "YBR_RCT"):
        return "YBR_FULL"
    if syntax in _JPEG_2000 and stated.startswith("YBR_") and _is_transformed(data):
        return "RGB"  # decoders undo it
    return stated


@dataclass(frozen=True, slots=True)
class _Marks:
    """adobe : its transform, 0 for none; names : of the components; halved : some have fewer
    samples than others
    """

    adobe: int | None = None
    jfif: bool = False
    names: bytes = b""
    halved: bool = False


def _is_rgb(marks: _Marks, stated: str) -> bool:
    """By Adobe's marker (ITU-T T.872 6.5.3), JFIF, the components' names and sizes, in this order;
    by the header at last.
    """
    if marks.adobe is not None:
        return marks.adobe == 0
    if marks.jfif:
        return False
    return marks.names in _RGB_NAMES or (not marks.halved and stated == "RGB")


def _marks(data: bytes) -> _Marks:
    adobe, jfif = None, False
    for marker, body in _segments(data):
        if marker == _APP0 and body.startswith(b"JFIF"):
            jfif = True
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker in _FRAME_HEADERS and len(body) >= 6:
            parts = body[6 : 6 + 3 * body[5]]
            return _Marks(adobe, jfif, parts[::3], len(set(parts[1::3])) > 1)
    return _Marks(adobe, jfif)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, body) of the segments of a JPEG before its first scan."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # fill bytes may come before a marker
            place += 1
            continue
        length = int(struct.unpack_from(">H", data, place + 2)[0])
        if marker == _SCAN or length < 2:
            return
        yield marker, data[place + 4 : place + 2 + length]
        place += 2 + length


def _is_transformed(data: bytes) -> bool:
    """Whether a JPEG 2000 stream uses a component transform (ISO/IEC 15444-1 A.6.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    place = start + 2
    while start >= 0 and place + 9 <= len(data):
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == 0xFF52:
            return data[place + 8] == 1
        if marker == 0xFF90 or marker < 0xFF00:
            break
        place += 2 + int(length)
    return False

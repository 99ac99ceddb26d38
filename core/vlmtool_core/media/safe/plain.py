"""Tells which DICOM objects numpy reads by itself: uncompressed, grey, with a header of usual size.

Only these are opened in the program's own process. Whatever this module does not understand, or
takes for unusual, goes to a worker; so it may give up, but never be wrong the other way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlmtool_core.media.dicom.header import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE

# Larger headers take long to read, whatever is in them.
MOST_HEADER_BYTES = 1 << 20
MOST_DEPTH = 8
_HEAD = 1 << 16
_PREAMBLE = 132
_UNDEFINED = 0xFFFFFFFF
_TRANSFER_SYNTAX = 0x00020010
_PIXEL_DATA = 0x7FE00010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_SAMPLES, _PHOTOMETRIC = 0x00280002, 0x00280004
# Tables and profiles with decoders of their own.
_FOREIGN = frozenset((0x00282000, 0x00480105))
_GREY = (b"MONOCHROME1", b"MONOCHROME2")
_LONG_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)


class _UnusualError(Exception):
    """Something that a worker should look at."""


def is_plain(path: Path, files: Sequence[Path] = ()) -> bool:
    """Whether an object, or every slice of a series, can be read without a decoder.

    Of a series the first slice is looked through; the others are when they are much larger.
    """
    first, *others = files or (path,)
    try:
        usual = 2 * first.stat().st_size + MOST_HEADER_BYTES
        if not _is_plain_object(first):
            return False
        return all(
            _syntax(_read(file, 0, _HEAD >> 6)) is not None
            if file.stat().st_size <= usual
            else _is_plain_object(file)
            for file in others
        )
    except (_UnusualError, OSError, struct.error):
        return False


def _read(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _is_plain_object(path: Path) -> bool:
    try:
        return _looks_plain(_read(path, 0, _HEAD), whole=path.stat().st_size <= _HEAD)
    except struct.error:
        return _looks_plain(_read(path, 0, MOST_HEADER_BYTES), whole=True)


def _looks_plain(data: bytes, *, whole: bool) -> bool:
    """Raises struct.error where `data` end too early."""
    found = _syntax(data)
    if found is None:
        return False
    uid, start = found
    order = ">" if uid == EXPLICIT_BE else "<"
    grey = single = False
    for tag, value, length in _elements(data, start, order, implicit=uid == IMPLICIT_LE):
        if tag == _PIXEL_DATA:
            return grey and single and length != _UNDEFINED
        if tag in _FOREIGN or tag > _PIXEL_DATA:
            return False
        if tag == _SAMPLES:
            single = struct.unpack_from(f"{order}H", data, value)[0] == 1
        if tag == _PHOTOMETRIC:
            grey = data[value : value + length].strip(b" \0") in _GREY
    if whole:
        return False
    raise struct.error


def _syntax(head: bytes) -> tuple[str, int] | None:
    """The transfer syntax and where the data set begins; None for any that needs a decoder."""
    if head[128:_PREAMBLE] != b"DICM":
        return None
    place, uid = _PREAMBLE, ""
    while struct.unpack_from("<H", head, place)[0] == 0x0002:
        tag, vr, value, length = _header(head, place, "<", implicit=False)
        if length == _UNDEFINED or vr == b"SQ":
            return None
        if tag == _TRANSFER_SYNTAX:
            uid = head[value : value + length].strip(b" \0").decode("ascii", "replace")
        place = value + length
    return (uid, place) if uid in (IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE) else None


def _header(data: bytes, place: int, order: str, *, implicit: bool) -> tuple[int, bytes, int, int]:
    """(tag, VR, offset of the value, its length) of the element at `place`."""
    group, element = struct.unpack_from(f"{order}HH", data, place)
    tag = group << 16 | element
    if implicit or group == 0xFFFE:
        return tag, b"", place + 8, struct.unpack_from(f"{order}I", data, place + 4)[0]
    vr = data[place + 4 : place + 6]
    if not (vr.isalpha() and vr.isupper()):
        raise _UnusualError
    if vr in _LONG_VRS:
        return tag, vr, place + 12, struct.unpack_from(f"{order}I", data, place + 8)[0]
    return tag, vr, place + 8, struct.unpack_from(f"{order}H", data, place + 6)[0]


def _elements(
    data: bytes, place: int, order: str, *, implicit: bool
) -> Iterator[tuple[int, int, int]]:
    """(tag, offset of the value, length) at the top level, sequences stepped over."""
    before = 0
    while place < len(data):
        tag, _, value, length = _header(data, place, order, implicit=implicit)
        if tag <= before:
            raise _UnusualError
        before = tag
        yield tag, value, length
        if length == _UNDEFINED:
            place = _skipped(data, value, order, implicit=implicit)
        else:
            place = value + length


def _skipped(data: bytes, place: int, order: str, *, implicit: bool) -> int:
    """Where a sequence of undefined length ends that begins at `place`."""
    ends: list[int] = [_SEQUENCE_END]
    while ends:
        if len(ends) > 2 * MOST_DEPTH:
            raise _UnusualError
        tag, _, value, length = _header(data, place, order, implicit=implicit)
        if tag == ends[-1]:
            ends.pop()
            place = value
        elif length != _UNDEFINED:
            place = value + length
        else:
            ends.append(_ITEM_END if tag == _ITEM else _SEQUENCE_END)
            place = value
    return place

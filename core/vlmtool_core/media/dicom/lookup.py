"""Reads lookup tables as files have them (PS3.3 C.11.1.1, C.11.2.1.1, C.11.4.1, C.7.6.3.1.5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmtool_core.media.dicom.header import numbers, text
from vlmtool_core.media.dicom.voi import LookupTable

MOST_ENTRIES = 65536


def lookup_table(item: Any, signed: bool, prefix: str = "LUT") -> LookupTable:
    """The table of a Modality, VOI or Presentation LUT item, or the palette of a colour.

    signed : whether the values that it is for can be negative; the first value mapped is then
    prefix : of the keywords of descriptor and data

    Raises
    ------
    ValueError : it is absent, or breaks its own descriptor; says how
    """
    count, first, bits = descriptor_of(item, signed, prefix)
    entries, packed = _entries(item, prefix, count, bits)
    highest = int(entries.max())
    if packed:  # some writers state 16 bits and write bytes
        bits = min(bits, 8) if bits else 8
    if not 1 <= bits <= 16 or highest >= 2**bits:
        bits = max(8, highest.bit_length())
    return LookupTable(first, entries, bits, text(item, "LUTExplanation"))


def descriptor_of(item: Any, signed: bool, prefix: str = "LUT") -> tuple[int, int, int]:
    """(number of entries, first value mapped, bits of an entry); a number of 0 means 65536.

    Raises
    ------
    ValueError : there is none
    """
    found = numbers(item, f"{prefix}Descriptor")
    if len(found) != 3:
        raise ValueError(f"{prefix}Descriptor has {len(found)} values where it needs 3")
    # The three are read as one type, signed or not; the number of entries is never negative.
    count = int(found[0]) & 0xFFFF or MOST_ENTRIES
    first = int(found[1])
    return count, first - 65536 if signed and first > 32767 else first, int(found[2])


def _entries(item: Any, prefix: str, count: int, bits: int) -> tuple[np.ndarray, bool]:
    """(entries as float32 (count,), whether they are bytes)."""
    data = item.get(f"{prefix}Data")
    if data is None or data == b"":
        raise ValueError(f"{prefix}Data is missing")
    if isinstance(data, bytes):
        values, packed = _of_bytes(data, little_endian(item), count, bits)
    else:
        words = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
        packed = bits <= 8 and len(words) == (count + 1) // 2 and count > 1
        values = words.astype("<u2").view(np.uint8) if packed else words
    if len(values) < count:
        raise ValueError(f"{prefix}Data has {len(values)} entries, its descriptor says {count}")
    return values[:count].astype(np.float32), packed


def _of_bytes(data: bytes, little: bool, count: int, bits: int) -> tuple[np.ndarray, bool]:
    if len(data) > count + 1 or (bits > 8 and len(data) >= 2 * count):
        return words_of(data, little), False
    return bytes_of(data, little), True


def words_of(data: bytes, little: bool) -> np.ndarray:
    """16-bit words of an OW value, in the byte order of the file."""
    return np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2")


def bytes_of(data: bytes, little: bool) -> np.ndarray:
    """Bytes that lie in the words of an OW value: swapped in big endian (PS3.5 A.3)."""
    if little:
        return np.frombuffer(data, np.uint8)
    even = data + b"\0" * (len(data) % 2)
    return np.frombuffer(even, ">u2").astype("<u2").view(np.uint8)


def little_endian(dataset: Any) -> bool:
    """The byte order a data set, or an item of a sequence, was read in."""
    return getattr(dataset, "original_encoding", (None, True))[1] is not False

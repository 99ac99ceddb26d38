"""PALETTE COLOR, plain and segmented (PS3.3 C.7.6.3.1.5, C.7.9.2), and supplemental palettes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.dicom.header import Header, text
from vlmtool_core.media.dicom.lookup import (
    bytes_of,
    descriptor_of,
    little_endian,
    lookup_table,
    words_of,
)
from vlmtool_core.media.dicom.voi import LookupTable

_COLOURS = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Palette:
    """The tables of red, green and blue; they may have different bits.

    segmented : whether the file has them in segments
    """

    tables: tuple[LookupTable, LookupTable, LookupTable]
    segmented: bool = False

    @property
    def first(self) -> int:
        """The lowest stored value that has a colour of its own."""
        return min(table.first for table in self.tables)

    def apply(self, stored: np.ndarray) -> np.ndarray:
        """uint8 RGB (h, w, 3) of stored values (h, w)."""
        # Writers that declare 16 bits and fill 8 are common; all three tables then do it.
        narrow = all(float(table.entries.max()) <= 255 for table in self.tables)
        planes = [table.apply(stored) if narrow else table.grey(stored) for table in self.tables]
        return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)


def palette_of(header: Header, signed: bool = False) -> Palette:
    """The palette of an object.

    Raises
    ------
    DamagedMediaError : a table is missing, or breaks its descriptor; names the element
    """
    tables = []
    segmented = f"Segmented{_name('Red')}Data" in header.dataset
    for colour in _COLOURS:
        name = _name(colour)
        try:
            if segmented:
                tables.append(_segmented(header.dataset, name, signed))
            else:
                tables.append(lookup_table(header.dataset, signed, name))
        except ValueError as error:
            raise DamagedMediaError(
                f"its palette cannot be used: {error}", path=header.path, field=f"{name}Data"
            ) from error
    red, green, blue = tables
    return Palette((red, green, blue), segmented)


def _name(colour: str) -> str:
    return f"{colour}PaletteColorLookupTable"


def has_supplemental_palette(dataset: Any) -> bool:
    """Whether some stored values of a grey picture are colours (PS3.3 C.7.6.19): they are shown
    past the grey pipeline. The palette of a picture that is shown in grey alone does not count.
    """
    if not text(dataset, "PhotometricInterpretation").upper().startswith("MONOCHROME"):
        return False
    shown = text(dataset, "PixelPresentation").upper()
    present = f"{_name('Red')}Descriptor" in dataset
    return present and shown in ("COLOR", "MIXED")


def _segmented(dataset: Any, name: str, signed: bool) -> LookupTable:
    count, first, bits = descriptor_of(dataset, signed, name)
    data = dataset.get(f"Segmented{name}Data")
    if not data:
        raise ValueError(f"Segmented{name}Data is missing")
    read = bytes_of if bits <= 8 else words_of
    values = read(data, little_endian(dataset)).astype(np.int64)
    entries = expand_segments(values, count, 1 if bits <= 8 else 2)
    return LookupTable(first, entries.astype(np.float32), 8 if bits <= 8 else 16)


def expand_segments(values: np.ndarray, count: int, word_bytes: int) -> np.ndarray:
    """The int64 entries (count,) that a segmented table stands for (PS3.3 C.7.9.2).

    values : int64, the bytes or words of the table; word_bytes : 1 or 2, for offsets in bytes

    Raises
    ------
    ValueError : it is damaged, or is not of `count` entries
    """
    entries: list[int] = []
    place = 0
    # A trailing byte may pad the table to an even length.
    while place + 1 < len(values) and len(entries) < count:
        if values[place] == _INDIRECT:
            place = _copy_segments(values, place, word_bytes, entries, count)
        else:
            place = _expand(values, place, entries, count)
    if len(entries) != count:
        raise ValueError(f"its segments make {len(entries)} entries, the descriptor says {count}")
    return np.asarray(entries, np.int64)


def _expand(values: np.ndarray, place: int, entries: list[int], count: int) -> int:
    """Append the discrete or linear segment at `place`; gives the place behind it."""
    kind, length = int(values[place]), int(values[place + 1])
    end = place + 2 + (length if kind == _DISCRETE else 1)
    if kind not in (_DISCRETE, _LINEAR):
        raise ValueError(f"segment type {kind} is none of the standard")
    if not length or end > len(values) or len(entries) + length > count:
        raise ValueError("a segment is empty, or longer than its table")
    if kind == _DISCRETE:
        entries.extend(int(value) for value in values[place + 2 : end])
    elif not entries:
        raise ValueError("the first segment is linear")
    else:
        start, last = entries[-1], int(values[end - 1])
        steps = np.arange(1, length + 1) / length
        entries.extend(int(value) for value in np.rint(start + (last - start) * steps))
    return end


def _copy_segments(
    values: np.ndarray, place: int, word_bytes: int, entries: list[int], count: int
) -> int:
    """Append the segments that the indirect one at `place` points to."""
    words = 2 if word_bytes == 2 else 4
    end = place + 2 + words
    if end > len(values):
        raise ValueError("a segment is longer than its table")
    parts = [int(value) for value in values[place + 2 : end]]
    # Two 16-bit halves, the lower one first; in a table of bytes each is two bytes.
    low_to_high = sum(part << (8 * word_bytes * n) for n, part in enumerate(parts))
    source = low_to_high // word_bytes
    for _ in range(int(values[place + 1])):
        if source + 1 >= len(values) or values[source] == _INDIRECT:
            raise ValueError("an indirect segment points outside of its table")
        source = _expand(values, source, entries, count)
    return end

"""Pixels where the detector or scanner saw nothing (PS3.3 C.7.5.1.1.2): by their stored value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmtool_core.media.dicom.bits import is_signed, stored_bits
from vlmtool_core.media.dicom.header import number

_FLOATS = ("FloatPixelPadding", "DoubleFloatPixelPadding")


@dataclass(frozen=True, slots=True)
class Padding:
    """Stored values from `low` to `high`, both included: before rescaling, whatever it is.

    beyond : no stored bits can hold them, so they are looked for in the allocated ones
    """

    low: float
    high: float
    beyond: bool = False

    def mask(self, allocated: np.ndarray, stored: np.ndarray) -> np.ndarray:
        """bool, where the values are padding.

        allocated, stored : the same values with all allocated bits, and with the stored ones alone
        """
        values = allocated if self.beyond else stored
        found: np.ndarray = (values >= self.low) & (values <= self.high)
        return found


def padding_of(dataset: Any) -> Padding | None:
    """The padding that a header states; None when it states none."""
    for prefix in _FLOATS:
        found = _range(dataset, f"{prefix}Value", f"{prefix}RangeLimit")
        if found is not None:
            return Padding(min(found), max(found))
    found = _range(dataset, "PixelPaddingValue", "PixelPaddingRangeLimit")
    if found is None:
        return None
    signed = is_signed(dataset)
    low, high = sorted(_as_stored(int(value), signed) for value in found)
    bits = stored_bits(dataset)
    least, most = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    return Padding(low, high, beyond=not least <= low <= high < most)


def _range(dataset: Any, value: str, limit: str) -> tuple[float, float] | None:
    first, last = number(dataset, value), number(dataset, limit)
    if first is None:
        return None
    return first, first if last is None else last


def _as_stored(value: int, signed: bool) -> int:
    """Some writers give the other sign: a word is read as the pixels are."""
    if signed and value > 32767:
        return value - 65536
    return value + 65536 if not signed and value < 0 else value

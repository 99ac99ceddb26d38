"""The bits of a stored value (PS3.5 8.1.1): where they lie in the allocated ones; their sign."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmtool_core.media.dicom.header import Header, number

RLE = "1.2.840.10008.1.2.5"


def is_signed(dataset: Any) -> bool:
    """Pixel Representation (0028,0103): whether stored values are in two's complement."""
    return int(number(dataset, "PixelRepresentation") or 0) == 1


def stored_bits(dataset: Any) -> int:
    """Bits Stored, within what is allocated: some headers state more than there are."""
    allocated = int(number(dataset, "BitsAllocated") or 16)
    bits = int(number(dataset, "BitsStored") or allocated)
    return bits if 0 < bits <= allocated else allocated


def keep_stored_bits(values: np.ndarray, header: Header) -> np.ndarray:
    """Values of the stored bits alone, in the type of `values`, with their sign.

    Bits outside of them may hold an overlay plane in native pixel data, and run-length coding
    keeps them. Other codings have no such bits: there the code stream is right and a header that
    states too few bits is not. Values of floating point are left as they are.
    """
    dataset = header.dataset
    bits = stored_bits(dataset)
    allocated = values.dtype.itemsize * 8
    if values.dtype.kind not in "iu" or bits >= allocated:
        return values
    if header.length is not None or header.transfer_syntax == RLE:
        stated = number(dataset, "HighBit")
        high = bits - 1 if stated is None else int(stated)
        return _cut(values, bits, high if bits - 1 <= high < allocated else bits - 1)
    if values.dtype.kind == "u" or not _fits(values, bits):
        return values
    return _cut(values, bits, bits - 1)


def _cut(values: np.ndarray, bits: int, high: int) -> np.ndarray:
    allocated = values.dtype.itemsize * 8
    left = values << np.array(allocated - high - 1, values.dtype)
    kept: np.ndarray = left >> np.array(allocated - bits, values.dtype)
    return kept


def _fits(values: np.ndarray, bits: int) -> bool:
    """Whether signed values are of so many bits, be they sign-extended or not."""
    if not values.size:
        return True
    return int(values.min()) >= -(1 << (bits - 1)) and int(values.max()) < 1 << bits

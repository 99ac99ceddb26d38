"""Masks as COCO's compressed run lengths, and back.

The format (cocoapi, `rleToString`): runs go down the columns and begin with zeros; from the
fourth on, a run is written as its difference to the run two before it; each number takes groups
of five bits, least significant first, in characters from "0" on, the sixth bit saying that more
follow and the fifth bit of the last group being the sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vlmtool_core.errors import FormatError
from vlmtool_core.records import Mask

if TYPE_CHECKING:
    import numpy as np

_FIRST, _BITS, _MORE, _SIGN = 48, 0x1F, 0x20, 0x10


def encode_mask(pixels: np.ndarray, *, label: str = "", score: float | None = None) -> Mask:
    """The mask of bool (h, w) pixels."""
    height, width = (int(side) for side in pixels.shape)
    return Mask((height, width), _to_text(_runs(pixels)), label, score)


def decode_mask(mask: Mask) -> np.ndarray:
    """bool (h, w) of a mask.

    Raises
    ------
    FormatError : `counts` is no such text, or does not fill the size.
    """
    import numpy as np

    height, width = mask.size
    runs = np.array(list(_from_text(mask.counts)), dtype=np.int64)
    if (runs < 0).any() or runs.sum() != height * width:
        raise FormatError(f"does not fill {width} × {height} pixels", field="counts")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def mask_area(mask: Mask) -> int:
    """The number of pixels that are set.

    Raises
    ------
    FormatError : `counts` is no such text.
    """
    return sum(list(_from_text(mask.counts))[1::2])


def _runs(pixels: np.ndarray) -> list[int]:
    import numpy as np

    flat = np.asarray(pixels, dtype=bool).T.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    return [0, *runs] if len(flat) and flat[0] else runs


def _to_text(runs: list[int]) -> str:
    characters = []
    for n, run in enumerate(runs):
        value = run - runs[n - 2] if n > 2 else run
        more = True
        while more:
            group = value & _BITS
            value >>= 5
            more = value != (-1 if group & _SIGN else 0)
            characters.append(chr(_FIRST + (group | _MORE if more else group)))
    return "".join(characters)


def _from_text(text: str) -> Iterator[int]:
    before: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - _FIRST
        if not 0 <= group < 2 * _MORE:
            raise FormatError(f"has the character {character!r}", field="counts")
        value |= (group & _BITS) << shift
        shift += 5
        if group & _MORE:
            continue
        if group & _SIGN:
            value -= 1 << shift
        run = value + (before[-2] if len(before) > 2 else 0)
        before.append(run)
        yield run
        value = shift = 0
    if shift:
        raise FormatError("ends in the middle of a number", field="counts")

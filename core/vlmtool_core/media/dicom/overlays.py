"""Overlay planes of a DICOM object (PS3.3 C.9.2 and C.9.3): drawings that lie over the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.dicom.header import Header

_GROUPS = range(0x6000, 0x6020, 2)
_MOST_PIXELS = 65535 * 65535
_ROWS, _COLUMNS, _TYPE, _ORIGIN, _BITS = 0x0010, 0x0011, 0x0040, 0x0050, 0x0100
_POSITION, _FRAMES, _FIRST, _LABEL, _DATA = 0x0102, 0x0015, 0x0051, 0x1500, 0x3000


@dataclass(frozen=True)
class OverlayPlane:
    """One plane of one frame, laid over the picture.

    mask : bool (rows, columns) of the picture; what lies outside of it is cut off
    kind : "G" for graphics, "R" for a region of interest; label : "" when it has none
    """

    mask: np.ndarray
    kind: str
    label: str


def overlay_groups(dataset: Any) -> list[int]:
    """The groups (0x6000, 0x6002, ...) that hold an overlay plane."""
    return [group for group in _GROUPS if (group, _ROWS) in dataset]


def overlay_planes(
    header: Header,
    index: int,
    size: tuple[int, int],
    stored: np.ndarray | None,
    groups: Sequence[int] = _GROUPS,
) -> tuple[OverlayPlane, ...]:
    """The planes that apply to frame `index` (0-based).

    size : (rows, columns) of the picture
    stored : its stored values with all bits allocated, for old objects that keep a plane in them
    groups : those that are asked for

    Raises
    ------
    DamagedMediaError : a plane has fewer bits than it states; names the group
    """
    planes = []
    for group in overlay_groups(header.dataset):
        if group not in groups:
            continue
        try:
            plane = _plane(header.dataset, group, index, size, stored)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise DamagedMediaError(
                f"overlay {group:04x}: {error}", path=header.path, field=f"({group:04x},3000)"
            ) from error
        if plane is not None:
            planes.append(plane)
    return tuple(planes)


def _plane(
    dataset: Any, group: int, index: int, size: tuple[int, int], stored: np.ndarray | None
) -> OverlayPlane | None:
    bits = _of_data(dataset, group, index) if (group, _DATA) in dataset else None
    if bits is None:
        bits = _of_pixels(dataset, group, stored)
    if bits is None:
        return None
    origin = [int(value) for value in _value(dataset, group, _ORIGIN, [1, 1])]
    mask = _laid_over(bits, (origin[0] - 1, origin[1] - 1), size)
    kind = str(_value(dataset, group, _TYPE, "G")).strip().upper()
    return OverlayPlane(mask, kind, str(_value(dataset, group, _LABEL, "")).strip())


def _of_data(dataset: Any, group: int, index: int) -> np.ndarray | None:
    """bool (rows, columns) of the plane's own data; None where it says nothing of this frame."""
    rows = int(_value(dataset, group, _ROWS, 0))
    columns = int(_value(dataset, group, _COLUMNS, 0))
    if not 0 < rows * columns <= _MOST_PIXELS:
        raise ValueError(f"{rows} rows and {columns} columns")
    count = int(_value(dataset, group, _FRAMES, 0))
    # A plane without frames of its own lies over every frame of the picture.
    place = 0 if not count else index - (int(_value(dataset, group, _FIRST, 1)) - 1)
    if count and not 0 <= place < count:
        return None
    data = bytes(_value(dataset, group, _DATA, b""))
    first = place * rows * columns
    packed = np.frombuffer(data, np.uint8)[first // 8 : (first + rows * columns + 7) // 8]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][: rows * columns]
    if bits.size < rows * columns:
        raise ValueError(f"{rows * columns} bits are stated, {bits.size} are there")
    return bits.reshape(rows, columns).astype(bool)


def _of_pixels(dataset: Any, group: int, stored: np.ndarray | None) -> np.ndarray | None:
    """The bit of each stored value that old objects used for a plane."""
    allocated = int(_value(dataset, group, _BITS, 1))
    if stored is None or allocated <= 1 or stored.dtype.kind not in "iu":
        return None
    position = int(_value(dataset, group, _POSITION, 0))
    if not 0 <= position < 8 * stored.dtype.itemsize:
        raise ValueError(f"bit {position} of {8 * stored.dtype.itemsize}")
    found: np.ndarray = (stored >> position) & 1 == 1
    return found


def _laid_over(bits: np.ndarray, at: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The plane at (row, column) of a picture of `size`, cut off at its border."""
    mask = np.zeros(size, bool)
    top, left = (max(0, place) for place in at)
    part = bits[max(0, -at[0]) :, max(0, -at[1]) :][
        : max(0, size[0] - top), : max(0, size[1] - left)
    ]
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


def _value(dataset: Any, group: int, element: int, default: Any) -> Any:
    found = dataset.get((group, element))
    value = None if found is None else found.value
    return default if value is None or value == "" else value

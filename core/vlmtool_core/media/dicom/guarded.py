"""A stream that stops who reads a header from reading on and on: zeros, or values of gigabytes."""

from __future__ import annotations

import os
from typing import BinaryIO

from vlmtool_core.errors import BudgetExceededError, DamagedMediaError

# A value before the pixels; the largest there are (tables, embedded documents) take megabytes.
MOST_VALUE_BYTES = 1_000_000_000
MOST_EMPTY_ELEMENTS = 1000
_ELEMENT_HEADER = 8
# Python sets aside what is asked for, whatever is left of the file.
_LARGE_BYTES = 1 << 20
_NOTHING = bytes(_ELEMENT_HEADER)


class GuardedStream:
    """What pydicom reads a header through; the position is that of `file`.

    `read` raises DamagedMediaError where elements should be and zeros are, and
    BudgetExceededError for a value of more than `MOST_VALUE_BYTES`.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path
        self._empty = 0

    @property
    def name(self) -> str:
        return self._path

    def read(self, size: int = -1) -> bytes:
        if size == _ELEMENT_HEADER:
            data = self._file.read(size)
            self._empty = self._empty + 1 if data == _NOTHING else 0
            if self._empty > MOST_EMPTY_ELEMENTS:
                raise DamagedMediaError(
                    "there are zeros where elements should be: the file is not whole",
                    path=self._path,
                )
            return data
        if size < 0 or size > _LARGE_BYTES:
            here = self._file.tell()
            left = self._file.seek(0, os.SEEK_END) - here
            self._file.seek(here)
            size = min(left, size) if size >= 0 else left
            if size > MOST_VALUE_BYTES:
                raise BudgetExceededError(
                    f"a value of the header has {size} bytes, {MOST_VALUE_BYTES} are allowed",
                    path=self._path,
                    remedy="Check the file: its header is damaged or made to do harm.",
                )
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

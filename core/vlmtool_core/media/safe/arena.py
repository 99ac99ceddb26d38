"""Memory that the program and one worker share: a worker lays arrays in it, nobody copies them out.

The worker gives out the places; the program says when the last array over a place is gone. Pages
take memory only once they were written to, and the far ones are given back when they are free.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import weakref
from bisect import insort
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

# Address space, not memory. Windows sets the whole size aside.
SIZE = 256 << 20 if sys.platform == "win32" else 8 << 30
LEAST = 16 << 20
# What stays with a worker although it is free, since touching new pages takes time.
KEPT = 96 << 20
_ALIGNMENT = 4096

_REMOVE: int | None = getattr(mmap, "MADV_REMOVE", None)


class Arena:
    """The program's side."""

    def __init__(self, size: int = SIZE) -> None:
        self.tag = f"vlmtool-{os.getpid()}-{os.urandom(8).hex()}"
        self.file: BinaryIO | None = None
        if sys.platform == "win32":
            self._memory = mmap.mmap(-1, size, tagname=self.tag)
        else:
            self.file = _unnamed_file()
            self._memory = _mapped(self.file, size)
        self.size = len(self._memory)
        self._start = int(np.frombuffer(self._memory, np.uint8, 1).ctypes.data)

    def view(self, offset: int, size: int, on_free: Callable[[int], None]) -> np.ndarray:
        """uint8 (size,) over a place; `on_free` is told its offset when the last array is gone.

        Raises
        ------
        ValueError : there is no such place
        """
        if not 0 <= offset <= offset + size <= self.size:
            raise ValueError(f"{size} bytes at {offset} lie outside of the shared memory")
        owner = _Owner(self._memory, self._start + offset, size)
        weakref.finalize(owner, on_free, offset).atexit = False
        return np.asarray(owner)

    def attached(self) -> None:
        """The worker has it by now: its descriptor is not needed any more."""
        if self.file is not None:
            self.file.close()


class _Owner:
    """What the arrays over a place have as their base. numpy keeps it, whatever is sliced."""

    def __init__(self, memory: mmap.mmap, address: int, size: int) -> None:
        self._memory = memory
        self.__array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }


def _mapped(file: BinaryIO, size: int) -> mmap.mmap:
    """As much of `size` as the process may map; some are held to little address space."""
    while True:
        file.truncate(size)
        try:
            return mmap.mmap(file.fileno(), size)
        except OSError:
            if size <= LEAST:
                raise
            size //= 2


def _unnamed_file() -> Any:
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("vlmtool-decoded"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


class Places:
    """The worker's side: gives out places, the lowest first."""

    def __init__(self, handle: str, size: int) -> None:
        if sys.platform == "win32":
            self._memory = mmap.mmap(-1, size, tagname=handle)
        else:
            self._memory = mmap.mmap(int(handle), size)
            os.close(int(handle))
        self._bytes = np.frombuffer(self._memory, np.uint8)
        self._free = [(0, size)]
        self._taken: dict[int, int] = {}

    def put(self, array: np.ndarray) -> int | None:
        """Copy a contiguous array into a free place; its offset, None when none is large enough."""
        size = -(-max(1, array.nbytes) // _ALIGNMENT) * _ALIGNMENT
        found = next((n for n, (a, b) in enumerate(self._free) if b - a >= size), None)
        if found is None:
            return None
        start, end = self._free.pop(found)
        if end - start > size:
            self._free.insert(found, (start + size, end))
        self._taken[start] = size
        self._bytes[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
        return start

    def release(self, offset: int) -> None:
        """Nothing uses the place any more."""
        size = self._taken.pop(offset)
        start, end = offset, offset + size
        for near in [(a, b) for a, b in self._free if b == start or a == end]:
            self._free.remove(near)
            start, end = min(start, near[0]), max(end, near[1])
        insort(self._free, (start, end))
        self._give_back(max(offset, KEPT), offset + size)

    def trim(self) -> None:
        """Give the memory of all free places back."""
        for start, end in self._free:
            self._give_back(start, end)

    def _give_back(self, start: int, end: int) -> None:
        if end > start and _REMOVE is not None:
            self._memory.madvise(_REMOVE, start, end - start)

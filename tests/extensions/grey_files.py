"""A kind of file of its own: magic, width, height, pages, then grey bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from vlmtool_core.api import Frame, MediaInfo, MediaKind, MediaReader, Window

MAGIC = b"GREYFILE"
HEADER = struct.Struct("<8sHHH")


def write_grey(path: Path, pages: np.ndarray) -> Path:
    """pages : uint8 (n, h, w)"""
    count, height, width = pages.shape
    path.write_bytes(HEADER.pack(MAGIC, width, height, count) + pages.tobytes())
    return path


class GreySource:
    """An opened file; written as a plugin would, on the public interface alone."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        _, width, height, count = HEADER.unpack_from(data)
        grey = np.frombuffer(data, np.uint8, offset=HEADER.size)
        self._pages = grey.reshape(count, height, width)
        self._info = MediaInfo(path, MediaKind.IMAGE, width, height, count)
        self.closed = False

    @property
    def info(self) -> MediaInfo:
        return self._info

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        if not 0 <= index < len(self._pages):
            raise IndexError(index)
        return Frame(np.repeat(self._pages[index][..., None], 3, axis=2), index)

    def frames(
        self, indices: Iterable[int] | None = None, *, max_side: int | None = None
    ) -> Iterator[Frame]:
        chosen = range(len(self._pages)) if indices is None else sorted(set(indices))
        return (self.frame(index) for index in chosen)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def is_grey(head: bytes, _path: Path) -> bool:
    return head.startswith(MAGIC)


GREY = MediaReader("grey-file", (".grey",), is_grey, GreySource)

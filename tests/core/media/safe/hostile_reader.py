"""A reader of files that say what goes wrong while they are decoded; found by workers, too."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vlmtool_core.contributions import MediaReader
from vlmtool_core.media import readers
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.safe import life
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import Frame, MediaKind

MAGIC = b"HOSTILE:"
COUNT = 50


class HostileSource(SourceBase):
    def __init__(self, path: Path) -> None:
        self._deed = path.read_bytes()[len(MAGIC) :].decode()
        if self._deed == "crash on opening":
            os.abort()
        self._info = MediaInfo(path, MediaKind.IMAGE, 40, 30, COUNT)

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        self._check_index(index)
        if index:
            self._misbehave()
        facts = {"pid": os.getpid()}
        return Frame(np.full((30, 40, 3), index, np.uint8), index, None, facts)

    def frames(
        self, indices: Iterable[int] | None = None, *, max_side: int | None = None
    ) -> Iterator[Frame]:
        for index in range(COUNT) if indices is None else indices:
            if index == 20:
                self._misbehave()
            yield Frame(np.full((300, 400, 3), index, np.uint8), index)

    def _misbehave(self) -> None:
        if self._deed == "crash":
            ctypes.string_at(0)
        elif self._deed == "hang":
            time.sleep(1000)
        elif self._deed == "spin":
            # C code that holds the interpreter's lock: nothing in the process runs any more.
            ctypes.PyDLL(None).usleep(1_000_000_000)
        elif self._deed == "grow":
            np.ones(400_000_000, np.uint8)
        elif self._deed == "slow":
            for _ in range(30):
                time.sleep(0.1)
                life.sign()


def connect() -> None:
    reader = MediaReader(
        "hostile", (".hostile",), lambda head, _: head.startswith(MAGIC), HostileSource
    )
    readers.use(lambda: (("hostile", reader),), connect=f"{__name__}:connect")

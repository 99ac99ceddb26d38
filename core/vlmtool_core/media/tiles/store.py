"""Levels made from a huge picture, as plain pixels in the cache folder, by content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vlmtool_core import paths
from vlmtool_core.errors import StorageError
from vlmtool_core.media.safe.limits import writing

BAND_ROWS = 256
# All huge pictures together; the ones used longest ago make room.
MOST_BYTES = 16_000_000_000
_FREE_SHARE = 0.5
_KEY_BYTES = 1 << 20
REVISION = 1


def content_key(path: Path) -> str:
    """Names the content by its size, its time and its two ends: hashing all of it takes longer
    than the first view may."""
    status = path.stat()
    digest = hashlib.sha256(f"{REVISION} {status.st_size} {status.st_mtime_ns}".encode())
    with path.open("rb") as file:
        digest.update(file.read(_KEY_BYTES))
        file.seek(max(0, status.st_size - _KEY_BYTES))
        digest.update(file.read(_KEY_BYTES))
    return digest.hexdigest()


def stores_folder() -> Path:
    return paths.cache_dir() / "tiles"


class LevelStore:
    """Levels of falling size, written from top to bottom, and read as far as they are written.

    sizes : (width, height) of each level; each is half of the one before
    """

    def __init__(self, folder: Path, sizes: Sequence[tuple[int, int]]) -> None:
        self.sizes = tuple(sizes)
        self._folder = folder
        self._work = folder.with_name(f"{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
        self._files: list[BinaryIO] = []
        self.rows = [0] * len(self.sizes)
        if self._is_whole():
            self.rows = [height for _, height in self.sizes]
            os.utime(folder)
            self._work = folder

    def _is_whole(self) -> bool:
        try:
            listed = json.loads((self._folder / "levels.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(listed == [list(size) for size in self.sizes])

    @property
    def is_complete(self) -> bool:
        return all(rows == height for rows, (_, height) in zip(self.rows, self.sizes, strict=True))

    def add(self, band: np.ndarray) -> None:
        """The next rows of the first level, uint8 (n, width, 3); n is `BAND_ROWS` but for the last.

        Raises
        ------
        StorageError : the disk is full or the folder cannot be written
        """
        try:
            if not self._files:
                self._begin()
            with writing():
                self._write(band)
            if self.is_complete:
                self._finish()
        except OSError as error:
            self.discard()
            raise StorageError(
                f"the levels of a huge picture cannot be kept: {error.strerror or error}",
                path=self._folder,
                remedy="Make room on the disk of the cache folder.",
            ) from error

    def _write(self, band: np.ndarray) -> None:
        for level, file in enumerate(self._files):
            file.write(np.ascontiguousarray(band).data)
            self.rows[level] += len(band)
            if level + 1 < len(self._files):
                band = halved(band)

    def _begin(self) -> None:
        needed = sum(3 * width * height for width, height in self.sizes)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        make_room(needed)
        free = shutil.disk_usage(self._folder.parent).free
        if needed > free * _FREE_SHARE:
            raise OSError(f"it takes {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free")
        self._work.mkdir()
        self._files = [self._path(n).open("wb", buffering=0) for n in range(len(self.sizes))]

    def _path(self, level: int) -> Path:
        return self._work / f"{level}.rgb"

    def _finish(self) -> None:
        self._close_files()
        listed = json.dumps([list(size) for size in self.sizes])
        (self._work / "levels.json").write_text(listed, encoding="utf-8")
        try:
            self._work.rename(self._folder)
            self._work = self._folder
        except OSError:
            if not self._is_whole():
                raise
            # Another process was faster: its levels are the same.
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = self._folder

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """uint8 (height, width, 3) of rows that are written."""
        across = self.sizes[level][0]
        # Mapped for this call alone: the pages that it touched are given back.
        mapped = np.memmap(self._path(level), np.uint8, "r", shape=(y + height, across, 3))
        return np.array(mapped[y : y + height, x : x + width])

    def _close_files(self) -> None:
        while self._files:
            self._files.pop().close()

    def discard(self) -> None:
        """Close; levels that are not complete are removed."""
        self._close_files()
        if not self.is_complete:
            self.rows = [0] * len(self.sizes)
            shutil.rmtree(self._work, ignore_errors=True)


def halved(band: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) to half, each pixel the mean of four; a last odd one counts twice."""
    import cv2

    height, width = band.shape[:2]
    if height % 2 or width % 2:
        band = np.pad(band, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    size = (band.shape[1] // 2, band.shape[0] // 2)
    return np.asarray(cv2.resize(band, size, interpolation=cv2.INTER_AREA))


def make_room(needed: int) -> None:
    """Remove the levels used longest ago until `needed` bytes more stay below `MOST_BYTES`."""
    folders = sorted(
        (folder for folder in stores_folder().iterdir() if folder.is_dir()),
        key=lambda folder: folder.stat().st_mtime,
    )
    sizes = {folder: sum(f.stat().st_size for f in folder.iterdir()) for folder in folders}
    total = sum(sizes.values())
    for folder in folders:
        if total + needed <= MOST_BYTES:
            return
        if (folder / "levels.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            total -= sizes[folder]

"""The source of a huge picture: whole views within bounds, and parts of any level."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from vlmtool_core.errors import BudgetExceededError, StorageError
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.budget import scaled_size
from vlmtool_core.media.pixels import orient, shrink
from vlmtool_core.media.safe.life import sign
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.media.tiles.base import HUGE_PIXELS, MOST_PIXELS, Level, TileReader, halved_sizes
from vlmtool_core.media.tiles.store import BAND_ROWS, LevelStore, content_key, stores_folder
from vlmtool_core.records import Frame, Json

# Levels of a file that stop at more than this are continued.
COARSEST_PIXELS = 8_000_000
QUICK_SIDE = 2048
UNKNOWN = 128


class TiledSource(SourceBase):
    """A picture of which only parts are decoded; coordinates are those of the oriented picture.

    `info.facts["tiled"]` is true. Levels that the file lacks are made once and kept in the cache
    folder; until `prepare` has come to its end, `region` gives them coarsely.

    info : of the oriented level 0; orientation : of EXIF or TIFF, 1 to 8
    content : the file whose content names what is kept, where `info.path` is a folder
    """

    constants: ClassVar[frozenset[str]] = frozenset({"levels"})

    def __init__(
        self,
        info: MediaInfo,
        reader: TileReader,
        orientation: int = 1,
        *,
        content: Path | None = None,
    ) -> None:
        self._info = replace(info, facts={**info.facts, "tiled": True})
        self._reader = reader
        self._orientation = orientation
        self._store: LevelStore | None = None
        self._overview: np.ndarray | None = None
        self._overview_tried = False
        self._failed = False
        sizes = list(reader.sizes)
        if math.prod(sizes[-1]) > COARSEST_PIXELS or not reader.random:
            made = ([] if reader.random else [sizes[0]]) + halved_sizes(*sizes[-1])
            key = content_key(content or info.path)
            self._store = LevelStore(stores_folder() / key, made)
            sizes += halved_sizes(*sizes[-1])
        self._sizes = sizes

    # Levels and parts ------------------------------------------------------------------------

    def levels(self) -> tuple[Level, ...]:
        """The sizes of the whole picture, the largest first."""
        full = self._sizes[0][0]
        turned = self._orientation in (5, 6, 7, 8)
        return tuple(
            Level(*((height, width) if turned else (width, height)), full / width)
            for width, height in self._sizes
        )

    def region(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """uint8 sRGB (height, width, 3) of a part of a level, in the level's own pixels.

        Raises
        ------
        IndexError : there is no such level, or the part does not lie inside it
        BudgetExceededError : it has more than `MOST_PIXELS`
        MediaError : it cannot be decoded
        """
        size = self.levels()[level]
        inside = 0 <= x < x + width <= size.width and 0 <= y < y + height <= size.height
        if level < 0 or not inside:
            raise IndexError(f"{self.path}: no part {x, y, width, height} in level {level}")
        if width * height > MOST_PIXELS:
            raise BudgetExceededError(
                f"{width} x {height} pixels of a huge picture at once, {MOST_PIXELS} are allowed",
                path=self.path,
                remedy="Ask for a smaller part, or for a coarser level.",
            )
        part = _stored_part((x, y, width, height), (size.width, size.height), self._orientation)
        return np.ascontiguousarray(orient(self._read(level, *part), self._orientation))

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """A part as stored: from the file, from what was made of it, or coarsely."""
        first = len(self._reader.sizes)
        if level < first and (self._reader.random or self._failed):
            return self._reader.read(level, x, y, width, height)
        store = self._store
        made = level if not self._reader.random else level - first
        if store is not None and not self._failed and store.rows[made] >= y + height:
            return store.read(made, x, y, width, height)
        return self._coarse(level, x, y, width, height)

    def _coarse(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        import cv2

        overview = self._quick()
        if overview is None:
            return np.full((height, width, 3), UNKNOWN, np.uint8)
        across, down = self._sizes[level]
        by_x, by_y = overview.shape[1] / across, overview.shape[0] / down
        x1, y1 = int(x * by_x), int(y * by_y)
        x2 = min(overview.shape[1], max(x1 + 1, math.ceil((x + width) * by_x)))
        y2 = min(overview.shape[0], max(y1 + 1, math.ceil((y + height) * by_y)))
        shrinks = x2 - x1 > width
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(overview[y1:y2, x1:x2], (width, height), interpolation=way))

    def _quick(self) -> np.ndarray | None:
        if not self._overview_tried:
            self._overview_tried = True
            self._overview = self._reader.quick(QUICK_SIDE)
        return self._overview

    # Levels that the file lacks --------------------------------------------------------------

    def prepare(self, seconds: float = math.inf) -> float:
        """Make levels that the file lacks for about so long; the share of them that is there.

        To stop, call it no more. What was made is kept once it is complete.

        Raises
        ------
        MediaError : the picture cannot be decoded
        """
        store = self._store
        if store is None or store.is_complete or self._failed:
            return 1.0
        end = time.monotonic() + seconds
        source = len(self._reader.sizes) - 1
        width, height = self._sizes[source]
        while not store.is_complete:
            sign()
            done = self._rows_done()
            rows = min(BAND_ROWS, height - done)
            try:
                store.add(self._band(source, done, rows, width))
            except StorageError as error:
                self._give_up(error)
                return 1.0
            if time.monotonic() >= end:
                break
        return self._rows_done() / height

    def _band(self, level: int, top: int, rows: int, width: int) -> np.ndarray:
        from vlmtool_core.media.tiles.store import halved

        band = self._reader.read(level, 0, top, width, rows)
        return halved(band) if self._reader.random else band

    def _rows_done(self) -> int:
        """Rows of the file's smallest level that the made levels already hold."""
        assert self._store is not None
        height = self._sizes[len(self._reader.sizes) - 1][1]
        done = self._store.rows[0] * (2 if self._reader.random else 1)
        return min(height, done)

    def _give_up(self, error: StorageError) -> None:
        """Without room on the disk, coarse views stay coarse, and sharp ones are read anew."""
        self._failed = True
        note = f"views of the whole stay coarse: {error.message}"
        self._info = replace(self._info, warnings=(*self._info.warnings, note))

    def check(self) -> Iterator[int]:
        """Decode all that is in the file, level by level from top to bottom; gives rows read.

        Raises
        ------
        MediaError : something of it cannot be decoded
        """
        for level, (width, height) in enumerate(self._reader.sizes):
            for top in range(0, height, BAND_ROWS):
                rows = min(BAND_ROWS, height - top)
                self._reader.read(level, 0, top, width, rows)
                yield rows

    # Whole pictures --------------------------------------------------------------------------

    def overview(self, max_side: int = QUICK_SIDE) -> Frame:
        """The whole picture as far as it is known now, without waiting for `prepare`."""
        import cv2

        level = self._fitting(max_side)
        quick = None if self._has(level) else self._quick()
        if quick is None:
            return self._frame(max_side, level)
        size = scaled_size(quick.shape[1], quick.shape[0], max_side)
        small = np.asarray(cv2.resize(quick, size, interpolation=cv2.INTER_AREA))
        return self._finished(orient(small, self._orientation))

    def _has(self, level: int) -> bool:
        """Whether all of a level is there, in the file or made."""
        if self._reader.random and level < len(self._reader.sizes):
            return True
        return self._store is not None and self._store.is_complete

    def frame(
        self,
        index: int = 0,
        *,
        max_side: int | None = None,
        window: Window | None = None,  # noqa: ARG002
    ) -> Frame:
        """See `MediaSource.frame`. Never larger than `MOST_PIXELS`: it is reduced, and says so."""
        self._check_index(index)
        longer = max(self._sizes[0])
        most = int(longer * math.sqrt(MOST_PIXELS / math.prod(self._sizes[0])))
        side = min(max_side or longer, most, longer)
        overview = None if self._reader.random else self._quick()
        if overview is None or max(overview.shape[:2]) < side:
            return self._exact(side)
        return self._finished(shrink(orient(overview, self._orientation), side))

    def _exact(self, side: int) -> Frame:
        """From the levels that are there, else in one pass over the file's smallest level."""
        level, last = self._fitting(side), len(self._reader.sizes) - 1
        if not self._has(level):
            size = self._sizes[last]
            stored = _shrunk_by_bands(partial(self._reader.read, last), size, side)
            return self._finished(shrink(orient(stored, self._orientation), side))
        return self._frame(side, level)

    def _fitting(self, side: int) -> int:
        """The smallest level that has as many pixels as are wanted."""
        for level in range(len(self._sizes) - 1, 0, -1):
            if max(self._sizes[level]) >= side:
                return level
        return 0

    def _frame(self, side: int, level: int) -> Frame:
        width, height = self._sizes[level]
        if width * height <= HUGE_PIXELS // 4:
            stored = self._read(level, 0, 0, width, height)
        else:
            stored = _shrunk_by_bands(partial(self._read, level), (width, height), side)
        return self._finished(shrink(orient(stored, self._orientation), side))

    def _finished(self, pixels: np.ndarray) -> Frame:
        pixels = np.ascontiguousarray(pixels)
        provenance: dict[str, Json] = {
            "decoder": self._reader.decoder,
            "format": self._info.facts.get("format"),
        }
        if self._orientation != 1:
            provenance["orientation"] = self._orientation
        size = (self._info.width, self._info.height)
        shown = (int(pixels.shape[1]), int(pixels.shape[0]))
        if shown == size:
            return Frame(pixels, 0, None, provenance)
        provenance["resized"] = list(shown)
        return Frame(pixels, 0, None, provenance, size)

    def close(self) -> None:
        if self._store is not None:
            self._store.discard()
        self._reader.close()


def _stored_part(
    part: tuple[int, int, int, int], size: tuple[int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Where (x, y, width, height) of an oriented picture of `size` lies in the stored one."""
    x, y, width, height = part
    if orientation in (2, 3, 6, 7):
        x = size[0] - x - width
    if orientation in (3, 4, 7, 8):
        y = size[1] - y - height
    if orientation in (5, 6, 7, 8):
        return y, x, height, width
    return x, y, width, height


def _shrunk_by_bands(
    read: Callable[[int, int, int, int], np.ndarray], size: tuple[int, int], side: int
) -> np.ndarray:
    """A level too large to be held, shrunk while it is read from top to bottom."""
    import cv2

    width, height = size
    across, down = scaled_size(width, height, side)
    result = np.empty((down, across, 3), np.uint8)
    step = max(1, (HUGE_PIXELS // 8) // width * down // height)
    for top in range(0, down, step):
        sign()
        bottom = min(down, top + step)
        y1, y2 = top * height // down, bottom * height // down
        band = read(0, y1, width, max(1, y2 - y1))
        result[top:bottom] = cv2.resize(band, (across, bottom - top), interpolation=cv2.INTER_AREA)
    return result

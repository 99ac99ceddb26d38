"""Tiles and strips of TIFF pages, each decoded by itself: pyramids, slides (SVS) and plain ones."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.media.base import Window
from vlmtool_core.media.pictures.deep import GreyPage
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.pictures.tiff_pages import is_deep_grey, page_rgb, photometric_of
from vlmtool_core.media.pixels import percentile_window
from vlmtool_core.media.tiles.base import HUGE_PIXELS, MOST_PIXELS

_MOST_CACHED_BYTES = 64_000_000
_QUICK_PIXELS = 60_000_000
_LARGEST_SEGMENT = 256_000_000


class TiffLevels:
    """The pages of one picture at falling sizes.

    pages : full size first, of the same kind of pixels
    """

    random = True

    def __init__(self, path: Path, file: Any, pages: list[Any]) -> None:
        self._path = path
        self._file = file
        self._pages = pages
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._window: Window | None = None

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple((int(page.imagewidth), int(page.imagelength)) for page in self._pages)

    @property
    def decoder(self) -> str:
        import tifffile

        return f"tifffile {tifffile.__version__}"

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See `TileReader.read`."""
        page = self._pages[level]
        with decoding(self._path):
            return self._shown(page, self._values(level, x, y, width, height))

    def _shown(self, page: Any, values: np.ndarray) -> np.ndarray:
        if not is_deep_grey(page):
            return page_rgb(page, values, {})
        grey = GreyPage(values[:, :, 0], None, photometric_of(page) == "MINISWHITE")
        return np.repeat(grey.shown(self._grey_window())[:, :, None], 3, axis=2)

    def _grey_window(self) -> Window:
        """One window for all parts, from the smallest level or from what can be had quickly."""
        if self._window is None:
            last = len(self._pages) - 1
            width, height = self.sizes[last]
            if width * height <= MOST_PIXELS // 4:
                values = self._values(last, 0, 0, width, height)
            else:
                values = self._sampled(last, 256)
            self._window = percentile_window(values[:, :, 0])
        return self._window

    # Stored values ---------------------------------------------------------------------------

    def _values(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Stored values (height, width, samples) of a part."""
        page = self._pages[level]
        if (mapped := self._mapped(page)) is not None:
            return np.array(mapped[y : y + height, x : x + width])
        result = np.zeros((height, width, page.samplesperpixel), page.dtype)
        for index in _segments_in(page, x, y, width, height):
            segment, left, top, plane = self._segment(level, index)
            down, across, depth = segment.shape
            x1, x2 = max(x, left), min(x + width, left + across)
            y1, y2 = max(y, top), min(y + height, top + down)
            if x1 >= x2 or y1 >= y2:
                continue
            part = segment[y1 - top : y2 - top, x1 - left : x2 - left]
            result[y1 - y : y2 - y, x1 - x : x2 - x, plane : plane + depth] = part
        return result

    def _mapped(self, page: Any) -> np.ndarray | None:
        """All values of a page that lie one after the other as they are, in the file itself."""
        if page.is_tiled or page.compression != 1 or not page.is_contiguous:
            return None
        if page.planarconfig == 2 or not page.is_memmappable:
            return None
        shape = (int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel))
        kind = np.dtype(f"{self._file.byteorder}{page.dtype.char}")
        return np.memmap(self._path, kind, "r", offset=page.dataoffsets[0], shape=shape)

    def _segment(self, level: int, index: int) -> tuple[np.ndarray, int, int, int]:
        """Values (h, w, samples) of one tile or strip, and its x, y and first sample."""
        page = self._pages[level]
        key = (level, index)
        rows, columns = _grid(page)
        plane, place = divmod(index, rows * columns)
        left = place % columns * _tile_width(page)
        top = place // columns * _tile_height(page)
        found = self._cache.get(key)
        if found is None:
            found = self._decoded(page, index)
            self._cache[key] = found
            while len(self._cache) > 1 and self._cached_bytes() > _MOST_CACHED_BYTES:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(key)
        return found, left, top, plane

    def _cached_bytes(self) -> int:
        return sum(segment.nbytes for segment in self._cache.values())

    def _decoded(self, page: Any, index: int) -> np.ndarray:
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        data = None
        if count:
            handle = page.parent.filehandle
            if offset + count > handle.size:
                raise ValueError("the file is truncated: a tile lies behind its end")
            handle.seek(offset)
            data = handle.read(count)
        segment, _, shape = page.decode(
            data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader
        )
        if segment is None:
            return np.full((shape[1], shape[2], shape[3]), page.nodata, page.dtype)
        values: np.ndarray = segment[0, : shape[1], : shape[2]]
        return values

    # First views -----------------------------------------------------------------------------

    def quick(self, side: int) -> np.ndarray | None:
        """Strips here and there, shrunk; None for tiles, of which every one would be needed."""
        page = self._pages[-1]
        if page.is_tiled or math.prod(self.sizes[-1]) <= HUGE_PIXELS // 4:
            return None
        with decoding(self._path):
            return self._shown(page, self._sampled(len(self._pages) - 1, side))

    def _sampled(self, level: int, side: int) -> np.ndarray:
        """Stored values of at most `side` rows and columns, at even distances."""
        page = self._pages[level]
        width, height = self.sizes[level]
        columns = np.linspace(0, width - 1, min(side, width)).astype(int)
        strip = 1 if self._mapped(page) is not None else _tile_height(page)
        most = max(16, _QUICK_PIXELS // max(1, width * strip))
        rows = np.linspace(0, height - 1, min(side, height, most)).astype(int)
        if (mapped := self._mapped(page)) is not None:
            return np.stack([np.array(mapped[row])[columns] for row in rows])
        parts = [self._values(level, 0, int(row), width, 1)[:, columns] for row in rows]
        return np.concatenate(parts)

    def close(self) -> None:
        self._file.close()


def can_be_read_in_parts(page: Any) -> bool:
    """Whether no tile or strip of a page is itself too large, and its colours are known."""
    if photometric_of(page) == "YCBCR" and page.compression not in (6, 7, 33007):
        return False
    if page.dtype is None or page.imagedepth != 1:
        return False
    plain = page.compression == 1 and page.is_contiguous and page.is_memmappable
    segment = _tile_width(page) * _tile_height(page) * page.samplesperpixel * page.dtype.itemsize
    return bool((plain and page.planarconfig == 1) or segment <= _LARGEST_SEGMENT)


def _tile_width(page: Any) -> int:
    return int(page.tilewidth if page.is_tiled else page.imagewidth)


def _tile_height(page: Any) -> int:
    return int(page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength))


def _grid(page: Any) -> tuple[int, int]:
    """Rows and columns of tiles or strips."""
    return (
        -(-int(page.imagelength) // _tile_height(page)),
        -(-int(page.imagewidth) // _tile_width(page)),
    )


def _segments_in(page: Any, x: int, y: int, width: int, height: int) -> list[int]:
    rows, columns = _grid(page)
    across, down = _tile_width(page), _tile_height(page)
    planes = int(page.samplesperpixel) if int(page.planarconfig) == 2 else 1
    return [
        plane * rows * columns + row * columns + column
        for plane in range(planes)
        for row in range(y // down, (y + height - 1) // down + 1)
        for column in range(x // across, (x + width - 1) // across + 1)
    ]

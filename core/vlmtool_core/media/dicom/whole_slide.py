"""Whole-slide microscopy (PS3.3 A.32.8): the files of a series are levels, their frames tiles."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.base import MediaInfo, PixelSpacing, Window
from vlmtool_core.media.dicom.badges import badges_of
from vlmtool_core.media.dicom.facts import facts_of, identifying_of
from vlmtool_core.media.dicom.header import Header, number, read_header, text
from vlmtool_core.media.dicom.pipeline import Pipeline
from vlmtool_core.media.dicom.slices import Slice
from vlmtool_core.media.dicom.spacing import pixel_spacing
from vlmtool_core.media.dicom.voi import percentile_window
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.pixels import rgb
from vlmtool_core.media.tiles.source import TiledSource
from vlmtool_core.records import Json, MediaKind

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
VOLUME = "VOLUME"
FULL = "TILED_FULL"
_MOST_CACHED_BYTES = 64_000_000
# Ground that no tile covers (PS3.3 C.8.12.4.1.2 leaves its colour to the slide).
_EMPTY = 255

Place = tuple[int, int, int]  # frame, and x and y of its corner in the total pixel matrix


def slide_series(slices: Iterable[Slice]) -> tuple[list[list[Slice]], list[Slice]]:
    """Levels of one slide each, and all other files (labels and overviews among them)."""
    found: dict[tuple[str, object], list[Slice]] = defaultdict(list)
    others: list[Slice] = []
    for item in slices:
        kinds = str(item.traits.get("type", "")).upper()
        if item.traits.get("class") == WHOLE_SLIDE and VOLUME in kinds and item.series:
            found[item.series, item.traits.get("frame")].append(item)
        else:
            others.append(item)
    return list(found.values()), others


class _Tiles:
    """One file: a level. `width`, `height` of its total pixel matrix."""

    def __init__(self, header: Header) -> None:
        self.pipeline = Pipeline(header)
        dataset = header.dataset
        self.width = self._matrix(dataset, "TotalPixelMatrixColumns")
        self.height = self._matrix(dataset, "TotalPixelMatrixRows")
        reader = self.pipeline.reader
        self.across, self.down = reader.columns, reader.rows
        with decoding(header.path):
            self._places = self._positions(dataset, reader.frame_count)

    def _matrix(self, dataset: Any, keyword: str) -> int:
        value = int(number(dataset, keyword) or 0)
        if value <= 0:
            path = self.pipeline.header.path
            raise DamagedMediaError(f"the header lacks {keyword}", path=path, field=keyword)
        return value

    def _positions(self, dataset: Any, count: int) -> dict[tuple[int, int], list[Place]]:
        """Frames by the cell of the grid that their corner lies in."""
        cells: dict[tuple[int, int], list[Place]] = defaultdict(list)
        for frame, (x, y) in enumerate(self._corners(dataset, count)):
            cells[y // self.down, x // self.across].append((frame, x, y))
        return cells

    def _corners(self, dataset: Any, count: int) -> list[tuple[int, int]]:
        """(x, y) of the frames' corners, from 0; frames of further focal planes are left out."""
        groups = dataset.get("PerFrameFunctionalGroupsSequence")
        if text(dataset, "DimensionOrganizationType").upper() == FULL or not groups:
            columns = -(-self.width // self.across)
            rows = -(-self.height // self.down)
            if count < rows * columns:
                raise ValueError(f"{count} frames cannot be {columns} x {rows} tiles")
            return [
                (column * self.across, row * self.down)
                for row in range(rows)
                for column in range(columns)
            ]
        found: dict[tuple[int, int], None] = {}
        corners = []
        for group in groups:
            (place,) = group.PlanePositionSlideSequence
            corner = (
                int(place.ColumnPositionInTotalImagePixelMatrix) - 1,
                int(place.RowPositionInTotalImagePixelMatrix) - 1,
            )
            # Another focal plane or optical path at a place that is taken.
            corners.append((-self.across, -self.down) if corner in found else corner)
            found[corner] = None
        return corners

    def frames_in(self, x: int, y: int, width: int, height: int) -> list[Place]:
        """The tiles that may reach into a part."""
        return [
            tile
            for row in range(y // self.down - 1, (y + height - 1) // self.down + 1)
            for column in range(x // self.across - 1, (x + width - 1) // self.across + 1)
            for tile in self._places.get((row, column), ())
        ]


class SlideLevels:
    """Reads parts of the levels of a slide. files : one per level, in any order.

    Raises
    ------
    MediaError
    """

    random = True

    def __init__(self, files: Sequence[Path]) -> None:
        self._levels: list[_Tiles] = []
        self._window: Window | None = None
        try:
            for file in files:
                self._levels.append(_Tiles(read_header(file)))
        except BaseException:
            self.close()
            raise
        self._levels.sort(key=lambda level: -level.width)
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    @property
    def first(self) -> Pipeline:
        """The file of full size."""
        return self._levels[0].pipeline

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple((level.width, level.height) for level in self._levels)

    @property
    def decoder(self) -> str:
        return self.first.reader.decoder

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See `TileReader.read`. What no tile covers is white."""
        tiles = self._levels[level]
        result = np.full((height, width, 3), _EMPTY, np.uint8)
        for frame, left, top in tiles.frames_in(x, y, width, height):
            x1, x2 = max(x, left), min(x + width, left + tiles.across)
            y1, y2 = max(y, top), min(y + height, top + tiles.down)
            if x1 < x2 and y1 < y2:
                part = self._tile(level, frame)[y1 - top : y2 - top, x1 - left : x2 - left]
                result[y1 - y : y2 - y, x1 - x : x2 - x] = part
        return result

    def _tile(self, level: int, frame: int) -> np.ndarray:
        key = (level, frame)
        if key not in self._cache:
            self._cache[key] = self._shown(self._levels[level].pipeline, frame)
            total = sum(tile.nbytes for tile in self._cache.values())
            while len(self._cache) > 1 and total > _MOST_CACHED_BYTES:
                total -= self._cache.popitem(last=False)[1].nbytes
        self._cache.move_to_end(key)
        return self._cache[key]

    def _shown(self, pipeline: Pipeline, frame: int) -> np.ndarray:
        """uint8 (h, w, 3); grey through one window for all tiles."""
        if pipeline.is_colour:
            return pipeline.colour(frame, {})
        if self._window is None:
            coarsest = self._levels[-1].pipeline
            middle = coarsest.values(coarsest.reader.frame_count // 2)
            windows = coarsest.transform(0).windows
            self._window = windows[0] if windows else percentile_window(middle)
        return rgb(pipeline.grey(frame, self._window, percentile_window, {}))

    def quick(self, side: int) -> np.ndarray | None:  # noqa: ARG002
        """None: the levels of the file serve."""
        return None

    def close(self) -> None:
        for level in self._levels:
            level.pipeline.close()


class WholeSlideSource(TiledSource):
    """The levels of a slide as one picture.

    path : the file, or what the series is called by; files : of its levels

    Raises
    ------
    MediaError : a header is damaged or contradicts its tiles
    """

    def __init__(self, path: Path, files: Sequence[Path] = ()) -> None:
        reader = SlideLevels(files or (path,))
        header = reader.first.header
        with decoding(header.path):
            info = _describe(path, reader)
        self._header = header
        super().__init__(info, reader, content=header.path)

    def spacing(self, index: int = 0) -> PixelSpacing | None:
        """Millimetres per pixel on the slide; None when the header does not say."""
        self._check_index(index)
        return pixel_spacing(self._header.dataset, 0)


def _describe(path: Path, reader: SlideLevels) -> MediaInfo:
    header = reader.first.header
    dataset = header.dataset
    badges = badges_of(dataset, "")
    facts: dict[str, Json] = {**facts_of(header), "levels_in_file": len(reader.sizes)}
    spacing = pixel_spacing(dataset, 0)
    if spacing is not None:
        facts["pixel_mm"] = [spacing.row_mm, spacing.column_mm]
    width, height = reader.sizes[0]
    notes = (*(badge.note for badge in badges), *reader.first.reader.notes, *reader.first.notes())
    return MediaInfo(
        path,
        MediaKind.DICOM,
        width,
        height,
        warnings=notes,
        facts=facts,
        identifying=identifying_of(dataset),
        group=text(dataset, "PatientID"),
        badges=badges,
    )

"""Video through PyAV: frames by pts, oriented once, damage counted, placed and reported.

Times are those of the file: pts times time base, nowhere counted from the first frame instead.
`facts["start_s"]` is where the file's clock starts; players that show 0 there are behind by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vlmtool_core.errors import DamagedMediaError, MediaNotFoundError
from vlmtool_core.media.base import Window
from vlmtool_core.media.budget import check_file, check_frames
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.media.video import cache
from vlmtool_core.media.video.container import reading
from vlmtool_core.media.video.damage import (
    Damage,
    DamageKind,
    DamageReport,
    described,
    gaps,
    summed_up,
)
from vlmtool_core.media.video.decode import (
    Cursor,
    DecodeReport,
    Head,
    Shown,
    index_by_decoding,
    play,
    with_neighbours,
)
from vlmtool_core.media.video.facts import read_header
from vlmtool_core.media.video.index import FrameIndex, build_index
from vlmtool_core.media.video.rendering import Renderer
from vlmtool_core.records import Frame

if TYPE_CHECKING:
    from av import VideoFrame

# A picture track that ends this much before the container says so has lost its end.
MISSING_END_S = 1.0
MISSING_END_SHARE = 0.05
FALLBACK_RATE = 25.0


class VideoSource(SourceBase):
    """A video file. Indices follow the order of presentation times.

    Raises
    ------
    MediaError : no video, or one that nothing decodes
    """

    constants: ClassVar[frozenset[str]] = frozenset({"index", "times", "key_indices"})

    def __init__(self, path: Path) -> None:
        size = check_file(path)
        self._index: FrameIndex | None = None
        self._cursor: Cursor | None = None
        self._key = ""
        self._report: DamageReport | None = None
        self._head = Head(path)
        try:
            with reading(path):
                self._header = read_header(path, size, self._head)
        except BaseException:
            self._head.close()
            raise
        self._info = self._header.info
        self._renderer = Renderer(path, self._header.display)

    @property
    def report(self) -> DamageReport | None:
        """What a pass over all frames met, now or at another time; None before the first one."""
        return self._report

    @property
    def index(self) -> FrameIndex:
        """Presentation times of all frames; read from the packets once, then kept on disk."""
        if self._index is None:
            try:
                self._key = cache.content_key(self.path)
            except OSError as error:
                raise MediaNotFoundError(str(error.strerror), path=self.path) from error
            index = cache.kept_index(self._key)
            if index is None:
                index = self._read_index()
                cache.keep_index(self._key, index)
            check_frames(self.path, len(index))
            self._index = index
            self._look_at(index)
        return self._index

    def _read_index(self) -> FrameIndex:
        index = build_index(self.path)
        if not index.exact:
            index = index_by_decoding(self.path, index, self._info.rate or FALLBACK_RATE)
        if not len(index):
            raise DamagedMediaError("no frame can be decoded", path=self.path)
        return index

    def _look_at(self, index: FrameIndex) -> None:
        """Warn of what the times tell, and of what an earlier pass met."""
        if index.clock_jumps:
            self._warn(
                f"the clock of the file steps back {index.clock_jumps} times: "
                "frames are counted, and times are not those of the recording"
            )
        self._report = cache.kept_report(self._key)
        self._warn_of_damage()

    def damage(self) -> tuple[Damage, ...]:
        """Places that are not as recorded, as far as is known without decoding everything.

        An earlier pass over all frames (`frames`, `luma` or `check`) is remembered.
        """
        index = self.index
        end = self._end_missing(index)
        found = gaps(index) if self._report is None else self._report.places
        return (*found, *end)

    def _end_missing(self, index: FrameIndex) -> tuple[Damage, ...]:
        """The stretch that the container promises behind the last frame."""
        stated = self._info.duration_s
        last = index.seconds(len(index) - 1)
        start = float(self._info.facts["start_s"])
        early = start + stated - last if stated else 0.0
        frames = self._header.stated_frames or 0
        lost = max(0, frames - len(index)) if self._info.frame_count != frames else 0
        if lost and self._info.rate:
            return (Damage(DamageKind.CUT, last, last + lost / self._info.rate, lost),)
        if stated and early > max(MISSING_END_S, MISSING_END_SHARE * stated):
            return (Damage(DamageKind.CUT, last, start + stated),)
        return ()

    def check(self) -> Iterator[int]:
        """Decode everything, frame by frame: yields each index; then `report` is complete."""
        report = DecodeReport(expected=len(self.index))
        for place, _ in self._decode_all(report):
            yield place
        self._keep_report(report)

    def times(self) -> list[float]:
        """Presentation time of each frame in seconds of file time."""
        index = self.index
        return [index.seconds(i) for i in range(len(index))]

    def key_indices(self) -> list[int]:
        """Indices of the frames that decode without others; empty where nobody says."""
        return self.index.key_indices() if self.index.exact else []

    def frame(
        self,
        index: int = 0,
        *,
        max_side: int | None = None,
        window: Window | None = None,  # noqa: ARG002
    ) -> Frame:
        """See `MediaSource.frame`; the picture is the one that decoding from the start gives."""
        table = self.index
        if not 0 <= index < len(table):
            raise IndexError(f"{self.path}: no frame {index}; there are {len(table)}")
        if self._cursor is None or not self._cursor.reaches(index):
            self._drop_cursor()
            self._cursor = Cursor(
                self.path,
                table,
                index,
                neighbours=self._header.interlaced,
                head=self._head,
            )
        shown = self._cursor.advance(index)
        if shown is None:
            self._drop_cursor()
            raise DamagedMediaError(
                f"frame {index} at {table.seconds(index):.3f} s cannot be decoded",
                path=self.path,
                remedy="Go on to another frame; `media verify` lists all that are damaged.",
            )
        return self._picture(shown, max_side)

    def frames(
        self, indices: Iterable[int] | None = None, *, max_side: int | None = None
    ) -> Iterator[Frame]:
        """See `MediaSource.frames`. Frames that cannot be decoded are left out and counted.

        `report` and `info.warnings` tell of them once the pass is over.
        """
        if indices is not None:
            yield from self._chosen(sorted(set(indices)), max_side)
            return
        report = DecodeReport(expected=len(self.index))
        pictures = self._decode_all(report)
        if self._header.interlaced:
            for shown in with_neighbours(pictures):
                yield self._picture(shown, max_side)
        else:
            for place, picture in pictures:
                yield self._picture(Shown(place, picture), max_side)
        self._keep_report(report)

    def _chosen(self, indices: list[int], max_side: int | None) -> Iterator[Frame]:
        failed = 0
        for index in indices:
            try:
                yield self.frame(index, max_side=max_side)
            except DamagedMediaError:
                failed += 1
        if failed:
            self._warn(f"{failed} of {len(indices)} frames asked for cannot be decoded")
        if failed == len(indices) and failed:
            raise DamagedMediaError("none of the frames asked for can be decoded", path=self.path)

    def keyframes(self, *, max_side: int | None = None) -> Iterator[Frame]:
        """Key frames only, without decoding what lies between them.

        Fields of interlaced video are taken apart without the neighbours, which are not decoded.
        """
        for index, picture in self._decode_all(DecodeReport(), keyframes_only=True):
            yield self._picture(Shown(index, picture), max_side)

    def luma(
        self,
        height: int = 180,
        keyframes_only: bool = False,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[tuple[int, float, np.ndarray]]:
        """(index, seconds, uint8 (h, w)) of the luma plane, at most `height` rows; for gates.

        Much faster than `frames`: no colour conversion, no deinterlacing and no full-size copy.
        start, stop : only frames start <= index < stop, reached by seeking
        """
        table = self.index
        report = DecodeReport(expected=len(table))
        for index, picture in self._decode_all(report, keyframes_only, start, stop):
            yield index, table.seconds(index), self._renderer.luma(picture, height)
        if start <= 0 and stop is None and not keyframes_only:
            self._keep_report(report)

    def _decode_all(
        self,
        report: DecodeReport,
        keyframes_only: bool = False,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[tuple[int, VideoFrame]]:
        index = self.index
        if start >= len(index):
            return
        frames = play(
            self.path,
            index,
            report,
            start=max(0, start),
            keyframes_only=keyframes_only,
            head=self._head,
        )
        for place, picture in frames:
            if stop is not None and place >= stop:
                break
            yield place, picture
        frames.close()
        if report.delivered == 0:
            raise DamagedMediaError("no frame can be decoded", path=self.path)

    def _picture(self, shown: Shown, max_side: int | None) -> Frame:
        pixels, provenance = self._renderer.rgb(shown, max_side)
        size = self._header.display.size
        shrunk = (pixels.shape[1], pixels.shape[0]) != size
        time_s = self.index.seconds(shown.index)
        return Frame(pixels, shown.index, time_s, provenance, size if shrunk else None)

    def _keep_report(self, report: DecodeReport) -> None:
        self._report = summed_up(report, self.index)
        cache.keep_report(self._key, self._report)
        self._warn_of_damage()

    def _warn_of_damage(self) -> None:
        # A lost end that the container's own index tells is among the warnings from the start.
        told = (
            place for place in self.damage() if place.kind is not DamageKind.CUT or not place.frames
        )
        for note in described(told):
            self._warn(note)

    def _warn(self, note: str) -> None:
        if note not in self._info.warnings:
            self._info = replace(self._info, warnings=(*self._info.warnings, note))

    def _drop_cursor(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def close(self) -> None:
        self._drop_cursor()
        self._head.close()

"""Video through PyAV: frames by pts, rotation applied once, damage counted and reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.budget import check_file, check_frames, check_pixels, scaled_size
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.media.video.decode import (
    Cursor,
    DecodeReport,
    decoded,
    index_by_decoding,
    play,
)
from vlmtool_core.media.video.index import (
    FrameIndex,
    build_index,
    open_stream,
    present_entries,
    reading,
)
from vlmtool_core.records import Frame, Json, MediaKind

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# A picture track that ends this much before the container says so has lost its end.
MISSING_END_S = 1.0
MISSING_END_SHARE = 0.05


class VideoSource(SourceBase):
    """A video file. Indices follow the order of presentation times.

    Raises
    ------
    MediaError : no video, or one that nothing decodes
    """

    def __init__(self, path: Path) -> None:
        size = check_file(path)
        self._index: FrameIndex | None = None
        self._cursor: Cursor | None = None
        self.report: DecodeReport | None = None
        container, stream = open_stream(path)
        try:
            with reading(path):
                self._rotation = _first_rotation(path, container, stream)
                self._info = self._describe(path, size, container, stream)
        finally:
            container.close()

    def _describe(
        self, path: Path, size: int, container: InputContainer, stream: VideoStream
    ) -> MediaInfo:
        context = stream.codec_context
        check_pixels(path, context.width, context.height)
        width, height = context.width, context.height
        if self._rotation % 180:
            width, height = height, width
        rate = stream.average_rate or stream.guessed_rate
        duration = _duration(container, stream)
        stated = stream.frames or None
        notes: tuple[str, ...] = ()
        total, present = present_entries(stream, size)
        if total and present < total and stated:
            notes = (f"truncated: {present} of {total} frames are in the file",)
            duration = duration * present / total if duration else None
            stated = present
        if stated:
            check_frames(path, stated)
        facts: dict[str, Json] = {
            "format": container.format.name.split(",")[0],
            "codec": context.name,
            "pixel_format": context.pix_fmt,
            "start_s": float((stream.start_time or 0) * (stream.time_base or 0)),
        }
        if stream.frames:
            facts["frames_stated"] = stream.frames
        if self._rotation:
            facts["rotation_deg"] = self._rotation
        aspect = stream.sample_aspect_ratio
        if aspect and aspect != 1:
            facts["pixel_aspect_ratio"] = float(aspect)
        return MediaInfo(
            path,
            MediaKind.VIDEO,
            width,
            height,
            stated,
            duration_s=duration,
            rate=float(rate) if rate else None,
            warnings=notes,
            facts=facts,
        )

    @property
    def index(self) -> FrameIndex:
        """Presentation times of all frames; built on first use by reading the packets."""
        if self._index is None:
            index = build_index(self.path)
            if not index.exact:
                index = index_by_decoding(self.path, index.time_base, self._info.rate or 25.0)
            if not len(index):
                raise DamagedMediaError("no frame can be decoded", path=self.path)
            check_frames(self.path, len(index))
            self._index = index
            self._check_end(index)
        return self._index

    def _check_end(self, index: FrameIndex) -> None:
        """Warn when the pictures stop before the time that the container states."""
        stated = self._info.duration_s
        start = self._info.facts.get("start_s", 0.0)
        present = index.seconds(len(index) - 1) - start
        if stated and stated - present > max(MISSING_END_S, MISSING_END_SHARE * stated):
            self._warn(f"the pictures end at {present:.1f} s of {stated:.1f} s: truncated?")

    def times(self) -> list[float]:
        """Presentation time of each frame in seconds of file time."""
        index = self.index
        return [index.seconds(i) for i in range(len(index))]

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
            if self._cursor is not None:
                self._cursor.close()
            self._cursor = Cursor(self.path, table, index)
        picture = self._cursor.advance(index)
        if picture is None:
            self._cursor.close()
            self._cursor = None
            raise DamagedMediaError(f"frame {index} cannot be decoded", path=self.path)
        return self._picture(picture, index, max_side)

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
        for index, picture in self._decode_all(report):
            yield self._picture(picture, index, max_side)
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
        """Key frames only, without decoding what lies between them."""
        for index, picture in self._decode_all(DecodeReport(), keyframes_only=True):
            yield self._picture(picture, index, max_side)

    def luma(
        self,
        height: int = 180,
        keyframes_only: bool = False,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[tuple[int, float, np.ndarray]]:
        """(index, seconds, uint8 (h, w)) of the luma plane, at most `height` rows; for gates.

        Much faster than `frames`: no colour conversion, and no full-size copy.
        start, stop : only frames start <= index < stop, reached by seeking
        """
        report = DecodeReport(expected=len(self.index))
        for index, picture in self._decode_all(report, keyframes_only, start, stop):
            grey = np.rot90(_luma(picture, height, self._rotation), self._rotation // 90 % 4)
            yield index, self.index.seconds(index), np.ascontiguousarray(grey)
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
        frames = play(self.path, index, report, start=max(0, start), keyframes_only=keyframes_only)
        for place, picture in frames:
            if stop is not None and place >= stop:
                break
            yield place, picture
        frames.close()
        if report.delivered == 0:
            raise DamagedMediaError("no frame can be decoded", path=self.path)

    def _picture(self, picture: VideoFrame, index: int, max_side: int | None) -> Frame:
        import av

        with reading(self.path):
            size = scaled_size(picture.width, picture.height, max_side)
            check_pixels(self.path, picture.width, picture.height)
            pixels: np.ndarray = picture.to_ndarray(
                format="rgb24", width=size[0], height=size[1], interpolation="AREA"
            )
        rotation = int(picture.rotation)
        pixels = np.ascontiguousarray(np.rot90(pixels, rotation // 90 % 4))
        provenance: dict[str, Json] = {"decoder": f"PyAV {av.__version__}"}
        if rotation:
            provenance["rotation_deg"] = rotation
        if picture.is_corrupt:
            provenance["corrupt"] = True
        source = (picture.width, picture.height)
        if size != source:
            provenance["resized"] = [int(pixels.shape[1]), int(pixels.shape[0])]
        upright = source[::-1] if rotation % 180 else source
        return Frame(
            pixels,
            index,
            self.index.seconds(index),
            provenance,
            upright if size != source else None,
        )

    def _keep_report(self, report: DecodeReport) -> None:
        self.report = report
        if report.delivered < report.expected:
            lost = report.expected - report.delivered
            self._warn(f"damaged: {lost} of {report.expected} frames cannot be decoded")
        if report.corrupt:
            self._warn(f"damaged: {report.corrupt} frames are decoded with errors")

    def _warn(self, note: str) -> None:
        if note not in self._info.warnings:
            self._info = replace(self._info, warnings=(*self._info.warnings, note))

    def close(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None


def _first_rotation(path: Path, container: InputContainer, stream: VideoStream) -> int:
    """Degrees, counter-clockwise, by which the first frame has to be turned."""
    for picture in decoded(container, stream, DecodeReport()):
        return int(picture.rotation)
    raise DamagedMediaError("no frame can be decoded", path=path)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None


def _luma(picture: VideoFrame, height: int, rotation: int) -> np.ndarray:
    import cv2

    grey: np.ndarray
    if picture.format.name in ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "nv12"):
        plane = picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        grey = rows[: picture.height, : picture.width]
    else:
        grey = picture.to_ndarray(format="gray")
    across = picture.width if rotation % 180 else picture.height
    if across <= height:
        return grey.copy()
    scale = height / across
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    resized: np.ndarray = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return resized

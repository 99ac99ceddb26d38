"""Video through PyAV: frames by pts, rotation applied once, damage counted and reported."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.budget import check_file, check_frames, check_pixels, scaled_size
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.media.video_index import (
    FrameIndex,
    build_index,
    open_stream,
    packets,
    present_entries,
    reading,
)
from vlmtool_core.records import Frame, Json, MediaKind

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Below this distance it is cheaper to decode on than to seek back to a key frame.
DECODE_ON_FRAMES = 48


@dataclass
class DecodeReport:
    """What a full pass over a video met. expected : frames that its packets promise."""

    expected: int = 0
    delivered: int = 0
    corrupt: int = 0
    errors: int = 0

    @property
    def damaged(self) -> bool:
        return bool(self.corrupt or self.errors or self.delivered < self.expected)


class VideoSource(SourceBase):
    """A video file. Indices follow the order of presentation times.

    Raises
    ------
    MediaError : no video, or one that nothing decodes
    """

    def __init__(self, path: Path) -> None:
        size = check_file(path)
        self._index: FrameIndex | None = None
        self._cursor: _Cursor | None = None
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
                index = _index_by_decoding(self.path, index.time_base, self._rate)
            if not len(index):
                raise DamagedMediaError("no frame can be decoded", path=self.path)
            check_frames(self.path, len(index))
            self._index = index
        return self._index

    @property
    def _rate(self) -> float:
        return self._info.rate or 25.0

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
            self._cursor = _Cursor(self.path, table, index)
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
        container, stream = open_stream(self.path)
        try:
            if keyframes_only:
                stream.codec_context.skip_frame = "NONKEY"
            if 0 < start < len(index) and index.exact:
                with reading(self.path):
                    container.seek(index.keyframe_before(start), stream=stream, backward=True)
            for ordinal, picture in enumerate(decoded(container, stream, report)):
                report.delivered += 1
                report.corrupt += bool(picture.is_corrupt)
                place = self._place(index, picture, ordinal)
                if place is None or place < start:
                    continue
                if stop is not None and place >= stop:
                    break
                yield place, picture
        finally:
            container.close()
        if report.delivered == 0:
            raise DamagedMediaError("no frame can be decoded", path=self.path)

    def _place(self, index: FrameIndex, picture: VideoFrame, ordinal: int) -> int | None:
        if picture.pts is not None and index.exact:
            return index.find(picture.pts) if picture.pts >= index.pts[0] else None
        return min(ordinal, len(index) - 1)

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


class _Cursor:
    """A decoder that stands somewhere in the video and can go forwards."""

    def __init__(self, path: Path, index: FrameIndex, target: int) -> None:
        self._index = index
        self._container, self._stream = open_stream(path)
        self.position = -1
        if index.exact and target > 0:
            start = index.keyframe_before(target)
            with reading(path):
                self._container.seek(start, stream=self._stream, backward=True)
            self.position = max(-1, index.find(start) - 1)
        self._frames = decoded(self._container, self._stream, DecodeReport())
        self._ordinal = -1
        self._pending: tuple[int, VideoFrame] | None = None

    def reaches(self, target: int) -> bool:
        """Whether `target` lies ahead, and no key frame to seek to lies far ahead of here."""
        if target <= self.position:
            return False
        if not self._index.exact or target - self.position <= DECODE_ON_FRAMES:
            return True
        key = bisect_right(self._index.pts, self._index.keyframe_before(target)) - 1
        return key <= self.position + DECODE_ON_FRAMES

    def advance(self, target: int) -> VideoFrame | None:
        """Decode on to frame `target`; None when the decoder does not deliver it."""
        while True:
            found = self._pending or self._next()
            self._pending = None
            if found is None:
                return None
            place, picture = found
            if place > target:
                self._pending = found
                return None
            self.position = place
            if place == target:
                return picture

    def _next(self) -> tuple[int, VideoFrame] | None:
        for picture in self._frames:
            self._ordinal += 1
            if not self._index.exact or picture.pts is None:
                return self._ordinal, picture
            if picture.pts >= self._index.pts[0]:
                return self._index.find(picture.pts), picture
        return None

    def close(self) -> None:
        self._container.close()


def decoded(
    container: InputContainer, stream: VideoStream, report: DecodeReport
) -> Iterator[VideoFrame]:
    """Frames in order of presentation; a packet that breaks the decoder is counted and skipped."""
    import av.error

    for packet in packets(container, stream):
        try:
            pictures: list[Any] = list(packet.decode())
        except av.error.FFmpegError:
            report.errors += 1
            continue
        yield from pictures


def _first_rotation(path: Path, container: InputContainer, stream: VideoStream) -> int:
    """Degrees, counter-clockwise, by which the first frame has to be turned."""
    for picture in decoded(container, stream, DecodeReport()):
        return int(picture.rotation)
    raise DamagedMediaError("no frame can be decoded", path=path)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None


def _index_by_decoding(path: Path, time_base: Fraction, rate: float) -> FrameIndex:
    """For files without usable times: count what the decoder gives, at the average rate."""
    container, stream = open_stream(path)
    try:
        count = sum(1 for _ in decoded(container, stream, DecodeReport()))
    finally:
        container.close()
    step = max(1, round(1 / (rate * float(time_base))))
    times = range(0, count * step, step)
    return FrameIndex(times, times[:1], time_base, exact=False)


def _luma(picture: VideoFrame, height: int, rotation: int) -> np.ndarray:
    import cv2

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

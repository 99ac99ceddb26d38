"""Decodes a video from any frame on: the same pictures as decoding it from the start."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.media.video.index import FrameIndex, open_stream, packets, reading

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Below this distance it is cheaper to decode on than to seek back to a key frame.
DECODE_ON_FRAMES = 48


@dataclass
class DecodeReport:
    """What a pass over a video met. expected : frames that its packets promise."""

    expected: int = 0
    delivered: int = 0
    corrupt: int = 0
    errors: int = 0

    @property
    def damaged(self) -> bool:
        return bool(self.corrupt or self.errors or self.delivered < self.expected)


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
        for picture in pictures:
            report.delivered += 1
            report.corrupt += bool(picture.is_corrupt)
            yield picture


def play(
    path: Path,
    index: FrameIndex,
    report: DecodeReport,
    *,
    start: int = 0,
    keyframes_only: bool = False,
) -> Generator[tuple[int, VideoFrame], None, None]:
    """(index, picture) from frame `start` on, in order.

    Raises
    ------
    MediaError
    """
    anchor = index.key_before(start) if start else 0
    for seek_point in index.ways_to(start):
        late = False
        first = True
        for place, picture in _play_from(path, index, report, seek_point, keyframes_only):
            late = first and seek_point is not None and place > anchor
            first = False
            if late:  # the demuxer landed behind the key frame: try from further ahead
                break
            if place >= start:
                yield place, picture
        if not late and not (first and seek_point is not None):
            return


def _play_from(
    path: Path,
    index: FrameIndex,
    report: DecodeReport,
    seek_point: int | None,
    keyframes_only: bool,
) -> Iterator[tuple[int, VideoFrame]]:
    container, stream = open_stream(path)
    try:
        if keyframes_only and index.exact:
            stream.codec_context.skip_frame = "NONKEY"
        if seek_point is not None:
            with reading(path):
                container.seek(seek_point, stream=stream, backward=True)
        for ordinal, picture in enumerate(decoded(container, stream, report)):
            place = _place(index, picture, ordinal)
            if place is not None and (picture.key_frame or not keyframes_only):
                yield place, picture
    finally:
        container.close()


def _place(index: FrameIndex, picture: VideoFrame, ordinal: int) -> int | None:
    if not index.exact:
        return ordinal if ordinal < len(index) else None
    if picture.pts is None or picture.pts < index.pts[0]:
        return None
    return index.find(picture.pts)


class Cursor:
    """A decoder that stands before some frame of a video and can go forwards."""

    def __init__(self, path: Path, index: FrameIndex, target: int) -> None:
        self._index = index
        self._frames = play(path, index, DecodeReport(), start=target)
        self._pending: tuple[int, VideoFrame] | None = None
        self.position = target - 1

    def reaches(self, target: int) -> bool:
        """Whether `target` lies ahead, and no key frame to seek to lies far ahead of here."""
        if target <= self.position:
            return False
        if not self._index.exact or target - self.position <= DECODE_ON_FRAMES:
            return True
        return self._index.key_before(target) <= self.position + DECODE_ON_FRAMES

    def advance(self, target: int) -> VideoFrame | None:
        """Decode on to frame `target`; None when the decoder does not deliver it."""
        while True:
            found = self._pending or next(self._frames, None)
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

    def close(self) -> None:
        self._frames.close()


def index_by_decoding(path: Path, time_base: Fraction, rate: float) -> FrameIndex:
    """For files whose packets have no usable times: take them from the decoded frames.

    Frames without any time are counted at the average `rate` (frames per second).
    """
    container, stream = open_stream(path)
    shown: list[int | None] = []
    sent: list[int | None] = []
    try:
        for picture in decoded(container, stream, DecodeReport()):
            shown.append(picture.pts)
            sent.append(picture.dts)
    finally:
        container.close()
    step = max(1, round(1 / (rate * float(time_base))))
    counted = list(range(0, len(shown) * step, step))
    times = _ascending(shown) or _ascending(sent) or counted
    return FrameIndex(times, times[:1], times[:1], time_base, exact=False)


def _ascending(times: list[int | None]) -> list[int] | None:
    known = [time for time in times if time is not None]
    whole = len(known) == len(times)
    rising = all(a < b for a, b in pairwise(known))
    return known if whole and rising else None

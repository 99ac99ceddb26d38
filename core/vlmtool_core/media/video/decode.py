"""Decodes a video from any frame on: the same pictures as decoding it from the start."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.media.budget import check_pixels
from vlmtool_core.media.safe import life
from vlmtool_core.media.video.container import open_stream, packets, reading
from vlmtool_core.media.video.index import FrameIndex

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Below this distance it is cheaper to decode on than to seek back to a key frame.
DECODE_ON_FRAMES = 48
# Fields are told by the first frames: the very first may be a still or a splash.
HEAD_FRAMES = 4
# After so many key frames that nobody knows, counting starts from the beginning instead.
_STRANGE_KEYS = 3


@dataclass
class DecodeReport:
    """What a pass over a video met.

    expected : frames that its packets promise
    corrupt : indices of frames that the decoder marked as broken, at most one per frame
    seen : indices of the frames delivered
    error_times : seconds of file time of packets that broke the decoder, None where unknown
    """

    expected: int = 0
    delivered: int = 0
    corrupt: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    error_times: list[float | None] = field(default_factory=list)

    def take(self, place: int, *, broken: bool) -> None:
        self.delivered += 1
        self.seen.append(place)
        if broken:
            self.corrupt.append(place)


@dataclass(frozen=True, slots=True)
class Shown:
    """A decoded frame at its index, with the frames beside it where those were delivered."""

    index: int
    picture: VideoFrame
    before: VideoFrame | None = None
    after: VideoFrame | None = None


def decoded(sent: Iterable[Packet[VideoStream]], report: DecodeReport) -> Iterator[VideoFrame]:
    """Frames in order of presentation; a packet that breaks the decoder is counted and skipped."""
    import av.error

    for packet in sent:
        life.sign()
        try:
            pictures: list[Any] = list(packet.decode())
        except av.error.FFmpegError:
            report.error_times.append(_seconds(packet))
            continue
        yield from pictures


def _seconds(packet: Packet[VideoStream]) -> float | None:
    time = packet.dts if packet.pts is None else packet.pts
    if time is None or packet.time_base is None:
        return None
    return float(time * packet.time_base)


class Head:
    """A video that is open at its start, with the first frames, which told what it is.

    Its first pass goes on from there, since opening and starting to decode take long.
    """

    def __init__(self, path: Path) -> None:
        self.container, self.stream = open_stream(path)
        self._report = DecodeReport()
        self._rest = decoded(packets(self.container, self.stream), self._report)
        self._used = False
        try:
            check_pixels(path, self.stream.codec_context.width, self.stream.codec_context.height)
            with reading(path):
                self.first = list(islice(self._rest, HEAD_FRAMES))
        except BaseException:
            self.container.close()
            raise

    def pictures(self, report: DecodeReport) -> Iterator[VideoFrame] | None:
        """All frames from the first on; None when it was used before."""
        if self._used:
            return None
        self._used = True
        report.error_times = self._report.error_times
        first, self.first = self.first, []
        return self._go_on(first)

    def _go_on(self, first: list[VideoFrame]) -> Iterator[VideoFrame]:
        try:
            yield from first
            yield from self._rest
        finally:
            self.container.close()

    def close(self) -> None:
        self._used = True
        self.first = []
        self.container.close()


def play(
    path: Path,
    index: FrameIndex,
    report: DecodeReport,
    *,
    start: int = 0,
    keyframes_only: bool = False,
    head: Head | None = None,
) -> Generator[tuple[int, VideoFrame], None, None]:
    """(index, picture) from frame `start` on, in order; from its `head` if that is not used yet.

    Raises
    ------
    MediaError
    """
    opened = head.pictures(report) if head and start <= 0 and not keyframes_only else None
    if opened is not None:
        for place, picture in _numbered(index, opened, None):
            report.take(place, broken=picture.is_corrupt)
            yield place, picture
        return
    for anchor, seek_point in index.ways_to(start):
        arrived = seek_point is None
        for place, picture in _play_from(path, index, report, seek_point, keyframes_only):
            # Where the demuxer lands, frames may lack what they depend on, or be wrong in time.
            arrived = arrived or place == anchor
            if not arrived and place > anchor:
                break
            if arrived and place >= start:
                report.take(place, broken=picture.is_corrupt)
                yield place, picture
        if arrived:
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
        if seek_point is not None and not _seek(container, stream, seek_point):
            return
        sent = packets(container, stream)
        if index.exact:
            sent = _known(index, sent, sought=seek_point is not None)
        pictures = decoded(sent, report)
        for place, picture in _numbered(index, pictures, seek_point):
            if picture.key_frame or not keyframes_only:
                yield place, picture
    finally:
        container.close()


def _seek(container: InputContainer, stream: VideoStream, seek_point: int) -> bool:
    """Go there; False where the demuxer cannot."""
    import av.error

    try:
        container.seek(seek_point, stream=stream, backward=True)
    except av.error.FFmpegError:
        return False
    return True


def _known(
    index: FrameIndex, sent: Iterator[Packet[VideoStream]], *, sought: bool
) -> Iterator[Packet[VideoStream]]:
    """The packets with the times that the index knows; after seeking, from a key frame on.

    Where the demuxer lands, it may cut a picture in two or guess its time.
    """
    keys = set(index.keyframes)
    times = dict(zip(index.positions, index.pts, strict=False))
    for packet in sent:
        if times and packet.size:
            packet.pts = times.get(packet.pos) if packet.pos is not None else None
        if sought and not (packet.is_keyframe and packet.pts in keys):
            continue
        sought = False
        yield packet


def _numbered(
    index: FrameIndex, pictures: Iterator[VideoFrame], seek_point: int | None
) -> Iterator[tuple[int, VideoFrame]]:
    """Each picture with its index, ascending."""
    last = -1
    placed = _placed(index, pictures) if index.exact else _counted(index, pictures, seek_point)
    for place, picture in placed:
        if place > last:
            last = place
            yield place, picture


def _placed(index: FrameIndex, pictures: Iterator[VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
    for picture in pictures:
        if picture.pts is not None:
            place = index.find(picture.pts)
            if index.pts[place] == picture.pts:
                yield place, picture


def _counted(
    index: FrameIndex, pictures: Iterator[VideoFrame], seek_point: int | None
) -> Iterator[tuple[int, VideoFrame]]:
    """Frames without usable times: counted from the start, or from a key frame that is known."""
    place = 0 if seek_point is None else None
    strange = 0
    for picture in pictures:
        if place is None and picture.key_frame and picture.dts is not None:
            place = index.counted_from(picture.dts)
            strange += place is None
        if strange == _STRANGE_KEYS:
            return
        if place is None:
            continue
        if place >= len(index):
            return
        yield place, picture
        place += 1


def with_neighbours(frames: Iterator[tuple[int, VideoFrame]]) -> Iterator[Shown]:
    """Each frame with those right before and after it; reads one frame ahead."""
    before: tuple[int, VideoFrame] | None = None
    current = next(frames, None)
    while current is not None:
        after = next(frames, None)
        place = current[0]
        yield Shown(
            place,
            current[1],
            before[1] if before is not None and before[0] == place - 1 else None,
            after[1] if after is not None and after[0] == place + 1 else None,
        )
        before, current = current, after


class Cursor:
    """A decoder that stands before some frame of a video and can go forwards.

    neighbours : deliver the frames beside each frame, too, for what is interlaced
    """

    def __init__(
        self,
        path: Path,
        index: FrameIndex,
        target: int,
        *,
        neighbours: bool = False,
        head: Head | None = None,
    ) -> None:
        self._index = index
        start = max(0, target - 1) if neighbours else target
        self._played = play(path, index, DecodeReport(), start=start, head=head)
        self._frames: Iterator[Shown] = (
            with_neighbours(self._played)
            if neighbours
            else (Shown(place, picture) for place, picture in self._played)
        )
        self._pending: Shown | None = None
        self.position = start - 1

    def reaches(self, target: int) -> bool:
        """Whether `target` lies ahead, and no key frame to seek to lies far ahead of here."""
        if target <= self.position:
            return False
        if target - self.position <= DECODE_ON_FRAMES:
            return True
        return self._index.key_before(target) <= self.position + DECODE_ON_FRAMES

    def advance(self, target: int) -> Shown | None:
        """Decode on to frame `target`; None when the decoder does not deliver it."""
        while True:
            found = self._pending or next(self._frames, None)
            self._pending = None
            if found is None:
                return None
            if found.index > target:
                self._pending = found
                return None
            self.position = found.index
            if found.index == target:
                return found

    def close(self) -> None:
        self._played.close()


def index_by_decoding(path: Path, known: FrameIndex, rate: float) -> FrameIndex:
    """For files whose packets have no usable times: take them from the decoded frames.

    Frames without any time, or of a clock that jumps, are counted at the average `rate`
    (frames per second).
    """
    container, stream = open_stream(path)
    shown: list[int | None] = []
    sent: list[int | None] = []
    keys: list[tuple[int, int]] = []
    try:
        for picture in decoded(packets(container, stream), DecodeReport()):
            if picture.key_frame and picture.dts is not None:
                keys.append((len(shown), picture.dts))
            shown.append(picture.pts)
            sent.append(picture.dts)
    finally:
        container.close()
    step = max(1, round(1 / (rate * float(known.time_base))))
    counted = list(range(0, len(shown) * step, step))
    told = None if known.clock_jumps else _ascending(shown) or _ascending(sent)
    times = told or counted
    if not all(a[1] < b[1] for a, b in pairwise(keys)):
        keys = []  # a decoding time that comes twice finds nothing
    return FrameIndex(
        times,
        [times[place] for place, _ in keys],
        [dts for _, dts in keys],
        known.time_base,
        exact=False,
        clock_jumps=known.clock_jumps,
    )


def _ascending(times: list[int | None]) -> list[int] | None:
    known = [time for time in times if time is not None]
    whole = len(known) == len(times)
    rising = all(a < b for a, b in pairwise(known))
    return known if whole and rising else None

"""Which frames a video has and when: read from its packets, without decoding."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING

from vlmtool_core.media.safe import life
from vlmtool_core.media.video.container import open_stream, packets, reading

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# A frame that is followed so late is followed by a gap: longer than this, and than so many frames.
GAP_S = 1.0
GAP_FRAMES = 5
PROBED_FRAMES = 8
# Their times have 33 bits: ISO/IEC 13818-1, 2.4.3.7.
_CLOCKS_THAT_RUN_OVER = ("mpegts", "mpeg")
# Dahua's chunks have whole seconds and a counter, which the demuxer joins from chunk to chunk.
_TIMES_FROM_THE_START = ("dhav",)


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of all frames in ascending order; a frame's place in it is its index.

    pts : of each frame, keyframes : of the key frames among them, in units of `time_base` seconds
    seek_points : for each key frame, the time stamp to ask the demuxer for
    exact : False when the packets have no usable pts, and frames are counted by decoding instead;
        a key frame is then told by the decoding time in `seek_points`
    clock_jumps : how often the file's clock steps back
    positions : of each frame's packet in the file, where the demuxer's times depend on where it
        began to read; else empty
    """

    pts: Sequence[int]
    keyframes: Sequence[int]
    seek_points: Sequence[int]
    time_base: Fraction
    exact: bool = True
    clock_jumps: int = 0
    positions: Sequence[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self, index: int) -> float:
        # Of integers, so that it is rounded once, and fast.
        return self.pts[index] * self.time_base.numerator / self.time_base.denominator

    def find(self, pts: int) -> int:
        """Index of the last frame at or before `pts`; 0 before the first."""
        return max(0, bisect_right(self.pts, pts) - 1)

    def key_before(self, index: int) -> int:
        """Index of the last key frame at or before frame `index`; 0 when there is none."""
        place = bisect_right(self.keyframes, self.pts[index]) - 1
        return self.find(self.keyframes[place]) if place >= 0 else 0

    def key_indices(self) -> list[int]:
        """Indices of the key frames, ascending."""
        return [self.find(pts) for pts in self.keyframes]

    def ways_to(self, index: int) -> list[tuple[int, int | None]]:
        """Where to begin for frame `index`, best first: (index of a key frame, time stamp to seek
        to); the last is (0, None), the start of the file."""
        start: list[tuple[int, int | None]] = [(0, None)]
        if index <= 0:
            return start
        place = bisect_right(self.keyframes, self.pts[index]) - 1
        before = [i for i in (place, place - 1) if i > 0]
        return [(self.find(self.keyframes[i]), self.seek_points[i]) for i in before] + start

    def counted_from(self, dts: int) -> int | None:
        """Index of the key frame with that decoding time, where frames are counted."""
        place = bisect_left(self.seek_points, dts)
        if place < len(self.seek_points) and self.seek_points[place] == dts:
            return self.find(self.keyframes[place])
        return None

    def gaps(self) -> list[int]:
        """Indices of the frames that are followed much later than frames usually are."""
        if len(self.pts) < 3:
            return []
        steps = [after - before for before, after in pairwise(self.pts)]
        most = max(GAP_S / float(self.time_base), GAP_FRAMES * median_low(steps))
        return [index for index, step in enumerate(steps) if step > most]


@dataclass
class _Packets:
    """What the packets of a picture track say."""

    pts: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    keys: list[tuple[int, int]] = field(default_factory=list)
    missing: bool = False
    jumps: int = 0
    most_step: int | None = None
    _last_dts: int | None = None

    def take(self, packet: Packet[VideoStream]) -> None:
        # Packets outside the edit list are decoded, not shown.
        if packet.size == 0:
            return
        if packet.dts is not None:
            self.jumps += self._last_dts is not None and self._jumps_to(packet.dts)
            self._last_dts = packet.dts
        if packet.is_discard:
            return
        if packet.pts is None:
            self.missing = True
            return
        self.pts.append(packet.pts)
        self.positions.append(-1 if packet.pos is None else packet.pos)
        if packet.is_keyframe:
            # Transport streams are searched by decoding time, which may lie earlier.
            dts = packet.pts if packet.dts is None else packet.dts
            self.keys.append((packet.pts, min(packet.pts, dts)))

    def _jumps_to(self, dts: int) -> bool:
        assert self._last_dts is not None
        step = dts - self._last_dts
        # A step back looks to the demuxer as if the counter had run over.
        return step < 0 or (self.most_step is not None and step > self.most_step)


def build_index(path: Path) -> FrameIndex:
    """Read all packets of the picture track, and decode its first frame only.

    Raises
    ------
    MediaError
    """
    container, stream = open_stream(path)
    found = _Packets()
    try:
        time_base = stream.time_base or Fraction(1, 1)
        # AVI stores the order of decoding only: with B-frames that is not the order of showing.
        name = container.format.name
        found.missing = name == "avi" and bool(stream.codec_context.has_b_frames)
        if name in _CLOCKS_THAT_RUN_OVER:
            found.most_step = 1 << 32
        for packet in packets(container, stream):
            life.sign()
            found.take(packet)
    finally:
        container.close()
    pts = sorted(found.pts)
    keys = sorted(found.keys)
    if found.missing or found.jumps or not pts or len(set(pts)) < len(pts):
        return FrameIndex(pts, [], [], time_base, exact=False, clock_jumps=found.jumps)
    shown = _first_shown(path)
    if shown and _are_fields(pts, shown):
        return FrameIndex(pts, [], [], time_base, exact=False)
    if shown:
        # Pictures before the first may depend on ones that the file does not have.
        pts = pts[max(0, bisect_right(pts, shown[0]) - 1) :]
    keys = [key for key in keys if key[0] >= pts[0]]
    relative = name in _TIMES_FROM_THE_START
    positions = [at for _, at in sorted(zip(found.pts, found.positions, strict=True))]
    return FrameIndex(
        pts,
        [time for time, _ in keys],
        [seek_point for _, seek_point in keys],
        time_base,
        positions=positions[-len(pts) :] if relative else [],
    )


def _first_shown(path: Path) -> list[int]:
    """The pts of the first frames that decoding from the start delivers."""
    from vlmtool_core.media.video.decode import DecodeReport, decoded

    container, stream = open_stream(path)
    report = DecodeReport()
    try:
        with reading(path):
            first = list(islice(decoded(packets(container, stream), report), PROBED_FRAMES))
    finally:
        container.close()
    if any(picture.is_corrupt for picture in first) or report.error_times:
        first = first[:1]
    return [picture.pts for picture in first if picture.pts is not None]


def _are_fields(pts: Sequence[int], shown: Sequence[int]) -> bool:
    """Whether each frame comes in two packets, one for each of its fields."""
    promised = bisect_right(pts, shown[-1]) - bisect_left(pts, shown[0])
    return len(shown) >= PROBED_FRAMES // 2 and promised >= 2 * len(shown) - 2

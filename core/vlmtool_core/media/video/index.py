"""Which frames a video has and when: read from its packets, without decoding."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaError,
    MediaNotFoundError,
    UnsupportedMediaError,
)

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of all frames in ascending order; a frame's place in it is its index.

    pts : of each frame, keyframes : of the key frames among them, in units of `time_base` seconds
    seek_points : for each key frame, the time stamp to ask the demuxer for
    exact : False when the packets have no usable pts, and frames are counted by decoding instead
    """

    pts: Sequence[int]
    keyframes: Sequence[int]
    seek_points: Sequence[int]
    time_base: Fraction
    exact: bool = True

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self, index: int) -> float:
        return float(self.pts[index] * self.time_base)

    def find(self, pts: int) -> int:
        """Index of the last frame at or before `pts`; 0 before the first."""
        return max(0, bisect_right(self.pts, pts) - 1)

    def key_before(self, index: int) -> int:
        """Index of the last key frame at or before frame `index`; 0 when there is none."""
        place = bisect_right(self.keyframes, self.pts[index]) - 1
        return self.find(self.keyframes[place]) if place >= 0 else 0

    def ways_to(self, index: int) -> list[int | None]:
        """Time stamps to seek to for frame `index`, best first; None is the start of the file."""
        if not self.exact or index <= 0:
            return [None]
        place = bisect_right(self.keyframes, self.pts[index]) - 1
        return [*(self.seek_points[i] for i in (place, place - 1) if i > 0), None]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what FFmpeg raises into our errors, naming the file."""
    import av.error

    try:
        yield
    except MediaError:
        raise
    except (av.error.PermissionError, av.error.FileNotFoundError, PermissionError) as error:
        raise MediaNotFoundError(str(error.strerror), path=path) from error
    except (av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError) as error:
        raise UnsupportedMediaError(f"no decoder: {error.strerror}", path=path) from error
    except MemoryError as error:
        raise BudgetExceededError("not enough memory to decode it", path=path) from error
    except (av.error.FFmpegError, OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DamagedMediaError(f"the video cannot be read: {reason}", path=path) from error


def open_stream(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a container and choose its picture track.

    Raises
    ------
    DamagedMediaError : no container, or one without its index
    UnsupportedMediaError : no picture track, or nothing decodes it
    """
    import av

    with reading(path):
        container = av.open(str(path), metadata_errors="replace")
    streams = [s for s in container.streams.video if not _is_cover(s)]
    stream = streams[0] if streams else None
    if stream is None or stream.codec_context is None:
        container.close()
        what = (
            "there is no picture track in it" if stream is None else "no decoder for its pictures"
        )
        raise UnsupportedMediaError(what, path=path)
    stream.thread_type = "AUTO"
    return container, stream


def _is_cover(stream: VideoStream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def build_index(path: Path) -> FrameIndex:
    """Read all packets of the picture track, without decoding them.

    Raises
    ------
    MediaError
    """
    container, stream = open_stream(path)
    pts: list[int] = []
    keys: list[tuple[int, int]] = []
    missing = False
    try:
        time_base = stream.time_base or Fraction(1, 1)
        # AVI stores the order of decoding only: with B-frames that is not the order of showing.
        missing = container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
        for packet in packets(container, stream):
            if packet.is_discard or packet.size == 0:
                continue
            if packet.pts is None:
                missing = True
                continue
            pts.append(packet.pts)
            if packet.is_keyframe:
                # Transport streams are searched by decoding time, which may lie earlier.
                dts = packet.pts if packet.dts is None else packet.dts
                keys.append((packet.pts, min(packet.pts, dts)))
    finally:
        container.close()
    pts.sort()
    keys.sort()
    unique = len(set(pts)) == len(pts)
    if keys:
        # Pictures before the first key frame depend on ones that the file does not have.
        pts = pts[max(0, bisect_right(pts, keys[0][0]) - 1) :]
    exact = bool(pts) and unique and not missing
    return FrameIndex(pts, [k for k, _ in keys], [s for _, s in keys], time_base, exact)


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Packets of the picture track up to the end, or up to where the file breaks off."""
    import av.error

    iterator = container.demux(stream)
    while True:
        try:
            packet = next(iterator)
        except StopIteration:
            return
        except av.error.FFmpegError:
            # A torn tail: what came before it is good, and the count tells what is missing.
            return
        yield packet


def present_entries(stream: VideoStream, file_size: int) -> tuple[int, int]:
    """(entries of the container's own index, those whose bytes are in the file)."""
    total = present = 0
    for entry in stream.index_entries:
        total += 1
        present += entry.pos + entry.size <= file_size
    return total, present

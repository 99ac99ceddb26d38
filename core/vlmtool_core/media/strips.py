"""A strip of small pictures over the length of a video or cine, kept by content hash."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.errors import MediaError
from vlmtool_core.media.opening import open_media
from vlmtool_core.media.thumbnails import keep_thumbnail, thumbnail_path

if TYPE_CHECKING:
    from vlmtool_core.media.base import MediaSource

# A series of slices has no times; this many of them pass in a second.
SERIES_RATE = 10.0


@dataclass(frozen=True, slots=True)
class StripPicture:
    """The picture of one frame. file : a WebP, None where the frame cannot be decoded."""

    index: int
    file: Path | None


def frame_times(source: MediaSource) -> list[float]:
    """Seconds of file time of each frame; evenly spaced where the item has no times.

    Raises
    ------
    MediaError
    """
    told = getattr(source, "times", None)
    times = [float(time) for time in told()] if told is not None else []
    if times:
        return times
    rate = source.info.rate or SERIES_RATE
    return [index / rate for index in range(source.info.frame_count or 1)]


def strip_frames(times: Sequence[float], keys: Sequence[int], count: int) -> list[int]:
    """Indices of `count` frames at even steps of time; key frames, which decode at once."""
    if not times or count < 1:
        return []
    length = times[-1] - times[0]
    wanted = [times[0] + length * (slot + 0.5) / count for slot in range(count)]
    chosen = [max(0, bisect_right(times, time) - 1) for time in wanted]
    return [_key_near(index, keys, times, length / count) for index in chosen]


def _key_near(index: int, keys: Sequence[int], times: Sequence[float], step: float) -> int:
    """The last key frame at or before a frame, unless that is more than a step earlier."""
    place = bisect_right(keys, index) - 1
    if place < 0 or times[index] - times[keys[place]] > step:
        return index
    return keys[place]


def strip(
    path: Path, files: Sequence[Path], sha256: str, count: int, *, side: int = 128
) -> list[StripPicture]:
    """Small pictures at `count` even steps; those that were made before are only named.

    Raises
    ------
    MediaError : the item cannot be opened
    StorageError : the cache cannot be written
    """
    with open_media(path, files) as source:
        video: Any = source
        keys = video.key_indices() if hasattr(source, "key_indices") else ()
        frames = strip_frames(frame_times(source), keys, count)
        made: dict[int, Path | None] = {}
        for index in sorted(set(frames)):
            made[index] = _picture(source, sha256, index, side)
    return [StripPicture(index, made[index]) for index in frames]


def _picture(source: MediaSource, sha256: str, index: int, side: int) -> Path | None:
    target = thumbnail_path(sha256, side=side, frame=index)
    if target.exists():
        return target
    try:
        return keep_thumbnail(source.frame(index, max_side=side).pixels, target)
    except MediaError:
        return None

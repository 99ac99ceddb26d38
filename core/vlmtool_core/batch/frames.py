"""Which frames of an item a run looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media import MediaSource
from vlmtool_core.records import MediaKind

MOST_OF_A_SERIES = 8


def choose_frames(source: MediaSource, spec: RunSpec) -> list[int]:
    """The indices that `spec` asks for, 0-based and ascending.

    Raises
    ------
    MediaError : the frames of a video cannot be listed.
    """
    info = source.info
    if spec.frames == "first":
        return [0]
    if info.kind is MediaKind.VIDEO:
        return _of_video(source, spec)
    total = info.frame_count or 1
    if spec.frames == "all":
        return list(range(total))
    return [0] if info.kind is MediaKind.IMAGE else spread(total, MOST_OF_A_SERIES)


def _of_video(source: MediaSource, spec: RunSpec) -> list[int]:
    times = _times(source)
    if spec.frames == "all" or not times:
        return list(range(len(times)))
    chosen, due = [], 0
    for index, time in enumerate(times):
        periods = (time - times[0]) / spec.sample_s + 1e-6
        if periods >= due:
            chosen.append(index)
            due = int(periods) + 1
    return chosen


def _times(source: MediaSource) -> Sequence[float]:
    """Presentation times in seconds; at an even rate where a reader knows no better."""
    listed: Callable[[], Sequence[float]] | None = getattr(source, "times", None)
    if listed is not None:
        return listed()
    info = source.info
    if info.frame_count is None:
        raise UnsupportedMediaError("it does not say how many frames it has", path=info.path)
    rate = info.rate or 25.0
    return [index / rate for index in range(info.frame_count)]


def spread(total: int, most: int) -> list[int]:
    """The middle one of `total` and others evenly spaced around it, at most `most`."""
    if total <= most:
        return list(range(total))
    middle = total // 2
    chosen = {middle + round((k - most // 2) * total / most) for k in range(most)}
    return sorted(min(max(index, 0), total - 1) for index in chosen)

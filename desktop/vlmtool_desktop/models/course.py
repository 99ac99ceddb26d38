"""How the frames of an item follow each other in time, and what is marked there. No Qt in here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmtool_core.records import Json

if TYPE_CHECKING:
    from vlmtool_core.jobs import CancelToken
    from vlmtool_core.media import MediaSource
    from vlmtool_core.records import ItemRef

# Beyond this a file's clock is a date, and not the length of a recording.
_DATE_S = 1e8


@dataclass(frozen=True, slots=True)
class Mark:
    """A span of file time in seconds. kind : of damage, "gap", or "finding"."""

    kind: str
    start_s: float
    end_s: float
    text: str = ""


@dataclass(frozen=True)
class Course:
    """times : of each frame in seconds of file time, ascending; facts : of the item's header."""

    times: tuple[float, ...]
    marks: tuple[Mark, ...] = ()
    facts: Mapping[str, Json] | None = None

    @property
    def start_s(self) -> float:
        return self.times[0]

    @property
    def end_s(self) -> float:
        """When the last frame ends: it is shown as long as frames are on average."""
        count = len(self.times)
        length = self.times[-1] - self.times[0]
        return self.times[-1] + (length / (count - 1) if count > 1 else 0.0)

    def frame_at(self, time_s: float) -> int:
        """The frame that is on the screen at that time."""
        return max(0, bisect_right(self.times, time_s) - 1)


def course_of(source: MediaSource) -> Course:
    """Runs in the viewer's thread.

    Raises
    ------
    MediaError
    """
    from vlmtool_core.media.strips import frame_times

    return Course(tuple(frame_times(source)), damage_marks(source), source.info.facts)


def damage_marks(source: Any) -> tuple[Mark, ...]:
    """What is known of a video's damage."""
    from vlmtool_core.media.video.damage import described

    damage = getattr(source, "damage", None)
    places = damage() if damage is not None else ()
    return tuple(
        Mark(place.kind.value, place.start_s, place.end_s, described([place])[0])
        for place in places
    )


def check_video(ref: ItemRef, cancel: CancelToken) -> tuple[Mark, ...]:
    """Decode all of a video, and say what is damaged. Runs beside the viewer's thread.

    Raises
    ------
    MediaError, CancelledError
    """
    from vlmtool_core.media import open_media

    with open_media(ref.path, ref.files) as source:
        video: Any = source
        for _ in video.check():
            cancel.check()
        return damage_marks(source)


def clock(seconds: float) -> str:
    """`1:02.345` or `1:01:02.345`: file time; a date where the file's clock is one."""
    if seconds >= _DATE_S:
        from datetime import UTC, datetime

        at = datetime.fromtimestamp(seconds, UTC)
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
    thousandths = round(max(0.0, seconds) * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 1000:02d}.{rest % 1000:03d}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"

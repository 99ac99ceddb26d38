"""The wall clock of recordings: when a recorder started, and how far its clock was off.

Kept in the project's settings: the start of an item where a person typed it, the offset for all
items of a camera (the item's group; without one, the item itself). Each change is audited.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from vlmtool_core.errors import MediaError, UsageError
from vlmtool_core.records import Json, MediaKind

if TYPE_CHECKING:
    from vlmtool_core.project import Project
    from vlmtool_core.store.records import ItemRecord

log = logging.getLogger(__name__)

_STARTS, _OFFSETS = "clock.starts", "clock.offsets"
_MOST_OFFSET_S = 100 * 366 * 86_400.0
TYPED, OF_FILE = "typed", "file"


@dataclass(frozen=True, slots=True)
class WallClock:
    """Maps file time to the time of day.

    start : when the recorder says that the first frame was taken; without a zone, in the
        recorder's own time
    start_s : file time of the first frame in seconds
    offset_s : seconds that are added to the recorder's clock to get the true time
    source : "typed" or "file", where `start` comes from
    camera : whose offset it is
    """

    start: datetime
    start_s: float = 0.0
    offset_s: float = 0.0
    source: str = OF_FILE
    camera: str = ""

    def at(self, time_s: float) -> datetime:
        """The true time of a frame at `time_s` seconds of file time."""
        return self.start + timedelta(seconds=time_s - self.start_s + self.offset_s)

    def text(self, time_s: float) -> str:
        """For a person: `2026-03-01 10:20:30.500 UTC`."""
        at = self.at(time_s)
        zone = "" if at.tzinfo is None else f" {at.tzname()}"
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}{zone}"


class TimesOfDay:
    """The times of day of many frames; each video's header is read once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._clocks: dict[int, WallClock | None] = {}

    def of(self, item_id: int, time_s: float | None) -> str:
        """For a person; "" where nobody tells when the recording was made."""
        if time_s is None:
            return ""
        if item_id not in self._clocks:
            self._clocks[item_id] = self._read(item_id)
        found = self._clocks[item_id]
        return "" if found is None else found.text(time_s)

    def _read(self, item_id: int) -> WallClock | None:
        from vlmtool_core.media import open_media

        item = self._project.item(item_id)
        if item.kind is not MediaKind.VIDEO:
            return None
        try:
            with open_media(item.path) as source:
                return wall_clock(self._project, item, source.info.facts)
        except MediaError as error:
            log.warning("no times of day for %s: %s", item.name, error.message)
            return None


def camera_of(item: ItemRecord) -> str:
    """Whose recording it is: the item's group, else the item alone."""
    return item.group or item.name


def wall_clock(project: Project, item: ItemRecord, facts: Mapping[str, Json]) -> WallClock | None:
    """The clock of a video; None when neither its file nor a person tells when it started.

    facts : of its `MediaInfo`
    """
    typed = typed_start(project, item)
    said = typed or facts.get("recorded_at")
    start = None if said is None else _parsed(str(said))
    if start is None:
        return None
    camera = camera_of(item)
    start_s = facts.get("start_s", 0.0)
    return WallClock(
        start,
        float(start_s) if isinstance(start_s, (int, float)) else 0.0,
        offset_of(project, camera),
        TYPED if typed else OF_FILE,
        camera,
    )


def typed_start(project: Project, item: ItemRecord) -> str:
    """What a person said of the start of an item; "" when nobody did."""
    return str(_table(project, _STARTS).get(item.name) or "")


def offset_of(project: Project, camera: str) -> float:
    """Seconds that are added to a camera's clock to get the true time."""
    offset = _table(project, _OFFSETS).get(camera, 0.0)
    return float(offset) if isinstance(offset, (int, float)) else 0.0


def set_start(project: Project, item: ItemRecord, text: str) -> None:
    """Say when the recording of an item started; "" goes back to what its file says.

    text : ISO 8601, with or without a zone

    Raises
    ------
    UsageError : it is no date with a time
    """
    if text and _parsed(text) is None:
        raise UsageError(
            f"{text!r} is no date with a time",
            field="start",
            remedy="Write it like 2026-03-01 10:20:30, with a zone like +01:00 if it is known.",
        )
    _put(project, _STARTS, "clock.start", item.name, text or None)


def set_offset(project: Project, camera: str, offset_s: float) -> None:
    """Say how many seconds are added to a camera's clock to get the true time; 0 for none.

    Raises
    ------
    UsageError : it is no number of seconds
    """
    if not math.isfinite(offset_s) or abs(offset_s) > _MOST_OFFSET_S:
        raise UsageError(
            f"{offset_s} is no offset of a clock",
            field="offset",
            remedy="Give seconds: true time minus the time that the recorder shows.",
        )
    _put(project, _OFFSETS, "clock.offset", camera, offset_s or None)


def _table(project: Project, key: str) -> dict[str, Json]:
    kept = project.store.settings.get(key)
    return dict(kept) if isinstance(kept, dict) else {}


def _put(project: Project, key: str, event: str, name: str, value: Json) -> None:
    table = _table(project, key)
    before = table.pop(name, None)
    if before == value:
        return
    if value is not None:
        table[name] = value
    project.store.settings.put(key, table)
    project.store.audit.append(event, {"name": name, "before": before, "after": value})


def _parsed(text: str) -> datetime | None:
    text = text.strip()
    if len(text) < len("2026-03-01T10:20"):  # a date alone would be midnight
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None

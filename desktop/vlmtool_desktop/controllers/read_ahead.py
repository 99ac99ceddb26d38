"""Decodes the frames that will be looked at next while the viewer's thread has nothing to do."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vlmtool_core.records import ErrorInfo, ItemRef
from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.models.frame_reader import FrameReader, Loaded

MOST_FRAMES = 32

log = logging.getLogger(__name__)


class ReadAhead:
    """Follows the frames that are shown, and reads on in the direction of the last step.

    One frame is read at a time, so that whatever the viewer asks for waits for one at most.
    """

    def __init__(self, bridge: Bridge, reader: FrameReader) -> None:
        self._bridge = bridge
        self._reader = reader
        self._last: Loaded | None = None
        self._direction = 1

    def follow(self, shown: Loaded) -> None:
        """Read on from the frame that is shown now."""
        last, self._last = self._last, shown
        if last is None or last.ref != shown.ref:
            self._direction = 1
        elif shown.index != last.index:
            self._direction = 1 if shown.index > last.index else -1
        self._read(shown.ref, upcoming(shown.index, self._direction, shown.frame_count))

    def stop(self) -> None:
        """Read nothing more until a frame is shown."""
        self._last = None
        self._bridge.drop("ahead")

    def _read(self, ref: ItemRef, wanted: Sequence[int]) -> None:
        if wanted:
            self._bridge.view(
                lambda: self._reader.read_ahead(ref, wanted),
                lambda rest: self._read(ref, rest),
                _failed,
                lane="ahead",
            )


def upcoming(index: int, direction: int, count: int) -> list[int]:
    """The frames behind `index` in this direction, nearest first."""
    behind = range(index + direction, index + direction * (MOST_FRAMES + 1), direction)
    return [other for other in behind if 0 <= other < count]


def _failed(error: ErrorInfo) -> None:
    # Whoever goes to that frame is told then.
    log.debug("reading ahead ends: %s", error.message)

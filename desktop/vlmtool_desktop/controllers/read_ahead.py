"""Decodes the frames that will be looked at next while the viewer's thread has nothing to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from vlmtool_core.records import ErrorInfo, ItemRef, MediaKind
from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.models.frame_reader import FrameReader, Loaded

MOST_FRAMES = 32

log = logging.getLogger(__name__)


# Item that is shown, item before it -> the items that may be shown next, likeliest first.
Neighbours = Callable[[int, int | None], Sequence[ItemRef]]


class ReadAhead:
    """Follows what is shown, and reads on in the direction of the last step.

    One frame is read at a time, so that whatever the viewer asks for waits for one at most. Once
    an item's frames are read, the next pictures of the library are.

    neighbours : set by the window, which knows the library
    """

    def __init__(self, bridge: Bridge, reader: FrameReader) -> None:
        self._bridge = bridge
        self._reader = reader
        self._last: Loaded | None = None
        self._came_from: int | None = None
        self._direction = 1
        self.neighbours: Neighbours = _nobody

    def follow(self, shown: Loaded) -> None:
        """Read on from the frame that is shown now."""
        last, self._last = self._last, shown
        if last is None or last.ref != shown.ref:
            self._direction = 1
            self._came_from = None if last is None else last.ref.item_id
        elif shown.index != last.index:
            self._direction = 1 if shown.index > last.index else -1
        self._read(shown.ref, upcoming(shown.index, self._direction, shown.frame_count))

    def stop(self) -> None:
        """Read nothing more until a frame is shown."""
        self._bridge.drop("ahead")

    def _read(self, ref: ItemRef, wanted: Sequence[int]) -> None:
        if not wanted:
            self._read_items()
            return
        self._bridge.view(
            lambda: self._reader.read_ahead(ref, wanted),
            lambda rest: self._read(ref, rest),
            _failed,
            lane="ahead",
        )

    def _read_items(self) -> None:
        item = None if self._last is None else self._last.ref.item_id
        if item is not None:
            self._read_pictures(
                [ref for ref in self.neighbours(item, self._came_from) if at_once(ref)]
            )

    def _read_pictures(self, refs: Sequence[ItemRef]) -> None:
        if refs:
            self._bridge.view(
                lambda: self._reader.read_ahead(refs[0], [0]),
                lambda _rest: self._read_pictures(refs[1:]),
                _failed,
                lane="ahead",
            )


def _nobody(_item: int, _before: int | None) -> Sequence[ItemRef]:
    return ()


def at_once(ref: ItemRef) -> bool:
    """Whether opening it is quick: a video's frames are counted, a series' slices all looked at."""
    return ref.kind is MediaKind.IMAGE or (ref.kind is MediaKind.DICOM and not ref.files)


def upcoming(index: int, direction: int, count: int) -> list[int]:
    """The frames behind `index` in this direction, nearest first."""
    behind = range(index + direction, index + direction * (MOST_FRAMES + 1), direction)
    return [other for other in behind if 0 <= other < count]


def _failed(error: ErrorInfo) -> None:
    # Whoever goes to that frame is told then.
    log.debug("reading ahead ends: %s", error.message)

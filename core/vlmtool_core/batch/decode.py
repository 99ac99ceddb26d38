"""Decodes items in threads, a bounded amount ahead, and hands the frames out in order."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from vlmtool_core.batch.frames import choose_frames
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.engine.pictures.image_input import ImageInput
from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import MediaSource, open_media
from vlmtool_core.records import ErrorInfo, Frame, ItemRef, MediaKind

MOST_BYTES_AHEAD = 512 * 1024 * 1024
MOST_ITEMS_AHEAD = 64
MOST_FRAMES_OF_AN_ITEM = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """An item to decode.

    done : frames that need not be decoded again
    only : these frames instead of those that the spec asks for
    ends_part : batches end behind it, so that the next item begins one wherever it is worked on
    """

    item: ItemRef
    done: frozenset[int] = frozenset()
    only: frozenset[int] | None = None
    ends_part: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """An item has been opened; `planned` frames, each decoded or failed, will follow."""

    item: ItemRef
    planned: int


class KnownFrame(Protocol):
    """What is told of a frame that need not be decoded, since the model's part is done."""

    @property
    def time_s(self) -> float | None: ...

    @property
    def size(self) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame, what is known of it instead, or the reason why there is neither."""

    item: ItemRef
    index: int
    frame: Frame | None = None
    error: ErrorInfo | None = None
    known: KnownFrame | None = None

    @property
    def size_bytes(self) -> int:
        return 0 if self.frame is None else int(self.frame.pixels.nbytes)


@dataclass(frozen=True, slots=True)
class Border:
    """No batch reaches from what came before to what follows."""


Event = Opened | Decoded | Border
HashOf = Callable[[ItemRef], str]


class Wanted(Protocol):
    """What a model asks of its pictures; `Predictor` knows it."""

    def decode_side(self) -> int:
        """Longer side in pixels that is enough, where there is no `image_input`."""
        ...

    def known(self, sha256: str, frame: int) -> KnownFrame | None:
        """What is known of a frame of this content, which then is not decoded."""
        ...

    def image_input(self) -> ImageInput | None:
        """How a picture becomes the network's input right after it was decoded."""
        ...


# So much larger than the network's input a picture is decoded at least: scores then differ by
# less than 8-bit rounding makes them differ.
_MARGIN = 1.5


def decode_item(job: Job, spec: RunSpec, hash_of: HashOf, wanted: Wanted) -> Iterator[Event]:
    """Every frame of one item that `spec` asks for and that is not done yet.

    wanted : the predictor, asked once the item is open, since it loads the model

    Nothing is raised: whatever goes wrong becomes a `Decoded` with its error, frame 0 when the
    item cannot even be opened.
    """
    item = job.item
    try:
        item = replace(item, sha256=hash_of(item))
        known = _without_opening(item, job, spec, wanted)
        if known is not None:
            yield from (Opened(item, 1), known)
            return
        with open_media(item.path, item.files) as source:
            yield from _frames(item, source, job, spec, wanted)
    except Exception as error:
        log.debug("%s cannot be opened", item.item, exc_info=True)
        first = min(job.only, default=0) if job.only is not None else 0
        if first not in job.done:
            yield Decoded(item, first, error=ErrorInfo.from_exception(error))


def _without_opening(item: ItemRef, job: Job, spec: RunSpec, wanted: Wanted) -> Decoded | None:
    """The one frame of a picture whose embedding is cached: its file is left alone."""
    alone = item.kind is MediaKind.IMAGE and spec.frames != "all" and job.only in (None, {0})
    if not alone or 0 in job.done:
        return None
    known = wanted.known(item.sha256, 0)
    return None if known is None else Decoded(item, 0, known=known)


def _frames(
    item: ItemRef, source: MediaSource, job: Job, spec: RunSpec, wanted: Wanted
) -> Iterator[Event]:
    chosen = choose_frames(source, spec) if job.only is None else sorted(job.only)
    missing = [index for index in chosen if index not in job.done]
    yield Opened(item, len(missing))
    for index in missing:
        known = wanted.known(item.sha256, index)
        if known is not None:
            yield Decoded(item, index, known=known)
        else:
            yield _one(item, source, index, wanted)


def _one(item: ItemRef, source: MediaSource, index: int, wanted: Wanted) -> Decoded:
    try:
        return Decoded(item, index, _frame(source, index, wanted))
    except IndexError:
        missing = DamagedMediaError(f"there is no frame {index}", path=item.path)
        return Decoded(item, index, error=ErrorInfo.from_exception(missing))
    except Exception as error:
        # The reason is part of the results; the traceback only helps developers.
        log.debug("%s: frame %d cannot be decoded", item.item, index, exc_info=True)
        return Decoded(item, index, error=ErrorInfo.from_exception(error))


def _frame(source: MediaSource, index: int, wanted: Wanted) -> Frame:
    """Decoded at the size needed; resized once where the model says how."""
    made = wanted.image_input()
    if made is None:
        return source.frame(index, max_side=wanted.decode_side())
    shorter = math.ceil(_MARGIN * made.side)
    reduced: Callable[[int, int], Frame] | None = getattr(source, "reduced", None)
    if reduced is not None:
        return made.frame(reduced(index, shorter))
    info = source.info
    long, short = max(info.width, info.height), max(1, min(info.width, info.height))
    return made.frame(source.frame(index, max_side=math.ceil(shorter * long / short)))


@dataclass
class _Lane:
    """Events of one item, between the thread that decodes and the one that reads."""

    events: deque[Event] = field(default_factory=deque)
    finished: bool = False


class DecodeAhead:
    """Iterates over the events of all jobs in the order of the jobs, decoding ahead in threads.

    At most 64 items, 16 frames of an item and 512 MB wait at a time; the item that is read at
    present may always go on, so a long video never locks the others out for good.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        decode: Callable[[Job], Iterator[Event]],
        *,
        threads: int | None = None,
        most_bytes: int = MOST_BYTES_AHEAD,
    ) -> None:
        self._jobs = jobs
        self._decode = decode
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._lanes: dict[int, _Lane] = {}
        self._next = 0
        self._head = 0
        self._bytes = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"decode-{n}", daemon=True)
            for n in range(min(threads or default_threads(), max(1, len(jobs))))
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Event]:
        while self._head < len(self._jobs):
            event = self._take()
            if event is not None:
                yield event

    def close(self) -> None:
        """Let the threads end after the frame that they are at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self) -> Event | None:
        """The next event of the head item, or None when that item is through."""
        with self._changed:
            self._changed.wait_for(self._readable)
            if self._closed:
                self._head = len(self._jobs)
                return None
            lane = self._lanes[self._head]
            if not lane.events:
                del self._lanes[self._head]
                self._head += 1
                self._changed.notify_all()
                return None
            event = lane.events.popleft()
            if isinstance(event, Decoded):
                self._bytes -= event.size_bytes
            self._changed.notify_all()
            return event

    def _readable(self) -> bool:
        lane = self._lanes.get(self._head)
        return self._closed or (lane is not None and (bool(lane.events) or lane.finished))

    def _work(self) -> None:
        while (number := self._begin()) is not None:
            for event in self._decode(self._jobs[number]):
                if not self._put(number, event):
                    return
            with self._changed:
                self._lanes[number].finished = True
                self._changed.notify_all()

    def _begin(self) -> int | None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or self._next >= len(self._jobs)
                    or self._next < self._head + MOST_ITEMS_AHEAD
                )
            )
            if self._closed or self._next >= len(self._jobs):
                return None
            number, self._next = self._next, self._next + 1
            self._lanes[number] = _Lane()
            return number

    def _put(self, number: int, event: Event) -> bool:
        """Queue the event once there is room; False when nobody reads any more."""
        with self._changed:
            lane = self._lanes[number]
            self._changed.wait_for(lambda: self._closed or self._has_room(number, lane))
            if self._closed:
                return False
            lane.events.append(event)
            if isinstance(event, Decoded):
                self._bytes += event.size_bytes
            self._changed.notify_all()
            return True

    def _has_room(self, number: int, lane: _Lane) -> bool:
        if len(lane.events) >= MOST_FRAMES_OF_AN_ITEM:
            return False
        return number == self._head or self._bytes < self._most_bytes


def default_threads() -> int:
    """Two at least: one may wait for a disk while the other decodes."""
    return max(2, min(16, os.cpu_count() or 2))

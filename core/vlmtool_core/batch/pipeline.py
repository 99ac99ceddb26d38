"""Decode ahead → batches → engine, in threads; the caller reads finished batches in order."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from vlmtool_core.batch.decode import (
    MOST_BYTES_AHEAD,
    Border,
    DecodeAhead,
    Decoded,
    Event,
    HashOf,
    Job,
    Opened,
    decode_item,
)
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.engine.runtime.stopping import stoppable
from vlmtool_core.errors import CancelledError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import Outcome

POLL_S = 0.05
MOST_BATCHES_WAITING = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """One frame and what became of it. `decoded.frame` is dropped to free its pixels."""

    decoded: Decoded
    outcome: Outcome
    time_s: float | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers in the order of items and frames, and the items opened on the way."""

    answers: tuple[Answer, ...]
    opened: tuple[Opened, ...]


class _Stop(CancelToken):
    """Set when the run is cancelled, and when nobody reads its batches any more."""

    def __init__(self, run: CancelToken) -> None:
        super().__init__()
        self._run = run

    @property
    def cancelled(self) -> bool:
        return super().cancelled or self._run.cancelled


class Pipeline:
    """Iterates over batches as they get finished; use as a context manager.

    The engine works in a thread of its own, so that the caller can stop waiting for it: when
    `cancel` is set, the batches finished by then still come, and the iteration ends within 0.1 s.
    A forward pass that is under way stops where
    its family asks `engine.stopping`, else it finishes by itself; its answers are dropped. Errors
    that concern every frame are raised.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        spec: RunSpec,
        predictor: Predictor,
        *,
        hash_of: HashOf,
        cancel: CancelToken,
        threads: int | None = None,
        most_bytes: int = MOST_BYTES_AHEAD,
    ) -> None:
        self._predictor = predictor
        self._cancel = cancel
        self._stop = _Stop(cancel)
        self._results: queue.Queue[Batch | Exception | None] = queue.Queue(MOST_BATCHES_WAITING)
        self._ahead = DecodeAhead(
            jobs,
            lambda job: _with_border(job, decode_item(job, spec, hash_of, predictor)),
            threads=threads,
            most_bytes=most_bytes,
        )
        threading.Thread(target=self._work, name="predict", daemon=True).start()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            # Read before the queue is: what was finished before the cancel is not thrown away.
            cancelled = self._cancel.cancelled
            try:
                result = self._results.get(block=not cancelled, timeout=POLL_S)
            except queue.Empty:
                if cancelled:
                    return
                continue
            if result is None:
                return
            if isinstance(result, Exception):
                raise result
            yield result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the threads end; they need not be waited for."""
        self._stop.cancel()
        self._ahead.close()

    def _work(self) -> None:
        try:
            with stoppable(self._stop):
                self._predict_all()
        except CancelledError:
            self._put(None)
        except Exception as error:
            log.info("the run ends with an error", exc_info=True)
            self._put(error)
        else:
            self._put(None)

    def _put(self, result: Batch | Exception | None) -> None:
        while not self._stop.cancelled:
            try:
                self._results.put(result, timeout=POLL_S)
            except queue.Full:
                continue
            return

    def _predict_all(self) -> None:
        waiting: list[Decoded] = []
        opened: list[Opened] = []
        frames = 0
        for event in self._ahead:
            if self._stop.cancelled:
                return
            if isinstance(event, Opened):
                opened.append(event)
                continue
            size = self._predictor.batch_size
            full = isinstance(event, Border) and bool(waiting or opened)
            if isinstance(event, Decoded):
                waiting.append(event)
                frames += event.error is None
                full = frames >= size or len(waiting) >= 4 * size
            if full:
                self._put(_answer(waiting, opened, self._predictor))
                waiting, opened, frames = [], [], 0
        if (waiting or opened) and not self._stop.cancelled:
            self._put(_answer(waiting, opened, self._predictor))


def _with_border(job: Job, events: Iterator[Event]) -> Iterator[Event]:
    yield from events
    if job.ends_part:
        yield Border()


def _answer(waiting: list[Decoded], opened: list[Opened], predictor: Predictor) -> Batch:
    pairs = zip(waiting, predictor.outcomes(waiting), strict=True)
    return Batch(tuple(_of_frame(*pair) for pair in pairs), tuple(opened))


def _of_frame(decoded: Decoded, outcome: Outcome) -> Answer:
    frame = decoded.frame or decoded.known
    if frame is None:
        return Answer(decoded, outcome)
    without_pixels = Decoded(decoded.item, decoded.index)
    return Answer(without_pixels, outcome, frame.time_s, frame.size)

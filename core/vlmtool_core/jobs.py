"""Jobs without Qt: cancel tokens, progress with time left, and threads that never lose an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from vlmtool_core.errors import CancelledError

T = TypeVar("T")


class CancelToken:
    """Set once, from any thread; checked by the job between two pieces of work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise `CancelledError` if the user has asked to stop."""
        if self.cancelled:
            raise CancelledError("stopped by the user")

    def wait(self, seconds: float) -> None:
        """Sleep, but raise `CancelledError` as soon as the user asks to stop."""
        self._event.wait(seconds)
        self.check()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `total` is None while it is not known."""

    done: int
    total: int | None = None
    message: str = ""
    failed: int = 0
    elapsed_s: float = 0.0

    @property
    def rate(self) -> float:
        """Units per second since the start."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the rate so far, None while it cannot be known."""
        if not self.total or not self.done or not self.rate:
            return None
        return max(0.0, (self.total - self.done) / self.rate)


ProgressCallback = Callable[[Progress], None]


def no_progress(_progress: Progress) -> None:
    """The callback of a caller who does not want to know."""


class ProgressMeter:
    """Counts and reports at most every `interval_s` seconds, and always at the end.

    `total` may be changed while more becomes known.
    """

    def __init__(
        self, report: ProgressCallback, total: int | None = None, *, interval_s: float = 0.1
    ) -> None:
        self._report = report
        self.total = total
        self._interval_s = interval_s
        self._start = time.monotonic()
        self._last = 0.0
        self.done = 0
        self.failed = 0
        self.message = ""

    def step(self, count: int = 1, *, failed: int = 0, message: str = "") -> None:
        self.done += count
        self.failed += failed
        self.message = message or self.message
        now = time.monotonic()
        if self.done == self.total or now - self._last >= self._interval_s:
            self._last = now
            self.flush()

    def flush(self) -> None:
        elapsed = time.monotonic() - self._start
        self._report(Progress(self.done, self.total, self.message, self.failed, elapsed))


class JobRunner:
    """A named pool of threads; a result or an error always reaches its future."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        return self._pool.submit(work)

    def close(self) -> None:
        """Drop what has not started and wait for what has."""
        self._pool.shutdown(wait=True, cancel_futures=True)

"""One caller at a time in an engine; what somebody waits for goes before a run, batch by batch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from weakref import WeakKeyDictionary


class Rank(IntEnum):
    """Who goes first: what the user looks at, a conversation, what will be looked at next, and
    runs and trainings."""

    LOOK = 0
    TALK = 1
    AHEAD = 2
    RUN = 3


class Turns:
    """A lock that goes to the first rank that waits, and within it to who came first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._waiting: list[tuple[Rank, int]] = []
        self._numbers = itertools.count()

    def is_waiting(self, rank: Rank) -> bool:
        """Whether somebody of this rank waits for a turn."""
        with self._changed:
            return any(waiting == rank for waiting, _ in self._waiting)

    @contextmanager
    def take(self, rank: Rank = Rank.RUN) -> Iterator[None]:
        """Hold the engine for one call."""
        with self._changed:
            ticket = (rank, next(self._numbers))
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: not self._taken and min(self._waiting) == ticket)
                self._taken = True
            finally:
                self._waiting.remove(ticket)
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


_all: WeakKeyDictionary[object, Turns] = WeakKeyDictionary()
_all_lock = threading.Lock()


def turns_of(engine: object) -> Turns:
    """The one lock of this engine."""
    with _all_lock:
        return _all.setdefault(engine, Turns())

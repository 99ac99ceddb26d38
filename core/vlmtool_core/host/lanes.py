"""Where requests wait: lanes with one thread each, and in a lane the most urgent first."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kind of request waits.

    lane : requests of one lane are served one after the other, those of several lanes together
    rank : in a lane the lowest goes first, and among equals who came first
    abandoned : whether a cancelled one is answered at once and left to end by itself
    """

    lane: str
    rank: int = 0
    abandoned: bool = False


@dataclass(order=True, slots=True)
class Ticket:
    """One piece of work that waits."""

    rank: int
    number: int
    work: Callable[[], None] = field(compare=False)


class Lane:
    """A queue and its thread, which starts with the first work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, rank: int, work: Callable[[], None]) -> Ticket:
        """Let the work wait; it must not raise."""
        with self._changed:
            ticket = Ticket(rank, next(self._numbers), work)
            heapq.heappush(self._waiting, ticket)
            if self._thread is None:
                # A forward pass that never returns must not keep the process alive.
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return ticket

    def withdraw(self, ticket: Ticket) -> bool:
        """Take back what has not begun; False if it has."""
        with self._changed:
            if ticket not in self._waiting:
                return False
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)
            return True

    def close(self) -> None:
        """Drop what waits; what has begun goes on."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                ticket = heapq.heappop(self._waiting)
            ticket.work()

"""Whether a host is well: it answers heartbeats, obeys, and gets on with what it has begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; 0 means never.

    ping : between two heartbeats while the host owes something
    silent : without any answer, after which the host is ended
    cancel : that a cancelled request may take to stop
    stuck : without progress of a request that has begun
    """

    ping: float = 3.0
    silent: float = 60.0
    cancel: float = 20.0
    stuck: float = 1800.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a host must be ended, and the requests that are to blame."""

    reason: str
    guilty: frozenset[int]


@dataclass(slots=True)
class _Watched:
    kind: str
    pending: bool = True
    began: bool = False
    moved: float = 0.0
    cancelled: float | None = None


class Watch:
    """Follows one host process; not thread-safe, its owner holds a lock."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._requests: dict[int, _Watched] = {}
        self._asked: float | None = None

    @property
    def busy(self) -> bool:
        """Whether the host owes something, or still works at what was given up."""
        return bool(self._requests)

    def sent(self, number: int, kind: str) -> None:
        self._requests[number] = _Watched(kind, moved=self._clock())

    def cancelled(self, number: int) -> None:
        watched = self._requests.get(number)
        if watched is not None and watched.cancelled is None:
            watched.cancelled = self._clock()

    def moved(self, number: int) -> None:
        """The request reported progress."""
        watched = self._requests.get(number)
        if watched is not None:
            watched.began, watched.moved = True, self._clock()

    def ended(self, number: int) -> None:
        """The request was answered; one that was cancelled may be at work all the same."""
        watched = self._requests.get(number)
        if watched is not None and watched.cancelled is not None:
            watched.pending = False
        else:
            self._requests.pop(number, None)

    def asked(self) -> bool:
        """A heartbeat is due: whether it is to be sent, or one is still on its way."""
        if self._asked is not None:
            return False
        self._asked = self._clock()
        return True

    def heard(self) -> None:
        """The host said something."""
        self._asked = None

    def running(self, numbers: Collection[int]) -> None:
        """A heartbeat's answer: what is at work now, abandoned requests too."""
        for number, watched in list(self._requests.items()):
            if number in numbers:
                if not watched.began:
                    watched.began, watched.moved = True, self._clock()
            elif not watched.pending:
                del self._requests[number]

    def verdict(self) -> Verdict | None:
        """Why the host must be ended, None while it is well."""
        now, limits = self._clock(), self.limits
        if limits.silent and self._asked is not None and now - self._asked > limits.silent:
            began = {number: one for number, one in self._requests.items() if one.began}
            at_work = ", ".join(sorted({one.kind for one in began.values()}))
            doing = f" while at work on: {at_work}" if at_work else ""
            reason = f"the engine host did not answer for {limits.silent:g} s{doing}"
            return Verdict(reason, frozenset(began))
        for number, one in self._requests.items():
            if limits.cancel and one.cancelled and now - one.cancelled > limits.cancel:
                reason = f"{one.kind} did not stop within {limits.cancel:g} s of being cancelled"
                return Verdict(reason, frozenset({number}))
            if limits.stuck and one.pending and one.began and now - one.moved > limits.stuck:
                reason = f"{one.kind} made no progress for {limits.stuck:g} s"
                return Verdict(reason, frozenset({number}))
        return None

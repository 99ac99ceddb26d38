"""One caller at a time in an engine; a prediction that somebody waits for goes before a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary


class Turns:
    """A lock that an urgent caller gets before all others who wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._urgent = 0

    @contextmanager
    def take(self, *, urgent: bool = False) -> Iterator[None]:
        """Hold the engine for one call."""
        with self._changed:
            self._urgent += urgent
            try:
                self._changed.wait_for(lambda: not self._taken and (urgent or self._urgent == 0))
                self._taken = True
            finally:
                self._urgent -= urgent
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

"""The models that are loaded: several at a time within a memory budget; the one that was not
used for longest leaves first, and never one that is at work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.runtime.memory import Memory
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.errors import NotEnoughMemoryError
from vlmtool_core.signals import Signal

LOOK_AGAIN_S = 0.2
# How long a call waits at most for another thread to make room.
MOST_COURTESY_S = 1.0

log = logging.getLogger(__name__)


class LoadedModel(NamedTuple):
    """bytes : what it is reckoned to take; last_used : seconds since the epoch"""

    pack_id: str
    bytes: int
    last_used: float


@dataclass(eq=False, slots=True)
class _Entry:
    """turn : grows with each use, of whatever entry; users : calls that are using it"""

    family: Family
    fingerprint: str
    bytes: int
    last_used: float = 0.0
    turn: int = 0
    users: int = 0


@dataclass
class _Mine(threading.local):
    """The entries that this thread's call is using, None outside a call; what it is loading."""

    in_use: list[_Entry] | None = None
    loading: list[tuple[str, int]] = field(default_factory=list)


class LoadedModels:
    """Loads one model at a time, while those that are there go on working.

    Parameters
    ----------
    budget : bytes that all models may take together
    memory : of the device
    free : gives freed memory back to the system
    smaller : of a pack and a number of bytes: ids of packs for the same work that fit
    """

    def __init__(
        self,
        *,
        budget: Callable[[], int],
        memory: Callable[[], Memory],
        free: Callable[[], None],
        smaller: Callable[[Pack, int], Sequence[str]],
    ) -> None:
        self._budget = budget
        self._memory = memory
        self._free = free
        self._smaller = smaller
        self._entries: dict[str, _Entry] = {}
        self._changed = threading.Condition()
        self._mine = _Mine()
        self._loader: int | None = None
        self._loading: tuple[tuple[str, int], ...] = ()
        self._turns = 0
        self._wanted: set[int] = set()
        self.loading_changed: Signal[[str]] = Signal()

    @property
    def loading(self) -> str:
        """Id of the pack that is being loaded, else ""."""
        loading = self._loading
        return loading[-1][0] if loading else ""

    def listing(self) -> list[LoadedModel]:
        """What is loaded, the last used first."""
        with self._changed:
            newest = sorted(self._entries.items(), key=lambda pair: -pair[1].turn)
            return [LoadedModel(name, entry.bytes, entry.last_used) for name, entry in newest]

    def find(self, pack_id: str) -> Family | None:
        """The family if it is loaded; counts as a use."""
        with self._changed:
            entry = self._entries.get(pack_id)
            return None if entry is None else self._touch(entry)

    def get(
        self, pack: Pack, needed: Callable[[Pack], int], load: Callable[[Pack], Family]
    ) -> Family:
        """The family of a pack; loaded if it is not there, or if the pack was replaced since.

        needed : the bytes it will take

        Raises
        ------
        NotEnoughMemoryError : it does not fit, whatever else is unloaded; nothing was loaded.
        """
        fingerprint = pack.fingerprint
        with self._changed:
            found = self._current(pack.id, fingerprint)
            if found is not None:
                return self._touch(found)
        size = needed(pack)
        with self._changed:
            found = self._entry_or_room(pack, fingerprint, size)
            if found is not None:
                return self._touch(found)
            self._loader = threading.get_ident()
            self._mine.loading.append((pack.id, size))
            self._loading = tuple(self._mine.loading)
        return self._load(pack, fingerprint, size, load)

    @contextmanager
    def use(self) -> Iterator[None]:
        """What this thread gets inside the block, parts included, stays loaded until its end."""
        outer, mine = self._mine.in_use, list[_Entry]()
        if outer is None:
            # Call after call, a run would never let go of the model that must leave.
            with self._changed:
                self._changed.wait_for(lambda: not self._wanted, MOST_COURTESY_S)
        self._mine.in_use = mine
        try:
            yield
        finally:
            with self._changed:
                for entry in mine:
                    entry.users -= 1
                self._mine.in_use = outer
                self._changed.notify_all()

    def forget(self, pack_id: str | None = None) -> list[str]:
        """Unload one model, or all; returns the ids of those that were loaded."""
        with self._changed:
            gone = [name for name in self._entries if pack_id in (None, name)]
            for name in gone:
                del self._entries[name]
        self._free()
        return gone

    def _load(
        self, pack: Pack, fingerprint: str, size: int, load: Callable[[Pack], Family]
    ) -> Family:
        """Load outside the lock, so that what is loaded already can be used meanwhile."""
        self.loading_changed.emit(pack.id)
        began = time.monotonic()
        entry: _Entry | None = None
        try:
            entry = _Entry(load(pack), fingerprint, size)
        finally:
            with self._changed:
                self._mine.loading.pop()
                self._loading = tuple(self._mine.loading)
                self._loader = self._loader if self._loading else None
                if entry is not None:
                    self._entries[pack.id] = entry
                    self._touch(entry)
                self._changed.notify_all()
            self.loading_changed.emit(self.loading)
        log.info("%s is loaded, %.1f s", pack.id, time.monotonic() - began)
        return entry.family

    def _touch(self, entry: _Entry) -> Family:
        self._turns += 1
        entry.turn, entry.last_used = self._turns, time.time()
        mine = self._mine.in_use
        if mine is not None and entry not in mine:
            entry.users += 1
            mine.append(entry)
        return entry.family

    def _current(self, pack_id: str, fingerprint: str) -> _Entry | None:
        entry = self._entries.get(pack_id)
        return entry if entry is not None and entry.fingerprint == fingerprint else None

    def _entry_or_room(self, pack: Pack, fingerprint: str, size: int) -> _Entry | None:
        """The loaded entry; None once there is room for it and nobody else is loading."""
        me = threading.get_ident()
        try:
            while (found := self._current(pack.id, fingerprint)) is None:
                if self._entries.pop(pack.id, None) is not None:
                    log.info("%s was replaced and is loaded again", pack.id)
                    self._free()
                alone = self._loader in (None, me)
                if alone and self._make_room(pack, size):
                    return None
                self._want_room(me, alone)
                self._changed.wait(LOOK_AGAIN_S)
                check_stopped()
            return found
        finally:
            self._want_room(me, False)

    def _want_room(self, thread: int, wanted: bool) -> None:
        """Whether a thread waits for models that are in use, and not for another one's loading."""
        if wanted:
            self._wanted.add(thread)
        elif thread in self._wanted:
            self._wanted.remove(thread)
            self._changed.notify_all()

    def _make_room(self, pack: Pack, size: int) -> bool:
        """Unload what was not used for longest until the pack fits; False where that must wait
        for the end of another thread's call."""
        mine = self._mine.in_use or []
        self._require(pack, size, self._room(kept=mine))
        while size > (room := self._room(kept=list(self._entries.values()))):
            idle = [pair for pair in self._entries.items() if not pair[1].users]
            if idle:
                name, _ = min(idle, key=lambda pair: pair[1].turn)
                log.info("%s is unloaded to make room for %s", name, pack.id)
                del self._entries[name]
                self._free()
            elif mine or self._mine.loading or not self._entries:
                self._require(pack, size, room)
            else:
                return False
        return True

    def _room(self, *, kept: Sequence[_Entry]) -> int:
        """Bytes for one more model when only these entries and what is being loaded remain."""
        taken = sum(size for _, size in self._loading)
        staying = sum(entry.bytes for entry in kept)
        leaving = sum(entry.bytes for entry in self._entries.values()) - staying
        available = self._memory().available + leaving
        return min(self._budget() - staying, available) - taken

    def _require(self, pack: Pack, size: int, room: int) -> None:
        if size > room:
            raise NotEnoughMemoryError.of(
                pack.id,
                needed=size,
                available=max(0, room),
                budget=self._budget(),
                smaller=self._smaller(pack, max(0, room)),
            )

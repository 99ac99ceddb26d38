"""One worker process: requests go in, answers come out in the same order, a deadline is kept."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from vlmtool_core.errors import FormatError, MissingDependencyError
from vlmtool_core.media.safe import limits, wire
from vlmtool_core.media.safe.arena import Arena
from vlmtool_core.records import Json

# Beyond so many bytes in arrays that somebody holds, further ones are copied out of the arena.
MOST_HELD = 512 << 20
# A larger request goes out only when the worker has nothing left to answer: both ends of the
# pipes would wait for each other otherwise.
_MOST_WITHOUT_WAITING = 32 * 1024
# Python and numpy have to be loaded first, on slow machines from a slow disk.
START_S = 60.0
_MOST_NOISE = 1 << 20
# A process that closed its pipes is at its end.
_LAST_WORDS_S = 2.0

log = logging.getLogger(__name__)


class GoneError(Exception):
    """The worker ended. how : in words; cause : "time", "memory", "cancel" or "crash"

    mine : whether the request that was waited for is the one it died of
    """

    def __init__(self, how: str, cause: str, *, mine: bool) -> None:
        super().__init__(how)
        self.how = how
        self.cause = cause
        self.mine = mine


class WorkerProcess:
    """Several threads may ask at the same time; the worker takes one request after the other.

    sources, streams : how many the program has open in it, for whoever chooses a worker
    settings : what it was told last; freed, closed : what it is told with the next request

    Raises
    ------
    MissingDependencyError : the system starts no process
    """

    def __init__(self) -> None:
        self._arena = Arena()
        self._noise: Any = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
        self._popen = _start(self._arena, self._noise)
        self.lock = threading.RLock()
        self.sources = 0
        self.streams = 0
        self.settings: Json = None
        self.freed: deque[int] = deque()
        self.closed: deque[int] = deque()
        self.deadline: float | None = None
        self.last_used = time.monotonic()
        self.resting = True
        self.gone: tuple[str, str] | None = None
        self._ending = ""
        self._held: dict[int, int] = {}
        self._held_bytes = 0
        self._number = 0
        self._pending: deque[int] = deque()
        self._answers: dict[int, wire.Incoming] = {}
        self._unwanted: set[int] = set()
        self._fresh = True
        self.pid = self._popen.pid

    @property
    def alive(self) -> bool:
        return self.gone is None

    @property
    def busy(self) -> bool:
        return bool(self._pending)

    def post(self, values: Mapping[str, object], limit_s: float) -> int:
        """Send a request; its number, to `wait` for.

        Raises
        ------
        GoneError
        """
        with self.lock:
            self._number += 1
            outgoing, message = wire.pack(values)
            message |= {"id": self._number, "limit": limit_s, **self._along()}
            if self.gone is not None:
                raise GoneError(*self.gone, mine=False)
            text, size = outgoing.packed(message)
            if size > _MOST_WITHOUT_WAITING:
                while self._pending:
                    self._receive(limit_s, self._pending[0])
            try:
                outgoing.write(self._popen.stdin, text)  # type: ignore[arg-type]
            except OSError:
                self._end_of(self._number)
            self._pending.append(self._number)
            self.resting = False
            return self._number

    def wait(self, number: int, limit_s: float) -> wire.Incoming:
        """The answer to a request.

        Raises
        ------
        GoneError : the worker ended before it came
        """
        with self.lock:
            while number not in self._answers:
                if self.gone is not None:
                    raise GoneError(*self.gone, mine=False)
                self._receive(limit_s, number)
            self.last_used = time.monotonic()
            return self._answers.pop(number)

    def drop(self, numbers: list[int]) -> None:
        """Nobody waits for these answers any more."""
        with self.lock:
            for number in numbers:
                if self._answers.pop(number, None) is None and number in self._pending:
                    self._unwanted.add(number)

    def end(self, cause: str) -> None:
        """End the process; from any thread, whatever it is doing. cause : as in `GoneError`"""
        self._ending = self._ending or cause
        self._popen.kill()

    def dismiss(self) -> None:
        """Let it end by itself, or end it; nobody uses it any more."""
        if self.gone is None:
            self.gone = ("was dismissed", "cancel")
        self._popen.kill()
        self._popen.wait()
        self._close_pipes()

    def _along(self) -> dict[str, Json]:
        """What the worker learns with whatever is asked next."""
        freed = [self.freed.popleft() for _ in range(len(self.freed))]
        self._held_bytes -= sum(self._held.pop(offset, 0) for offset in freed)
        closed = [self.closed.popleft() for _ in range(len(self.closed))]
        return ({"free": freed} if freed else {}) | ({"closed": closed} if closed else {})

    def _receive(self, limit_s: float, waiting: int) -> None:
        """Take the next message in; any of them is a sign of life."""
        patience = limit_s + (START_S if self._fresh else 0.0)
        self.deadline = time.monotonic() + patience
        try:
            incoming = wire.read(self._popen.stdout, self._fetch)  # type: ignore[arg-type]
        except (OSError, FormatError):
            log.warning("decoder %d broke the protocol", self.pid, exc_info=True)
            self._popen.kill()
            incoming = None
        finally:
            self.deadline = None
        if incoming is None:
            self._end_of(waiting)
            return
        self._fresh = False
        if "id" in incoming.message:
            self._keep(incoming)

    def _keep(self, incoming: wire.Incoming) -> None:
        number = self._pending.popleft()
        if number != incoming.message["id"]:
            log.error("decoder %d answered another request than it was asked", self.pid)
            self._pending.appendleft(number)
            self._end_of(number)
        elif number in self._unwanted:
            self._unwanted.discard(number)
            # Its arrays have to be taken before their places can be free again.
            incoming.value("items")
        else:
            self._answers[number] = incoming

    def _fetch(self, offset: int, size: int) -> np.ndarray:
        view = self._arena.view(offset, size, self.freed.append)
        self._held[offset] = size
        self._held_bytes += size
        return view if self._held_bytes <= MOST_HELD else view.copy()

    def _end_of(self, waiting: int) -> None:
        """The worker is gone: find out why, and tell who waits."""
        try:
            code = self._popen.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait()
        cause = self._ending or ("time" if code == -getattr(signal, "SIGALRM", 0) else "crash")
        self.gone = (_in_words(code), cause)
        culprit = self._pending[0] if self._pending else waiting
        log.warning("decoder %d ended (%s): %s", self.pid, cause, self.gone[0])
        log.debug("decoder %d wrote: %s", self.pid, self.noise())
        self._close_pipes()
        raise GoneError(*self.gone, mine=culprit == waiting)

    def noise(self) -> str:
        """The end of what its libraries wrote to standard error."""
        size = self._noise.seek(0, os.SEEK_END)
        self._noise.seek(max(0, size - 2000))
        text: str = self._noise.read().decode(errors="replace")
        return text.strip()

    def quieten(self) -> None:
        """Keep what its libraries write from filling the disk."""
        if not self._noise.closed and self._noise.seek(0, os.SEEK_END) > _MOST_NOISE:
            self._noise.truncate(0)

    def over_memory(self, most_bytes: int) -> bool:
        """Whether it has to be ended because this system does not limit it."""
        if limits.limits_itself():
            return False
        import psutil

        try:
            return bool(psutil.Process(self.pid).memory_info().rss > most_bytes)
        except psutil.Error:
            return False

    def forget(self) -> None:
        """In a forked child: this worker is another process's; only let go of its pipes."""
        self.gone = ("belongs to another process", "cancel")
        self.lock = threading.RLock()
        self._popen.returncode = 0
        self._close_pipes()

    def _close_pipes(self) -> None:
        pipes: tuple[Any, ...] = (self._popen.stdin, self._popen.stdout, self._noise)
        for pipe in pipes:
            try:
                pipe.close()
            except OSError:
                log.debug("a pipe to decoder %d was already broken", self.pid)


def _start(arena: Arena, noise: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "vlmtool_core.media.safe.worker"]
    keep: tuple[int, ...] = ()
    if arena.file is None:
        command += [arena.tag, str(arena.size)]
    else:
        keep = (arena.file.fileno(),)
        command += [str(keep[0]), str(arena.size)]
    quiet = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **quiet, "VLMTOOL_DECODE": "here"}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            env=environment,
            pass_fds=keep,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise MissingDependencyError(
            f"no process can be started to decode in: {error}", remedy="Run: vlmtool-cli doctor"
        ) from error
    arena.attached()
    return process


def _in_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    name = known.get(-code, f"signal {-code}")
    hint = " (often: out of memory)" if name == "SIGKILL" else ""
    return f"crashed with {name} (signal {-code}){hint}"

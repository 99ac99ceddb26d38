"""The workers of this process: started when needed, kept warm, watched, replaced when they end."""

from __future__ import annotations

import atexit
import dataclasses
import itertools
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmtool_core.errors import CancelledError
from vlmtool_core.media.budget import settings_in_force
from vlmtool_core.media.safe import failures, wire
from vlmtool_core.media.safe.process import GoneError, WorkerProcess

# A picture is read from a slow disk, and decoded by a slow processor, at least as fast as this.
BYTES_PER_S = 20e6
PIXELS_PER_S = 10e6
MOST_WORKERS = 16
# An idle worker gives its spare memory back, and later goes, except for one.
REST_AFTER_S = 10.0
GO_AFTER_S = 300.0
_LOOK_S = 0.1

log = logging.getLogger(__name__)


class Pool:
    """Chooses a worker for each source, and ends those that break a limit."""

    def __init__(self) -> None:
        self._workers: list[WorkerProcess] = []
        self._lock = threading.Lock()
        self._used = threading.Event()
        self._watch: threading.Thread | None = None
        self.numbers = itertools.count(1)
        self.most = max(2, min(MOST_WORKERS, os.cpu_count() or 2))

    @property
    def pids(self) -> list[int]:
        """Of the workers that are there at present."""
        return [worker.pid for worker in self._workers if worker.alive]

    def prepare(self) -> None:
        """Have a worker ready before the first file needs one; returns at once."""
        with self._lock:
            if not any(worker.alive for worker in self._workers):
                self._add()

    def choose(self) -> WorkerProcess:
        """The worker for another source: an empty one, a new one, or the one with least to do."""
        with self._lock:
            self._workers = [worker for worker in self._workers if worker.alive]
            best = min(self._workers, key=_load, default=None)
            if best is None or (_load(best) > (0, 0, 0) and len(self._workers) < self.most):
                best = self._add()
            best.sources += 1
            return best

    def _add(self) -> WorkerProcess:
        worker = WorkerProcess()
        self._workers.append(worker)
        if self._watch is None:
            self._watch = threading.Thread(target=self._keep_watch, name="decoders", daemon=True)
            self._watch.start()
        return worker

    def post(self, worker: WorkerProcess, values: Mapping[str, object], limit_s: float) -> int:
        """Send a request, and the settings where the worker has others."""
        settings = settings_in_force()
        if worker.settings is not settings:
            values = {**values, "settings": dataclasses.asdict(settings)}
            worker.settings = settings
        number = worker.post(values, limit_s)
        self._used.set()
        return number

    def run(self, name: str, arguments: Sequence[object], path: Path) -> Any:
        """Call a function ("module:name") in a worker, for a file that need not be open.

        Raises
        ------
        MediaError : and whatever else the function raises
        """
        limit_s = seconds_for(stored_bytes(path))
        request = {"op": "run", "name": name, "arguments": list(arguments)}
        for last in (False, False, True):
            worker = self.choose()
            try:
                answer = worker.wait(self.post(worker, request, limit_s), limit_s)
            except GoneError as gone:
                if gone.mine or last:
                    raise failure(gone, path, limit_s) from gone
                continue
            finally:
                worker.sources -= 1
            self.check_spent(worker, answer.message, path)
            if "error" in answer.message:
                raise failures.from_json(answer.message["error"], path)
            return answer.value("result")
        return None

    def check_spent(self, worker: WorkerProcess, message: wire.Message, path: Path) -> None:
        """A worker that ran out of memory once may be in pieces: it is replaced.

        Raises
        ------
        BudgetExceededError
        """
        if message.get("spent"):
            log.warning("%s: decoder %d ran out of memory and is replaced", path, worker.pid)
            worker.dismiss()
            raise failures.over_memory(path, settings_in_force().decode_memory_mb)

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            workers, self._workers = self._workers, []
        for worker in workers:
            if worker.alive:
                worker.dismiss()

    def forget(self) -> None:
        """In a forked child: the workers are those of the process that it came from."""
        for worker in self._workers:
            worker.forget()

    def _keep_watch(self) -> None:
        while True:
            self._used.wait(None if not self.pids else REST_AFTER_S)
            self._used.clear()
            while any(worker.busy for worker in self._workers):
                time.sleep(_LOOK_S)
                for worker in list(self._workers):
                    _end_if_needed(worker)
            self._tidy()

    def _tidy(self) -> None:
        for worker in list(self._workers):
            idle_s = time.monotonic() - worker.last_used
            if not worker.alive or idle_s < REST_AFTER_S or not worker.lock.acquire(blocking=False):
                continue
            try:
                self._rest(worker, idle_s)
            except GoneError:
                log.info("an idle decoder was gone")
            finally:
                worker.lock.release()

    def _rest(self, worker: WorkerProcess, idle_s: float) -> None:
        if idle_s > GO_AFTER_S and not worker.sources and len(self.pids) > 1:
            worker.dismiss()
        elif worker.freed or worker.closed or not worker.resting:
            used = worker.last_used
            worker.wait(worker.post({"op": "rest"}, 10.0), 10.0)
            worker.last_used, worker.resting = used, True
            worker.quieten()


def _load(worker: WorkerProcess) -> tuple[int, int, int]:
    return worker.streams, worker.sources, int(worker.busy)


def _end_if_needed(worker: WorkerProcess) -> None:
    deadline = worker.deadline
    if not worker.alive or deadline is None:
        return
    if time.monotonic() > deadline:
        log.warning("decoder %d gave no answer in time and is ended", worker.pid)
        worker.end("time")
    elif worker.over_memory(settings_in_force().decode_memory_mb * 1_000_000):
        log.warning("decoder %d is over its memory limit and is ended", worker.pid)
        worker.end("memory")


def stored_bytes(path: Path) -> int:
    """Of a file on its disk; holes, which cost no time to make, give no time to read."""
    status = path.stat()
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else min(status.st_size, 512 * blocks)


def seconds_for(size_bytes: int, pixels: int = 0) -> float:
    """How long a call on a file may take: the setting, and more for large files and pictures."""
    base = settings_in_force().decode_seconds
    return base + size_bytes / BYTES_PER_S + pixels / PIXELS_PER_S


def failure(gone: GoneError, path: Path, limit_s: float) -> Exception:
    """What a call is failed with whose worker ended."""
    if gone.cause == "cancel":
        return CancelledError("decoding was stopped", path=path)
    if gone.cause == "time":
        return failures.over_time(path, limit_s)
    if gone.cause == "memory":
        return failures.over_memory(path, settings_in_force().decode_memory_mb)
    return failures.crashed(path, gone.how)


_pool: list[Pool] = []
_making = threading.Lock()
_foreign: list[Pool] = []


def pool() -> Pool:
    """The pool of this process, made on first use."""
    if not _pool:
        with _making:
            if not _pool:
                _pool.append(Pool())
    return _pool[0]


def prepare() -> None:
    """Have a worker started before the first file needs one; returns at once."""
    if not decodes_here():
        pool().prepare()


def decodes_here() -> bool:
    """Whether nothing goes to workers, to find errors in decoders."""
    return os.environ.get("VLMTOOL_DECODE") == "here"


def _close() -> None:
    if _pool:
        _pool[0].close()


def _after_fork() -> None:
    global _making
    _making = threading.Lock()
    while _pool:
        # Kept, so that nothing of it is cleaned up in the wrong process.
        _foreign.append(_pool.pop())
        _foreign[-1].forget()


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

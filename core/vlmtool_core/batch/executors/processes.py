"""The executor of several worker processes on this machine.

Each worker is a fresh interpreter (spawned, never forked: torch's threads do not survive a fork)
with a model of its own. It gets chunks of items through a pipe and sends batches back; when the
driver dies, the pipe's end wakes it and it ends too.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from vlmtool_core.batch.decode import MOST_BYTES_AHEAD, Job
from vlmtool_core.batch.executors.base import Work, chunks_of, divided
from vlmtool_core.batch.executors.local import LocalExecutor
from vlmtool_core.batch.executors.process_worker import work_for
from vlmtool_core.batch.executors.progress import Chunk, Progress, given_up, is_deadly, split
from vlmtool_core.batch.executors.worker import Found, WorkerSpec
from vlmtool_core.batch.feature_predictor import FeaturePredictor
from vlmtool_core.batch.pipeline import POLL_S, Batch
from vlmtool_core.errors import WorkerDiedError

CORES_FOR_A_WORKER = 4
AHEAD = 2  # chunks in a worker's hands: it decodes the second while it predicts the first
LEAST_AHEAD = 64 * 1024 * 1024  # bytes of pixels that wait in a worker, for each chunk
END_S = 5.0

log = logging.getLogger(__name__)


class ProcessesExecutor:
    """Worker processes of this machine, one for each GPU or for a few cores."""

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers

    @property
    def name(self) -> str:
        return "processes" if self._workers is None else f"processes:{self._workers}"

    @contextmanager
    def open(self, work: Work) -> Iterator[Iterable[Batch]]:
        known, others = divided(work)
        pool = _Pool(others, self._workers) if others.jobs else None
        try:
            with LocalExecutor().open(known) as batches:
                yield chain(batches, pool.batches() if pool else ())
        finally:
            if pool:
                pool.close()


@dataclass
class _Worker:
    number: int
    process: BaseProcess
    connection: Connection
    chunks: deque[Chunk] = field(default_factory=deque)
    ready: bool = False

    def may_take(self, chunk: Chunk, held: int) -> bool:
        """Whether it has `held` chunks in hand and this one may come to them."""
        if not self.ready or len(self.chunks) != held:
            return False
        return not held or not (chunk.is_suspect or self.chunks[0].is_suspect)


class _Pool:
    """The workers of one run, and what is in whose hands."""

    def __init__(self, work: Work, wanted: int | None) -> None:
        self._work = work
        gpus = _gpus(work)
        cores = os.cpu_count() or 1
        count = wanted or gpus or max(2, cores // CORES_FOR_A_WORKER)
        self._gpus = gpus
        self._waiting = deque(map(Chunk, chunks_of(work.jobs, count)))
        self._count = min(count, len(self._waiting))
        self._spec = replace(
            WorkerSpec.of(work, cached=True),
            threads=max(1, cores // max(1, self._count)),
            bytes_ahead=max(LEAST_AHEAD, MOST_BYTES_AHEAD // (AHEAD * max(1, self._count))),
        )
        self._workers: dict[int, _Worker] = {}
        self._progress = Progress()
        self._died_starting = 0

    def batches(self) -> Iterator[Batch]:
        while self._waiting or any(worker.chunks for worker in self._workers.values()):
            if self._work.cancel.cancelled:
                return
            self._hire()
            self._hand_out()
            connections = {w.connection: w for w in self._workers.values()}
            for connection in wait(list(connections), POLL_S):
                assert isinstance(connection, Connection)
                yield from self._listen(connections[connection])

    def close(self) -> None:
        """End the workers at once: they keep nothing that could be lost."""
        for worker in self._workers.values():
            worker.process.kill()
            worker.connection.close()
        for worker in self._workers.values():
            worker.process.join(END_S)
        self._workers.clear()

    def _hire(self) -> None:
        """Start workers up to the number wanted; those that died while starting are not replaced
        as long as there are others: most often there was no memory for one more model."""
        wanted = max(1, self._count - self._died_starting)
        for number in range(self._count):
            if len(self._workers) >= wanted or not self._waiting:
                return
            if number not in self._workers:
                self._workers[number] = self._start(number)

    def _start(self, number: int) -> _Worker:
        spec = replace(self._spec, gpu=number % self._gpus if self._gpus else None)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=work_for, args=(theirs, spec, number), name=f"worker-{number}", daemon=True
        )
        with _interrupts_blocked():
            process.start()
        theirs.close()
        return _Worker(number, process, ours)

    def _hand_out(self) -> None:
        for held in range(AHEAD):
            for worker in self._workers.values():
                if self._waiting and worker.may_take(self._waiting[0], held):
                    self._give(worker, self._waiting.popleft())

    def _give(self, worker: _Worker, chunk: Chunk) -> None:
        jobs = [self._told(job) for job in chunk.jobs]
        worker.chunks.append(chunk)
        try:
            worker.connection.send(jobs)
        except OSError:
            log.debug("worker %d ended before its work came", worker.number)

    def _told(self, job: Job) -> Job:
        return replace(job, item=self._work.hashes.told(job.item))

    def _listen(self, worker: _Worker) -> Iterator[Batch]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if isinstance(message, Found):
            yield self._take(message)
        elif isinstance(message, Exception):
            raise message
        elif not worker.ready:
            worker.ready, self._died_starting = True, 0
        else:
            self._progress.finish(worker.chunks.popleft())

    def _take(self, found: Found) -> Batch:
        predictor = self._work.predictor
        if found.features and isinstance(predictor, FeaturePredictor):
            predictor.keep(found.features)
        for answer in found.batch.answers:
            self._work.hashes.learn(answer.decoded.item)
        return self._progress.take(found.batch)

    def _bury(self, worker: _Worker) -> Iterator[Batch]:
        """Give what a dead worker had in hand to others."""
        del self._workers[worker.number]
        worker.connection.close()
        worker.process.join(END_S)
        reason = _how(worker.process.exitcode)
        log.warning("worker %d %s; its items go to another one", worker.number, reason)
        if not worker.ready:
            self._died_starting += 1
            if not self._workers and self._died_starting > self._count:
                raise WorkerDiedError(
                    f"no worker process comes up: the last one {reason}",
                    remedy="Use --executor local, or fewer workers if memory ran out.",
                )
            return
        again: list[Chunk] = []
        for chunk in map(self._progress.remaining, worker.chunks):
            if not chunk.jobs:
                continue
            if is_deadly(chunk):
                yield given_up(chunk.jobs[0], reason, self._work.hashes.of)
            else:
                again += split(chunk)
        self._waiting.extendleft(reversed(again))


def _gpus(work: Work) -> int:
    """GPUs that workers may share out among them, 0 on a machine without."""
    if work.engine.wanted_device == "cpu":
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _how(code: int | None) -> str:
    if code is None:
        return "does not answer"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = " (memory may have run out)" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"
    return f"ended with code {code}"


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process that is started inside takes no Ctrl-C until it says so itself.

    A terminal sends it to all processes; what is to be done about it is for the driver to say.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

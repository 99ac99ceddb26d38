"""The executor of a Ray cluster, or of Ray on this machine: chunks of paths through Ray Data.

Ray carries paths and outcomes, never pixels: each actor decodes what it predicts. Which frames
are done is known from our own ledger alone, so another executor may finish what Ray began.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import socket
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import psutil

from vlmtool_core.batch.decode import Job
from vlmtool_core.batch.executors.base import Work, chunks_of, divided
from vlmtool_core.batch.executors.local import LocalExecutor
from vlmtool_core.batch.executors.progress import MOST_DEATHS, Chunk, given_up, is_deadly, split
from vlmtool_core.batch.executors.ray_actor import (
    ANSWER,
    JOBS,
    NUMBER,
    Attempts,
    RayActor,
    TooManyDeathsError,
)
from vlmtool_core.batch.executors.worker import Found, WorkerSpec
from vlmtool_core.batch.feature_predictor import FeaturePredictor
from vlmtool_core.batch.pipeline import POLL_S, Batch
from vlmtool_core.errors import EngineError, UsageError

CORES_FOR_AN_ACTOR = 4
OBJECT_STORE_BYTES = 256 * 1024 * 1024  # paths and outcomes are small
KNOCK_S = 5.0
MOST_AT_ONCE = 4096  # chunks in one dataset

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}

log = logging.getLogger(__name__)


class RayExecutor:
    """Actors of Ray, each with a model of its own.

    address : None starts Ray on this machine for the time of the run, "auto" joins the cluster
        that this machine belongs to, "HOST:PORT" the one of that head node
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    @property
    def name(self) -> str:
        return "ray" if self._address is None else f"ray:{self._address}"

    @contextmanager
    def open(self, work: Work) -> Iterator[Iterable[Batch]]:
        known, others = divided(work)
        with LocalExecutor().open(known) as batches:
            if not others.jobs:
                yield batches
                return
            with _connected(self._address):
                run = _RayRun(others)
                try:
                    yield chain(batches, run.batches())
                finally:
                    run.close()


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Ray, started or joined; what was there before stays as it was."""
    os.environ.update({k: v for k, v in _ENVIRONMENT.items() if k not in os.environ})
    import ray

    if ray.is_initialized():
        yield
        return
    _start(address)
    try:
        yield
    finally:
        ray.shutdown()


def _start(address: str | None) -> None:
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        options |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    else:
        options |= {"address": address}
        _knock(address)
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options, logging_level=logging.ERROR)
    except Exception as error:
        # Ray says with a plain Exception that one of its parts was too slow to come up.
        log.exception("no connection to Ray")
        _end_what_was_started()
        raise _no_answer(str(error)) from error
    finally:
        # Ray would end the program at once where ours keeps what is done and stops.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)


def _end_what_was_started() -> None:
    """A start that fails half-way leaves the half of Ray's processes that succeeded."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("/ray/session_" in word for word in process.cmdline()):
                process.kill()


def _knock(address: str) -> None:
    """Try the address for a few seconds, where Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(f"{address}: {error}") from error


def _no_answer(reason: str) -> UsageError:
    return UsageError(
        f"Ray does not answer: {reason}",
        field="--executor",
        remedy="Check the address and start Ray there (ray start --head); on one machine use "
        "--executor processes.",
    )


@dataclass(frozen=True)
class _Pool:
    """How many actors, and what each gets."""

    actors: int
    cores: int
    gpus: int


def _pool(resources: dict[str, float], device: str) -> _Pool:
    cores, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    if gpus and device != "cpu":
        return _Pool(gpus, max(1, cores // gpus), 1)
    each = max(1, min(CORES_FOR_AN_ACTOR, cores // 2))
    return _Pool(max(1, cores // each), each, 0)


class _RayRun:
    """One run: datasets of chunks, and again those chunks that no answer came of."""

    def __init__(self, work: Work) -> None:
        import ray

        self._work = work
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self._pool = _pool(resources, work.engine.wanted_device)
        self._waiting = deque(map(Chunk, chunks_of(work.jobs, self._pool.actors)))
        # Nothing of the feature cache is read: it lies on the driver's machine.
        self._spec = replace(WorkerSpec.of(work, cached=False), threads=self._pool.cores)
        self._stop = threading.Event()

    def close(self) -> None:
        self._stop.set()

    def batches(self) -> Iterator[Batch]:
        while self._waiting:
            part = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
            pending = dict(enumerate(part))
            for number, found in self._answers(pending):
                if number in pending:
                    del pending[number]
                    yield self._take(found)
            if self._work.cancel.cancelled:
                return
            yield from self._go_on_without(list(pending.values()))

    def _go_on_without(self, lost: Sequence[Chunk]) -> Iterator[Batch]:
        """Chunks whose actors died: again, in smaller parts, or given up."""
        for chunk in lost:
            chunk.deaths = MOST_DEATHS
            if is_deadly(chunk):
                reason = "was ended (memory may have run out)"
                yield given_up(chunk.jobs[0], reason, self._work.hashes.of)
            else:
                self._waiting.extendleft(reversed(split(chunk)))

    def _take(self, found: Sequence[Found]) -> Batch:
        predictor = self._work.predictor
        features = [entry for one in found for entry in one.features]
        if features and isinstance(predictor, FeaturePredictor):
            predictor.keep(features)
        answers = tuple(answer for one in found for answer in one.batch.answers)
        for answer in answers:
            self._work.hashes.learn(answer.decoded.item)
        return Batch(answers, tuple(opened for one in found for opened in one.batch.opened))

    def _answers(self, chunks: dict[int, Chunk]) -> Iterator[tuple[int, list[Found]]]:
        """What the actors say, until they are through or the run is cancelled.

        Ray is asked in a thread of its own, so that a cancel need not wait for it.
        """
        results: queue.Queue[tuple[int, Any] | None] = queue.Queue()
        thread = threading.Thread(
            target=self._ask, args=(chunks, results), name="ray-results", daemon=True
        )
        thread.start()
        while not self._work.cancel.cancelled:
            try:
                result = results.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if result is None:
                return
            if isinstance(result[1], TooManyDeathsError):
                continue
            if isinstance(result[1], Exception):
                raise result[1]
            yield result

    def _ask(self, chunks: dict[int, Chunk], results: queue.Queue[tuple[int, Any] | None]) -> None:
        try:
            for row in self._dataset(chunks).iter_rows():
                if self._stop.is_set():
                    return
                results.put((int(row[NUMBER]), pickle.loads(row[ANSWER])))
        except Exception as error:
            if not self._stop.is_set():
                log.exception("Ray cannot go on")
                results.put((-1, EngineError(f"Ray cannot go on: {type(error).__name__}: {error}")))
        results.put(None)

    def _dataset(self, chunks: dict[int, Chunk]) -> Any:
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        # A chunk whose actors die is left out of the results instead of ending the run.
        context.max_errored_blocks = -1
        context.log_internal_stack_trace_to_stdout = False
        rows = [
            {NUMBER: number, JOBS: zlib.compress(pickle.dumps(self._told(chunk)))}
            for number, chunk in chunks.items()
        ]
        tries = {number: MOST_DEATHS - chunk.deaths for number, chunk in chunks.items()}
        attempts = ray.remote(num_cpus=0)(Attempts).remote(tries)
        actors = min(self._pool.actors, len(rows))
        return ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            RayActor,
            fn_constructor_args=(self._spec, attempts),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
            num_cpus=self._pool.cores,
            num_gpus=self._pool.gpus or None,
        )

    def _told(self, chunk: Chunk) -> list[Job]:
        return [replace(job, item=self._work.hashes.told(job.item)) for job in chunk.jobs]

"""The callable class that Ray Data runs in its actors: a chunk of paths in, outcomes out."""

from __future__ import annotations

import logging
import pickle
import zlib
from typing import Any

from vlmtool_core.batch.executors.worker import BatchWorker, WorkerSpec
from vlmtool_core.errors import EngineError, VlmtoolError
from vlmtool_core.jobs import CancelToken

log = logging.getLogger(__name__)

NUMBER, JOBS, ANSWER = "number", "jobs", "answer"


class Attempts:
    """Counts, in a small actor of its own, how often each chunk was begun."""

    def __init__(self, most: dict[int, int]) -> None:
        self._left = dict(most)

    def begin(self, number: int) -> bool:
        """Whether the chunk may be tried once more."""
        self._left[number] -= 1
        return self._left[number] >= 0


class TooManyDeathsError(EngineError):
    """Actors have died on this chunk as often as they may; the driver looks at it closely."""

    code = "too-many-deaths"


class RayActor:
    """A `BatchWorker` behind Ray's interface.

    What goes wrong is an answer, not an exception: Ray would try it again, on every machine.
    Ray restarts an actor that dies and gives it the same chunk again, without end; how often
    that may be, `attempts` (an actor of `Attempts`) says.
    """

    def __init__(self, spec: WorkerSpec, attempts: Any) -> None:
        spec.prepare_process()
        self._worker: BatchWorker | None = None
        self._spec = spec
        self._attempts = attempts

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """NUMBER and JOBS (compressed pickle of jobs) of one chunk → NUMBER and ANSWER: a pickle
        of its `Found`s, or of the error that ends the run."""
        answer = self._answer(int(batch[NUMBER][0]), batch[JOBS][0])
        return {NUMBER: batch[NUMBER], ANSWER: [pickle.dumps(answer)]}

    def _answer(self, number: int, packed: bytes) -> object:
        import ray

        try:
            if not ray.get(self._attempts.begin.remote(number)):
                return TooManyDeathsError("actors die on this chunk")
            if self._worker is None:
                self._worker = BatchWorker(self._spec)
            jobs = pickle.loads(zlib.decompress(packed))
            return list(self._worker.start(jobs, CancelToken()))
        except VlmtoolError as error:
            return error
        except Exception as error:
            log.exception("the actor cannot go on")
            return EngineError(f"{type(error).__name__}: {error}")

"""How many pictures a model takes at a time: found by doubling, remembered for each model.

Only the size is found by time; a run then keeps to it, so that its results can be made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from vlmtool_core import paths
from vlmtool_core.engine.runtime.agreement import pictures
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.errors import EngineMemoryError, StorageError, VlmtoolError
from vlmtool_core.records import ErrorInfo, Frame, Label, ModelIdentity, Outcome, Task

USUAL = 16
MOST = {"cpu": 64, "cuda": 1024}
# A batch is the shortest time in which a run can be stopped, and its rows kept.
MOST_SECONDS = 1.0
# A size twice as large must be worth its memory.
LEAST_GAIN = 1.05
# What writes or reads texts takes as long as its longest text.
_FOUND_FOR = (Task.CLASSIFY, Task.EMBED, Task.DETECT)

log = logging.getLogger(__name__)


class BatchSizes:
    """The part of `Engine` that knows how many pictures its models take at a time."""

    @property
    @abstractmethod
    def device(self) -> str: ...

    @abstractmethod
    def identity(self, task: Task, model: str | None = None) -> ModelIdentity: ...

    @abstractmethod
    def classify(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None = None,
        *,
        model: str | None = None,
    ) -> list[Outcome]: ...

    @abstractmethod
    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None = None,
        *,
        model: str | None = None,
    ) -> list[Outcome]: ...

    @abstractmethod
    def embed(self, frames: Sequence[Frame], *, model: str | None = None) -> list[Outcome]: ...

    def batch_size(
        self, task: Task, labels: Sequence[Label] = (), *, model: str | None = None
    ) -> int:
        """The number of pictures at which a model works fastest here; loads the model.

        Found once, on made-up pictures, within a second for a batch; then remembered.

        Raises
        ------
        MissingPackError, TaskNotServedError, NotEnoughMemoryError
        """
        if task not in _FOUND_FOR:
            return USUAL
        key = self._batch_key(task, model)
        known = _remembered().get(key)
        if known is not None:
            return known
        size = self._fastest(task, labels, model)
        remember(key, size)
        return size

    def smaller_batches(self, task: Task, size: int, *, model: str | None = None) -> None:
        """Remember that no more than `size` pictures fit into memory."""
        remember(self._batch_key(task, model), size)

    def _batch_key(self, task: Task, model: str | None) -> str:
        text = f"{self.identity(task, model).fingerprint}\n{task}\n{self.device}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _fastest(self, task: Task, labels: Sequence[Label], model: str | None) -> int:
        best, rate, size = 1, 0.0, 1
        self._try(task, labels, model, 1)  # warms up
        while size <= MOST[self.device]:
            check_stopped()
            try:
                seconds = self._try(task, labels, model, size)
            except VlmtoolError as error:
                log.info("batches of %d are not for this model: %s", size, error)
                break
            if size / seconds >= rate * LEAST_GAIN:
                best, rate = size, size / seconds
            elif size >= 4 * best:
                break
            if 2 * seconds > MOST_SECONDS:
                break
            size *= 2
        log.info("batches of %d pictures, %.1f pictures/s", best, rate)
        return best

    def _try(self, task: Task, labels: Sequence[Label], model: str | None, size: int) -> float:
        """Seconds that a batch takes.

        Raises
        ------
        EngineMemoryError : it does not fit.
        """
        some = pictures()
        frames = [some[n % len(some)] for n in range(size)]
        began = time.perf_counter()
        outcomes = self._answers(task, labels, model, frames)
        seconds = time.perf_counter() - began
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if any(_is_memory(error) for error in errors):
            raise EngineMemoryError(f"{size} pictures do not fit")
        return max(seconds, 1e-9)

    def _answers(
        self, task: Task, labels: Sequence[Label], model: str | None, frames: Sequence[Frame]
    ) -> list[Outcome]:
        if task is Task.EMBED:
            return self.embed(frames, model=model)
        call = self.classify if task is Task.CLASSIFY else self.detect
        return call(frames, labels or None, model=model)


def _is_memory(error: ErrorInfo) -> bool:
    return error.code == EngineMemoryError.code


def _file() -> Path:
    return paths.cache_dir() / "batch_sizes.json"


def _remembered() -> dict[str, int]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("batch sizes are found again: %s", error)
        return {}
    sizes = found if isinstance(found, dict) else {}
    return {key: size for key, size in sizes.items() if isinstance(size, int) and size > 0}


def remember(key: str, size: int) -> None:
    """Keep a size for the next run; where that fails it is found again."""
    try:
        text = json.dumps({**_remembered(), key: size})
        paths.write_atomically(_file(), text.encode())
    except StorageError as error:
        log.warning("the batch size is not kept: %s", error)

"""What of a chunk is done, so that a worker's death costs no more than what it had in hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from vlmtool_core.batch.decode import Decoded, Job
from vlmtool_core.batch.pipeline import Answer, Batch
from vlmtool_core.errors import MediaError, WorkerDiedError
from vlmtool_core.records import ItemRef, Outcome

# A worker may die for reasons of its own (killed by hand, a machine that is switched off). What
# was in the hands of two of them is looked at more closely.
MOST_DEATHS = 2


@dataclass
class Chunk:
    """Items that are handed out together; `deaths` workers have died with them in their hands."""

    jobs: tuple[Job, ...]
    deaths: int = 0

    @property
    def is_suspect(self) -> bool:
        """Such a chunk is handed out alone, so that the next death says which one it was."""
        return self.deaths > 0


class Progress:
    """What came back of the jobs that are under way, by the item's name."""

    def __init__(self) -> None:
        self._answered: dict[str, set[int]] = {}
        self._planned: dict[str, int] = {}
        self._reopened: set[str] = set()

    def take(self, batch: Batch) -> Batch:
        """Note what the batch answers; items that were opened before are not announced again."""
        for answer in batch.answers:
            name = answer.decoded.item.item
            self._answered.setdefault(name, set()).add(answer.decoded.index)
        new = []
        for opened in batch.opened:
            self._planned[opened.item.item] = opened.planned
            if opened.item.item not in self._reopened:
                new.append(opened)
        return Batch(batch.answers, tuple(new))

    def finish(self, chunk: Chunk) -> None:
        """Forget a chunk that is through."""
        for job in chunk.jobs:
            self._forget(job)
            self._reopened.discard(job.item.item)

    def remaining(self, chunk: Chunk) -> Chunk:
        """What is left of a chunk whose worker died."""
        left = []
        for job in chunk.jobs:
            name = job.item.item
            answered = self._answered.get(name, set())
            whole = self._is_whole(name, answered)
            if name in self._planned:
                self._reopened.add(name)
            self._forget(job)
            if not whole:
                left.append(_without(job, answered))
        return Chunk(tuple(left), chunk.deaths + 1)

    def _is_whole(self, name: str, answered: set[int]) -> bool:
        planned = self._planned.get(name)
        # An item that cannot be opened has one answer and was never announced.
        return bool(answered) if planned is None else len(answered) >= planned

    def _forget(self, job: Job) -> None:
        self._answered.pop(job.item.item, None)
        self._planned.pop(job.item.item, None)


def _without(job: Job, answered: set[int]) -> Job:
    if job.only is None:
        return replace(job, done=job.done | answered)
    return replace(job, only=job.only - answered)


def split(chunk: Chunk) -> list[Chunk]:
    """A chunk that workers die on, in halves; each counts the deaths but the last one.

    So one more death splits a half again, and a half that is innocent costs none.
    """
    if chunk.deaths < MOST_DEATHS or len(chunk.jobs) < 2:
        return [chunk]
    middle = len(chunk.jobs) // 2
    deaths = MOST_DEATHS - 1
    return [Chunk(chunk.jobs[:middle], deaths), Chunk(chunk.jobs[middle:], deaths)]


def is_deadly(chunk: Chunk) -> bool:
    """Whether it is down to one item, and that one has cost workers enough."""
    return len(chunk.jobs) == 1 and chunk.deaths >= MOST_DEATHS


def given_up(job: Job, reason: str, told: Callable[[ItemRef], str]) -> Batch:
    """The failed row of an item that no worker survives."""
    item = job.item
    with contextlib.suppress(MediaError):  # a row without a hash is tried again by the next run
        item = replace(item, sha256=told(item))
    kept = f"; its {len(job.done)} frames before that are kept" if job.done else ""
    error = WorkerDiedError(f"the process that worked on it {reason}, twice{kept}", path=item.path)
    outcome = Outcome.failed(error)
    decoded = Decoded(item, _frame(job), error=outcome.error)
    return Batch((Answer(decoded, outcome),), ())


def _frame(job: Job) -> int:
    """Where the failure is filed: behind the last frame that was answered."""
    if job.only:
        return min(job.only)
    return max(job.done, default=-1) + 1

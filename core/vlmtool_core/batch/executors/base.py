"""What an executor is given and what it gives back, and how work is cut into chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from vlmtool_core.batch.decode import Job
from vlmtool_core.batch.feature_predictor import FeaturePredictor
from vlmtool_core.batch.hashes import ContentHashes
from vlmtool_core.batch.pipeline import Batch
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import ItemRef, MediaKind, ModelIdentity

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine

# Batches never reach over the border of two parts, and parts are counted over all items of the
# run. So the same frames share a batch whatever executor runs them, and however often a run is
# interrupted: their scores are the same to the last bit, which batches of other sizes are not.
BATCHES_IN_A_PART = 2

# A chunk of parts is long enough that handing it over costs nothing beside the work on it, and
# short enough that every worker gets several: the last ones then end at about the same time.
PARTS_IN_A_CHUNK = 4
CHUNKS_FOR_A_WORKER = 4


@dataclass(frozen=True, slots=True)
class Work:
    """What is left of a run.

    jobs : marked by `in_parts`
    predictor : the driver's own, for an executor that works in this process
    cancel : when it is set, the iteration ends within 0.3 s
    """

    jobs: Sequence[Job]
    spec: RunSpec
    engine: Engine
    predictor: Predictor
    model: ModelIdentity
    hashes: ContentHashes
    cancel: CancelToken


class Executor(Protocol):
    """Where a run's items are decoded and predicted. Ledgers are the caller's alone."""

    @property
    def name(self) -> str:
        """As `executor_for` takes it."""
        ...

    def open(self, work: Work) -> AbstractContextManager[Iterable[Batch]]:
        """Batches as they get finished, in any order, each frame once.

        Leaving the context stops what is under way and leaves no process behind.

        Raises (while iterating)
        ------------------------
        MissingError, PackError, TaskNotServedError, UsageError : no frame could ever succeed.
        EngineError : there are no workers left to go on with.
        """
        ...


def divided(work: Work) -> tuple[Work, Work]:
    """What the driver answers itself from its feature cache, and what there are workers for."""
    if not isinstance(work.predictor, FeaturePredictor):
        return replace(work, jobs=()), work
    known: list[Job] = []
    others: list[Job] = []
    for job in work.jobs:
        (known if _is_known(job, work) else others).append(job)
    return replace(work, jobs=known), replace(work, jobs=others)


def _is_known(job: Job, work: Work) -> bool:
    # Of anything but a still, only who opens it knows which frames are wanted.
    if job.item.kind is not MediaKind.IMAGE or work.spec.frames == "all":
        return False
    sha256 = work.hashes.told(job.item).sha256
    return bool(sha256) and work.predictor.known(sha256, 0) is not None


def in_parts(jobs: Sequence[Job], items: Sequence[ItemRef], batch_size: int) -> list[Job]:
    """The jobs, those marked behind which a part of the run's items ends."""
    size = BATCHES_IN_A_PART * batch_size
    part = {item.item: place // size for place, item in enumerate(items)}
    parts = [part[job.item.item] for job in jobs]
    return [
        job if after == mine else replace(job, ends_part=True)
        for job, mine, after in zip(jobs, parts, [*parts[1:], None], strict=False)
    ]


def chunks_of(jobs: Sequence[Job], workers: int) -> list[tuple[Job, ...]]:
    """The jobs in their order, a few whole parts at a time, so that all workers get some."""
    ends = [place + 1 for place, job in enumerate(jobs) if job.ends_part]
    most = max(1, min(PARTS_IN_A_CHUNK, len(ends) // max(1, workers * CHUNKS_FOR_A_WORKER)))
    borders = [0, *ends[most - 1 :: most]]
    if borders[-1] < len(jobs):
        borders.append(len(jobs))
    return [tuple(jobs[start:end]) for start, end in pairwise(borders)]

"""`run_items`: the one way to run a model over many items."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vlmtool_core.batch.decode import Job
from vlmtool_core.batch.executors import Executor, LocalExecutor, Work
from vlmtool_core.batch.executors.base import in_parts
from vlmtool_core.batch.feature_predictor import predictor_for
from vlmtool_core.batch.hashes import ContentHashes
from vlmtool_core.batch.ledger import Finished, Ledger
from vlmtool_core.batch.pipeline import Answer, Batch
from vlmtool_core.batch.report import RunReport
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.errors import MediaNotFoundError
from vlmtool_core.jobs import CancelToken, ProgressCallback, ProgressMeter, no_progress
from vlmtool_core.records import (
    ErrorInfo,
    ItemRef,
    MediaKind,
    ModelIdentity,
    OutcomeStatus,
    ResultRow,
)
from vlmtool_core.settings import load_settings

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine

FLUSH_S = 0.25
FLUSH_ROWS = 512

OnRows = Callable[[Sequence[ResultRow]], None]

log = logging.getLogger(__name__)


def run_items(
    items: Iterable[ItemRef],
    spec: RunSpec,
    *,
    engine: Engine,
    ledger: Ledger,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    resume: bool = True,
    retry_failed: bool = False,
    on_rows: OnRows | None = None,
    executor: Executor | None = None,
) -> RunReport:
    """Run `spec` over `items`, keeping every finished batch in `ledger`.

    An item or frame that fails becomes a failed row with its reason, and the rest goes on.
    Frames that the ledger holds of the same content are skipped; failed ones too, unless
    `retry_failed`. Killed at any moment, the next call goes on with the first batch that was not
    kept and ends with the same table. When `cancel` is set the call returns within 0.3 s.

    Parameters
    ----------
    resume : False forgets what the ledger holds and starts from the beginning
    progress : counts the frames of this call; the total grows as videos and series get opened
    on_rows : is given each batch of rows once it is kept; in the order of items and frames where
        one process works, as they get finished where several do
    executor : where the work is done, this process when left out; the table is the same

    Raises
    ------
    MissingError, PackError, TaskNotServedError, UsageError : no frame could ever succeed.
    StorageError : the ledger cannot be written.
    """
    cancel = cancel or CancelToken()
    refs = list(items)
    predictor = predictor_for(engine, spec, batch_size=load_settings().batch_size)
    model = predictor.identity()
    if not resume:
        ledger.clear()
    with ContentHashes(refs) as hashes:
        jobs, skipped = plan(refs, spec, ledger.finished(), hashes, retry_failed=retry_failed)
        writer = _Writer(spec, model, ledger, hashes, len(jobs), progress, on_rows)
        predictor.look_up(hashes.told(job.item).sha256 for job in jobs)
        if jobs:
            jobs = in_parts(jobs, refs, predictor.batch_size)
        work = Work(jobs, spec, engine, predictor, model, hashes, cancel)
        with (executor or LocalExecutor()).open(work) as batches:
            try:
                for batch in batches:
                    writer.take(batch)
            finally:
                writer.flush()
    if not cancel.cancelled:
        ledger.complete()
    return _report(refs, ledger, done=writer.done, skipped=skipped, cancelled=cancel.cancelled)


def plan(
    items: Sequence[ItemRef],
    spec: RunSpec,
    finished: Mapping[str, Sequence[Finished]],
    hashes: ContentHashes,
    *,
    retry_failed: bool = False,
) -> tuple[list[Job], int]:
    """What is left to do, in the order of `items`, and how many frames are done already."""
    jobs, skipped = [], 0
    for item in items:
        before = finished.get(item.item, ())
        sha256 = _hash_or_none(item, hashes) if before else ""
        done = frozenset(
            frame.frame
            for frame in before
            if frame.sha256 == sha256 and not (retry_failed and _failed(frame))
        )
        skipped += len(done)
        if not (done and _is_whole(item, spec, done)):
            jobs.append(Job(item, done))
    return jobs, skipped


def _failed(frame: Finished) -> bool:
    return frame.status in (OutcomeStatus.FAILED, OutcomeStatus.CANCELLED)


def _hash_or_none(item: ItemRef, hashes: ContentHashes) -> str:
    try:
        return hashes.of(item)
    except MediaNotFoundError:
        return ""


def _is_whole(item: ItemRef, spec: RunSpec, done: frozenset[int]) -> bool:
    """Whether nothing of the item is left, as far as can be said without opening it."""
    return item.kind is MediaKind.IMAGE and spec.frames != "all" and 0 in done


class _Writer:
    """Turns batches into rows and keeps them, several batches in one transaction."""

    def __init__(
        self,
        spec: RunSpec,
        model: ModelIdentity,
        ledger: Ledger,
        hashes: ContentHashes,
        items: int,
        progress: ProgressCallback,
        on_rows: OnRows | None,
    ) -> None:
        self._spec = spec
        self._model = model
        self._ledger = ledger
        self._hashes = hashes
        self._on_rows = on_rows
        self._meter = ProgressMeter(progress, items)
        if items:
            self._meter.flush()
        self._rows: list[ResultRow] = []
        self._flushed_at = time.monotonic()
        self.done = 0

    def take(self, batch: Batch) -> None:
        """Add a batch; it is kept at once or with the ones of the next quarter second."""
        for opened in batch.opened:
            self._meter.total = (self._meter.total or 0) + opened.planned - 1
        rows = [self._row(answer) for answer in batch.answers]
        self._rows += rows
        failed = sum(row.outcome.status is OutcomeStatus.FAILED for row in rows)
        late = time.monotonic() - self._flushed_at >= FLUSH_S
        if late or len(self._rows) >= FLUSH_ROWS:
            self.flush()
        if rows or batch.opened:
            self._meter.step(len(rows), failed=failed, message=rows[-1].item if rows else "")

    def flush(self) -> None:
        """Keep what is waiting, in one transaction."""
        rows, self._rows = self._rows, []
        self._flushed_at = time.monotonic()
        if rows:
            self._ledger.record(rows)
            self.done += len(rows)
            self._hashes.save()
            if self._on_rows is not None:
                self._on_rows(rows)

    def _row(self, answer: Answer) -> ResultRow:
        decoded = answer.decoded
        return ResultRow(
            item=decoded.item.item,
            sha256=decoded.item.sha256,
            frame=decoded.index,
            time_s=answer.time_s,
            task=self._spec.task,
            model=self._model,
            outcome=answer.outcome,
            size=answer.size,
        )


def _report(
    items: Sequence[ItemRef], ledger: Ledger, *, done: int, skipped: int, cancelled: bool
) -> RunReport:
    names = {item.item for item in items}
    counts = dict.fromkeys(OutcomeStatus, 0)
    failed = set()
    for name, frames in ledger.finished().items():
        if name in names:
            for frame in frames:
                counts[frame.status] += 1
            if any(map(_failed, frames)):
                failed.add(name)
    broken = [item for item in items if item.item in failed]
    return RunReport(
        done=done,
        ok=counts[OutcomeStatus.OK],
        empty=counts[OutcomeStatus.EMPTY],
        failed=counts[OutcomeStatus.FAILED] + counts[OutcomeStatus.CANCELLED],
        skipped=skipped,
        cancelled=cancelled,
        failures=list(_failures(ledger, broken)),
    )


def _failures(ledger: Ledger, items: Sequence[ItemRef]) -> Iterator[tuple[str, ErrorInfo]]:
    for row in ledger.rows(items):
        if row.outcome.error is not None:
            yield row.item, row.outcome.error


def with_run(report: RunReport, run_id: int) -> RunReport:
    """The report of a project's run."""
    return replace(report, run_id=run_id)

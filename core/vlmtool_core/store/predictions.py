"""Runs and their predictions. A prediction is written once; only a failure may be retried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update

from vlmtool_core.errors import RecordNotFoundError
from vlmtool_core.json_codec import outcome_from_json
from vlmtool_core.records import (
    FindingStatus,
    Json,
    ModelIdentity,
    OutcomeStatus,
    Score,
    Task,
)
from vlmtool_core.store import tables
from vlmtool_core.store.database import Database
from vlmtool_core.store.items import chunks
from vlmtool_core.store.prediction_rows import store_predictions
from vlmtool_core.store.records import NewPrediction, PredictionRecord, RunRecord
from vlmtool_core.store.tables import Prediction, Review, Run

_RETRIED = (OutcomeStatus.FAILED.value, OutcomeStatus.CANCELLED.value)


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame that a run has been over, for resuming."""

    item_id: int
    frame: int
    sha256: str
    status: OutcomeStatus


class RunStore:
    """Runs and predictions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, task: Task, model: ModelIdentity, spec: Json, spec_fingerprint: str) -> int:
        """Begin a run and return its number."""
        values = {
            "task": task.value,
            "model_id": model.id,
            "model_version": model.version,
            "model_fingerprint": model.fingerprint,
            "spec": spec,
            "spec_fingerprint": spec_fingerprint,
            "started_at": datetime.now(UTC),
        }
        with self._database.writing() as connection:
            statement = insert(Run).values(**values).returning(Run.id)
            return int(connection.execute(statement).scalar_one())

    def finish(self, run_id: int) -> None:
        """Mark a run as gone through to its end."""
        with self._database.writing() as connection:
            connection.execute(
                update(Run).where(Run.id == run_id).values(ended_at=datetime.now(UTC))
            )

    def find(self, spec_fingerprint: str, model: ModelIdentity) -> RunRecord | None:
        """The newest run with this specification and model, for resuming; None if none."""
        with self._database.reading() as connection:
            run_id = connection.execute(
                select(func.max(Run.id)).where(
                    Run.spec_fingerprint == spec_fingerprint,
                    Run.model_id == model.id,
                    Run.model_version == model.version,
                    Run.model_fingerprint == model.fingerprint,
                )
            ).scalar()
            found = [] if run_id is None else _runs(connection, run_id)
        return found[0] if found else None

    def get(self, run_id: int) -> RunRecord:
        """`RecordNotFoundError` when there is no such run."""
        with self._database.reading() as connection:
            found = _runs(connection, run_id)
        if not found:
            raise RecordNotFoundError(f"no run number {run_id}")
        return found[0]

    def all(self) -> list[RunRecord]:
        """Every run, oldest first."""
        with self._database.reading() as connection:
            return _runs(connection)

    def add(self, run_id: int, rows: Sequence[NewPrediction]) -> int:
        """Store predictions in one transaction; returns how many were new or replaced.

        A frame that already has an ok or empty outcome in this run keeps it; a failed or
        cancelled one is overwritten. A score that is no finite number makes the row failed.
        """
        if not rows:
            return 0
        with self._database.writing() as connection:
            return store_predictions(connection, run_id, rows)

    def frames(self, run_id: int) -> list[StoredFrame]:
        """Which frames a run has been over, and how that ended."""
        columns = (Prediction.item_id, Prediction.frame, Prediction.sha256, Prediction.status)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).where(Prediction.run_id == run_id))
            return [StoredFrame(r[0], r[1], r[2], OutcomeStatus(r[3])) for r in rows]

    def of_item(
        self,
        item_id: int,
        *,
        frame: int | None = None,
        task: Task | None = None,
        run_id: int | None = None,
        newest_only: bool = True,
    ) -> list[PredictionRecord]:
        """Predictions of an item by frame, newest run first.

        newest_only : of each frame and task only the newest run's, and none that is cancelled
        """
        statement = _statement().where(Prediction.item_id == item_id)
        if frame is not None:
            statement = statement.where(Prediction.frame == frame)
        if task is not None:
            statement = statement.where(Run.task == task.value)
        if run_id is not None:
            statement = statement.where(Prediction.run_id == run_id)
        with self._database.reading() as connection:
            found = _records(connection, statement)
        return _newest(found) if newest_only else found

    def newest(self, item_ids: Sequence[int]) -> dict[int, list[PredictionRecord]]:
        """Item id -> its newest predictions for each frame and task, by frame."""
        found: dict[int, list[PredictionRecord]] = {}
        with self._database.reading() as connection:
            for part in chunks(item_ids, 500):
                rows = _records(connection, _statement().where(Prediction.item_id.in_(part)))
                for prediction in _newest(rows):
                    found.setdefault(prediction.item_id, []).append(prediction)
        return found

    def of_run(self, run_id: int, *, chunk: int = 1000) -> Iterator[list[PredictionRecord]]:
        """All predictions of a run, in chunks, by item and frame."""
        last = (0, -1)
        while True:
            statement = _statement().where(Prediction.run_id == run_id)
            after = or_(
                Prediction.item_id > last[0],
                (Prediction.item_id == last[0]) & (Prediction.frame > last[1]),
            )
            statement = statement.where(after).order_by(None)
            statement = statement.order_by(Prediction.item_id, Prediction.frame).limit(chunk)
            with self._database.reading() as connection:
                found = _records(connection, statement)
            if not found:
                return
            yield found
            last = (found[-1].item_id, found[-1].frame)

    def by_ids(self, prediction_ids: Sequence[int]) -> list[PredictionRecord]:
        """In the order asked for; `RecordNotFoundError` when one is not there."""
        with self._database.reading() as connection:
            return predictions_by_id(connection, prediction_ids)


def predictions_by_id(connection: Connection, ids: Sequence[int]) -> list[PredictionRecord]:
    found: dict[int, PredictionRecord] = {}
    for part in chunks(ids):
        rows = _records(connection, _statement().where(Prediction.id.in_(part)))
        found.update((row.id, row) for row in rows)
    for prediction_id in ids:
        if prediction_id not in found:
            raise RecordNotFoundError(f"no prediction number {prediction_id}")
    return [found[i] for i in ids]


def _newest(found: Sequence[PredictionRecord]) -> list[PredictionRecord]:
    newest: dict[tuple[int, int, Task], int] = {}
    kept = [p for p in found if p.outcome.status is not OutcomeStatus.CANCELLED]
    for prediction in kept:
        key = (prediction.item_id, prediction.frame, prediction.task)
        newest[key] = max(newest.get(key, 0), prediction.run_id)
    return [p for p in kept if newest[p.item_id, p.frame, p.task] == p.run_id]


def _runs(connection: Connection, run_id: int | None = None) -> list[RunRecord]:
    tally = select(Prediction.run_id, Prediction.status, func.count()).group_by(
        Prediction.run_id, Prediction.status
    )
    statement = select(Run.__table__).order_by(Run.id)
    if run_id is not None:
        tally = tally.where(Prediction.run_id == run_id)
        statement = statement.where(Run.id == run_id)
    counts: dict[int, dict[str, int]] = {}
    for number, status, count in connection.execute(tally):
        counts.setdefault(number, {})[status] = count
    return [_run(row, counts.get(row.id, {})) for row in connection.execute(statement)]


def _run(row: Row[Any], counts: dict[str, int]) -> RunRecord:
    return RunRecord(
        id=row.id,
        task=Task(row.task),
        model=ModelIdentity(row.model_id, row.model_version, row.model_fingerprint),
        spec=row.spec,
        spec_fingerprint=row.spec_fingerprint,
        started_at=row.started_at,
        ended_at=row.ended_at,
        ok=counts.get("ok", 0),
        empty=counts.get("empty", 0),
        failed=counts.get("failed", 0),
    )


def _statement() -> Select[Any]:
    joined = (Review.entity == "prediction") & (Review.entity_id == Prediction.id)
    return (
        select(
            Prediction.__table__,
            Run.task,
            Run.model_id,
            Run.model_version,
            Run.model_fingerprint,
            Review.status.label("decision"),
        )
        .join(Run, Run.id == Prediction.run_id)
        .outerjoin(Review, joined)
        .order_by(Prediction.frame, Prediction.run_id.desc())
    )


def _records(connection: Connection, statement: Select[Any]) -> list[PredictionRecord]:
    rows = connection.execute(statement).all()
    scores: dict[int, list[Score]] = {}
    table = tables.Score
    for part in chunks([row.id for row in rows]):
        wanted = (
            select(table.prediction_id, table.label, table.score)
            .where(table.prediction_id.in_(part))
            .order_by(table.prediction_id, table.rank)
        )
        for prediction_id, label, score in connection.execute(wanted):
            scores.setdefault(prediction_id, []).append(Score(label, score))
    return [_record(row, tuple(scores.get(row.id, ()))) for row in rows]


def _record(row: Row[Any], scores: tuple[Score, ...]) -> PredictionRecord:
    outcome = outcome_from_json({**row.detail, "outcome": row.status, "text": row.text})
    return PredictionRecord(
        id=row.id,
        run_id=row.run_id,
        item_id=row.item_id,
        frame=row.frame,
        time_s=row.time_s,
        task=Task(row.task),
        model=ModelIdentity(row.model_id, row.model_version, row.model_fingerprint),
        outcome=replace(outcome, scores=scores, embedding=_embedding(row.embedding)),
        decision=FindingStatus(row.decision or "pending"),
        sha256=row.sha256,
        size=None if row.width is None else (row.width, row.height),
    )


def _embedding(blob: bytes | None) -> Any:
    if blob is None:
        return None
    import numpy as np

    return np.frombuffer(blob, dtype="<f4").astype(np.float32)

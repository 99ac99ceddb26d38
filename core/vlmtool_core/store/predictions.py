"""Runs and their predictions. A prediction is written once; only a failure may be retried."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, or_, select, update

from vlmtool_core.errors import InferenceError, RecordNotFoundError
from vlmtool_core.json_codec import outcome_from_json, outcome_to_json
from vlmtool_core.records import (
    FindingStatus,
    Json,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    Score,
    Task,
)
from vlmtool_core.store import tables
from vlmtool_core.store.database import Database
from vlmtool_core.store.items import chunks
from vlmtool_core.store.records import NewPrediction, PredictionRecord, RunRecord
from vlmtool_core.store.tables import FrameInfo, Item, Prediction, Review, Run

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
            return _store(connection, run_id, [_checked(row) for row in rows])

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


def _checked(row: NewPrediction) -> NewPrediction:
    if all(math.isfinite(score.score) for score in row.outcome.scores):
        return row
    error = InferenceError("the model gave a score that is no number")
    return replace(row, outcome=Outcome.failed(error))


def _store(connection: Connection, run_id: int, rows: Sequence[NewPrediction]) -> int:
    known = _known(connection, run_id, [row.item_id for row in rows])
    new: dict[tuple[int, int], NewPrediction] = {}
    retried: list[tuple[int, NewPrediction]] = []
    for row in rows:
        key = (row.item_id, row.frame)
        if key not in known:
            new.setdefault(key, row)
        elif known[key][1] in _RETRIED:
            retried.append((known[key][0], row))
    ids = _insert(connection, run_id, list(new.values()))
    _overwrite(connection, retried)
    written = [*zip(ids, new.values(), strict=True), *retried]
    _write_scores(connection, written)
    _write_frames(connection, [row for _, row in written])
    _write_tops(connection, run_id, [row for _, row in written])
    return len(written)


def _known(
    connection: Connection, run_id: int, item_ids: Sequence[int]
) -> dict[tuple[int, int], tuple[int, str]]:
    columns = (Prediction.item_id, Prediction.frame, Prediction.id, Prediction.status)
    found = {}
    for part in chunks(list(set(item_ids))):
        statement = select(*columns).where(
            Prediction.run_id == run_id, Prediction.item_id.in_(part)
        )
        found.update({(r[0], r[1]): (r[2], r[3]) for r in connection.execute(statement)})
    return found


def _columns(row: NewPrediction) -> dict[str, Any]:
    detail = outcome_to_json(row.outcome)
    for key in ("outcome", "scores", "text", "embedding"):
        detail.pop(key, None)
    embedding = row.outcome.embedding
    width, height = row.size or (None, None)
    return {
        "item_id": row.item_id,
        "frame": row.frame,
        "time_s": row.time_s,
        "sha256": row.sha256,
        "status": row.outcome.status.value,
        "text": row.outcome.text,
        "detail": detail,
        "embedding": None if embedding is None else embedding.astype("<f4").tobytes(),
        "width": width,
        "height": height,
        "created_at": datetime.now(UTC),
    }


def _insert(connection: Connection, run_id: int, rows: Sequence[NewPrediction]) -> list[int]:
    if not rows:
        return []
    statement = insert(Prediction).returning(Prediction.id, sort_by_parameter_order=True)
    values = [{**_columns(row), "run_id": run_id} for row in rows]
    return list(connection.execute(statement, values).scalars())


def _overwrite(connection: Connection, rows: Sequence[tuple[int, NewPrediction]]) -> None:
    for prediction_id, row in rows:
        connection.execute(
            update(Prediction).where(Prediction.id == prediction_id).values(**_columns(row))
        )
        connection.execute(delete(tables.Score).where(tables.Score.prediction_id == prediction_id))


def _write_scores(connection: Connection, rows: Sequence[tuple[int, NewPrediction]]) -> None:
    scores = [
        {"prediction_id": i, "rank": rank, "label": score.label, "score": score.score}
        for i, row in rows
        for rank, score in enumerate(row.outcome.scores)
    ]
    if scores:
        connection.execute(insert(tables.Score), scores)


def _write_frames(connection: Connection, rows: Sequence[NewPrediction]) -> None:
    known = {row.item_id: row for row in rows if row.size is not None or row.time_s is not None}
    if not known:
        return
    frames = {(row.item_id, row.frame): row for row in rows if row.item_id in known}
    for part in chunks(list(known)):
        there = select(FrameInfo.item_id, FrameInfo.frame).where(FrameInfo.item_id.in_(part))
        for item_id, frame in connection.execute(there):
            frames.pop((item_id, frame), None)
    values = [
        {
            "item_id": row.item_id,
            "frame": row.frame,
            "time_s": row.time_s,
            "width": row.size[0] if row.size else None,
            "height": row.size[1] if row.size else None,
        }
        for row in frames.values()
    ]
    if values:
        connection.execute(insert(FrameInfo), values)


def _write_tops(connection: Connection, run_id: int, rows: Sequence[NewPrediction]) -> None:
    task = connection.execute(select(Run.task).where(Run.id == run_id)).scalar_one()
    values = []
    for row in rows:
        if task == Task.CLASSIFY.value and row.outcome.scores:
            best = max(row.outcome.scores, key=lambda score: score.score)
            values.append({"key": row.item_id, "label": best.label, "score": best.score})
    if not values:
        return
    older = or_(
        Item.top_run_id.is_(None),
        Item.top_run_id < run_id,
        (Item.top_run_id == run_id) & (Item.top_score < bindparam("score")),
    )
    statement = update(Item).where(Item.id == bindparam("key"), older)
    changes: dict[str, Any] = {"top_label": bindparam("label"), "top_score": bindparam("score")}
    connection.execute(statement.values(**changes, top_run_id=run_id), values)


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

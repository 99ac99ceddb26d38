"""Writes predictions with their scores and frames; only a failure may be overwritten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from vlmtool_core.errors import InferenceError
from vlmtool_core.json_codec import outcome_to_json
from vlmtool_core.records import Outcome, OutcomeStatus, Task
from vlmtool_core.store import tables
from vlmtool_core.store.items import chunks
from vlmtool_core.store.records import NewPrediction
from vlmtool_core.store.tables import FrameInfo, Item, Prediction, Run

_RETRIED = (OutcomeStatus.FAILED.value, OutcomeStatus.CANCELLED.value)


def _checked(row: NewPrediction) -> NewPrediction:
    if all(math.isfinite(score.score) for score in row.outcome.scores):
        return row
    error = InferenceError("the model gave a score that is no number")
    return replace(row, outcome=Outcome.failed(error))


def store_predictions(connection: Connection, run_id: int, given: Sequence[NewPrediction]) -> int:
    """Write the rows that are new, and over those that failed or were cancelled; returns how many.

    A row whose scores are no finite numbers is stored as a failure.
    """
    rows = [_checked(row) for row in given]
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

"""Findings of workflows, and persons' decisions on findings and predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select

from vlmtool_core.errors import RecordNotFoundError, UsageError
from vlmtool_core.json_codec import box_from_json, box_to_json
from vlmtool_core.records import Box, Finding, FindingStatus, OutcomeStatus, Task
from vlmtool_core.store import tables
from vlmtool_core.store.annotations import add_annotations, delete_from_predictions, label_items
from vlmtool_core.store.database import Database
from vlmtool_core.store.items import chunks
from vlmtool_core.store.predictions import predictions_by_id
from vlmtool_core.store.records import LabelChoice, NewAnnotation, PredictionRecord
from vlmtool_core.store.steps import REVIEW, Step
from vlmtool_core.store.tables import Item, Review

_KEEPING = (FindingStatus.ACCEPTED, FindingStatus.EDITED)


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person puts in place of what a prediction said; None keeps the prediction's."""

    label: str | None = None
    boxes: tuple[Box, ...] | None = None
    text: str | None = None


class FindingStore:
    """The review queue."""

    def __init__(self, database: Database, author: str) -> None:
        self._database = database
        self._author = author

    def add(self, workflow: str, version: str, findings: Sequence[Finding]) -> list[int]:
        """File findings as pending; those without an item get it from their path."""
        with self._database.writing() as connection:
            items = _items_of_paths(connection, [f.path for f in findings if f.item_id is None])
            rows = [_row(f, workflow, version, items) for f in findings]
            if not rows:
                return []
            statement = insert(tables.Finding)
            returning = statement.returning(tables.Finding.id, sort_by_parameter_order=True)
            return list(connection.execute(returning, rows).scalars())

    def find(
        self,
        *,
        status: FindingStatus | None = None,
        workflow: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[Finding]:
        """Findings, oldest first."""
        statement = _filtered(_statement(), status, workflow).order_by(tables.Finding.id)
        statement = statement.offset(offset)
        if limit is not None:
            statement = statement.limit(limit)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(statement)]

    def count(self, *, status: FindingStatus | None = None, workflow: str | None = None) -> int:
        statement = _joined(select(func.count(tables.Finding.id)))
        with self._database.reading() as connection:
            return int(connection.execute(_filtered(statement, status, workflow)).scalar_one())

    def decide(
        self,
        finding_ids: Sequence[int],
        status: FindingStatus,
        *,
        label: str | None = None,
        note: str = "",
    ) -> int:
        """Decide findings (pending takes a decision back) as one step; returns how many."""
        ids = list(dict.fromkeys(finding_ids))
        with self._database.writing() as connection:
            _check(connection, ids)
            step = Step(connection, self._author)
            _review(step, "finding", ids, status, label=label, note=note)
            step.finish(f"{_verb(status)} {_counted(len(ids), 'finding')}")
        return len(ids)

    def decide_predictions(
        self,
        prediction_ids: Sequence[int],
        status: FindingStatus,
        correction: Correction = Correction(),
    ) -> int:
        """Decide predictions as one step; accepting or editing makes annotations of them.

        A second decision replaces the first, with the annotations that it had made.

        Raises
        ------
        RecordNotFoundError : no such prediction
        UsageError : a failed prediction cannot be accepted as it is
        """
        ids = list(dict.fromkeys(prediction_ids))
        with self._database.writing() as connection:
            predictions = predictions_by_id(connection, ids)
            step = Step(connection, self._author)
            delete_from_predictions(step, ids)
            _review(step, "prediction", ids, status, label=correction.label, note="")
            if status in _KEEPING:
                _annotate(step, predictions, correction)
            step.finish(f"{_verb(status)} {_counted(len(ids), 'prediction')}")
        return len(ids)


def _annotate(step: Step, predictions: Sequence[PredictionRecord], correction: Correction) -> None:
    labels: dict[int, dict[int, LabelChoice]] = {}
    others: list[NewAnnotation] = []
    for prediction in predictions:
        corrected = correction != Correction()
        if prediction.outcome.status is OutcomeStatus.FAILED and not corrected:
            raise UsageError(
                f"prediction {prediction.id} failed: there is nothing to accept",
                remedy="Run it again, or give the label yourself.",
            )
        label = _label(prediction, correction)
        if label is not None:
            choice = LabelChoice(label, prediction.id)
            labels.setdefault(prediction.frame, {})[prediction.item_id] = choice
        others += _boxes(prediction, correction) + _texts(prediction, correction)
    for frame, wanted in labels.items():
        label_items(step, wanted, frame)
    add_annotations(step, others)


def _label(prediction: PredictionRecord, correction: Correction) -> str | None:
    if prediction.task is not Task.CLASSIFY:
        return None
    if correction.label is not None:
        return correction.label
    scores = prediction.outcome.scores
    return max(scores, key=lambda score: score.score).label if scores else None


def _boxes(prediction: PredictionRecord, correction: Correction) -> list[NewAnnotation]:
    boxes = prediction.outcome.boxes if prediction.task is Task.DETECT else ()
    if correction.boxes is not None:
        boxes = correction.boxes
    return [
        NewAnnotation(
            prediction.item_id,
            prediction.frame,
            "box",
            correction.label or box.label,
            box,
            prediction_id=prediction.id,
        )
        for box in boxes
    ]


def _texts(prediction: PredictionRecord, correction: Correction) -> list[NewAnnotation]:
    text = prediction.outcome.text
    if text is None and prediction.outcome.lines:
        text = "\n".join(line.text for line in prediction.outcome.lines)
    if prediction.task in {Task.CLASSIFY, Task.DETECT, Task.EMBED}:
        text = None
    if correction.text is not None:
        text = correction.text
    if not text:
        return []
    item_id, frame = prediction.item_id, prediction.frame
    return [NewAnnotation(item_id, frame, "text", text=text, prediction_id=prediction.id)]


def _review(
    step: Step,
    entity: str,
    ids: Sequence[int],
    status: FindingStatus,
    *,
    label: str | None,
    note: str,
) -> None:
    there: dict[int, Row[Any]] = {}
    for part in chunks(ids):
        statement = select(Review.__table__).where(
            Review.entity == entity, Review.entity_id.in_(part)
        )
        there.update((row.entity_id, row) for row in step.connection.execute(statement))
    if status is FindingStatus.PENDING:
        step.delete(REVIEW, list(there.values()))
        return
    values: dict[str, Any] = {"status": status.value, "label": label, "note": note}
    values |= {"author": step.author, "decided_at": step.now}
    step.update(REVIEW, list(there.values()), values)
    new = [i for i in ids if i not in there]
    step.insert(REVIEW, [{"entity": entity, "entity_id": i, **values} for i in new])


def _verb(status: FindingStatus) -> str:
    verbs = {"accepted": "accept", "rejected": "reject", "edited": "edit", "pending": "reopen"}
    return verbs[status.value]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check(connection: Connection, ids: Sequence[int]) -> None:
    wanted = set(ids)
    for part in chunks(ids):
        statement = select(tables.Finding.id).where(tables.Finding.id.in_(part))
        wanted -= set(connection.execute(statement).scalars())
    if wanted:
        raise RecordNotFoundError(f"no finding number {min(wanted)}")


def _items_of_paths(connection: Connection, paths: Sequence[str]) -> dict[str, int]:
    if not paths:
        return {}
    wanted = set(paths)
    rows = connection.execute(select(Item.path, Item.id).where(Item.kind.is_not(None)))
    return {path: i for path, i in rows if path in wanted}


def _row(finding: Finding, workflow: str, version: str, items: dict[str, int]) -> dict[str, Any]:
    if finding.score is not None and not math.isfinite(finding.score):
        raise UsageError("a finding's score is no number", field="score", path=finding.path)
    start, end = finding.time_span_s or (None, None)
    item_id = finding.item_id if finding.item_id is not None else items.get(finding.path)
    return {
        "workflow": workflow,
        "workflow_version": version,
        "item_id": item_id,
        "kind": finding.kind,
        "title": finding.title,
        "path": finding.path,
        "score": finding.score,
        "label": finding.label,
        "frame": finding.frame,
        "start_s": start,
        "end_s": end,
        "box": None if finding.box is None else box_to_json(finding.box),
        "model": finding.model,
        "data": dict(finding.data),
        "created_at": datetime.now(UTC),
    }


def _joined(statement: Select[Any]) -> Select[Any]:
    on = (Review.entity == "finding") & (Review.entity_id == tables.Finding.id)
    return statement.select_from(tables.Finding).outerjoin(Review, on)


def _statement() -> Select[Any]:
    return _joined(
        select(
            tables.Finding.__table__,
            Review.status,
            Review.label.label("decided_label"),
            Review.note,
            Review.decided_at,
        )
    )


def _filtered(
    statement: Select[Any], status: FindingStatus | None, workflow: str | None
) -> Select[Any]:
    if workflow is not None:
        statement = statement.where(tables.Finding.workflow == workflow)
    if status is FindingStatus.PENDING:
        return statement.where(Review.id.is_(None))
    if status is not None:
        return statement.where(Review.status == status.value)
    return statement


def _record(row: Row[Any]) -> Finding:
    return Finding(
        kind=row.kind,
        title=row.title,
        path=row.path,
        score=row.score,
        label=row.label if row.decided_label is None else row.decided_label,
        frame=row.frame,
        time_span_s=None if row.start_s is None else (row.start_s, row.end_s),
        box=None if row.box is None else box_from_json(row.box),
        status=FindingStatus(row.status or "pending"),
        model=row.model,
        data=row.data,
        id=row.id,
        item_id=row.item_id,
        note=row.note or "",
        decided_at=row.decided_at,
    )

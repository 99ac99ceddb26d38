"""`vlmtool-cli show`: the items of a project with labels and predictions, or one item whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from vlmtool_core.cli.console import emit_json, emit_table, note
from vlmtool_core.json_codec import (
    box_to_json,
    error_to_json,
    measurement_to_json,
    outcome_to_json,
)
from vlmtool_core.project import (
    AnnotationRecord,
    ItemQuery,
    ItemRecord,
    PredictionRecord,
    Project,
)
from vlmtool_core.records import MediaKind, Outcome, OutcomeStatus

_TEXT_SHOWN = 60


@click.command()
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")
@click.argument("item", required=False)
@click.option("--kind", type=click.Choice([k.value for k in MediaKind]), help="Only this kind.")
@click.option("--label", help="Only items with this label.")
@click.option("--group", help="Only items of this group.")
@click.option("--text", help="Only items with this in their name.")
@click.option(
    "--status",
    type=click.Choice(["labelled", "unlabelled", "unreadable", "predicted"]),
    help="Only these.",
)
@click.option(
    "--order",
    type=click.Choice(["name", "added", "score"]),
    default="name",
    show_default=True,
    help="By name, by when it was added, or the doubtful first.",
)
@click.option("--limit", type=click.IntRange(1), help="At most N items.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every detail.")
def show(
    project: Path,
    item: str | None,
    kind: str | None,
    limit: int | None,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Show what a project knows of its items, or everything about ITEM.

    Predictions are the newest of each task, with the model that made them.
    """
    with Project.open(project) as opened:
        if item is not None:
            _show_item(opened, opened.find_item(item), as_json)
            return
        query = ItemQuery(kind=MediaKind(kind) if kind else None, **conditions)
        items = opened.items(query, limit=limit)
        newest = opened.store.runs.newest([found.id for found in items])
        total = opened.count(query)
    if as_json:
        emit_json([_item_json(found, newest.get(found.id, [])) for found in items])
        return
    rows = [_row(found, newest.get(found.id, [])) for found in items]
    emit_table("Items", ("item", "kind", "group", "labels", "predictions"), rows)
    if len(items) < total:
        note(f"{len(items)} of {total} items")


def _row(item: ItemRecord, predictions: Sequence[PredictionRecord]) -> tuple[str, ...]:
    kind = item.kind.value if item.kind else "unreadable"
    said = "; ".join(_said(p) for p in predictions)
    if item.error is not None:
        said = item.error.message
    return item.name, kind, item.group, ", ".join(item.labels), said


def _said(prediction: PredictionRecord) -> str:
    frame = f" frame {prediction.frame}" if prediction.frame else ""
    decided = "" if prediction.decision == "pending" else f", {prediction.decision.value}"
    said = summarise(prediction.outcome)
    return f"{prediction.task.value}{frame}: {said} ({prediction.model}{decided})"


def summarise(outcome: Outcome) -> str:
    """An outcome in a few words."""
    if outcome.status is OutcomeStatus.FAILED:
        return f"failed: {outcome.error.message if outcome.error else ''}"
    if outcome.status is not OutcomeStatus.OK:
        return "nothing found" if outcome.status is OutcomeStatus.EMPTY else outcome.status.value
    if outcome.scores:
        best = max(outcome.scores, key=lambda score: score.score)
        return f"{best.label} {best.score:.2f}"
    if outcome.boxes:
        return f"{len(outcome.boxes)} boxes"
    text = outcome.text or " / ".join(line.text for line in outcome.lines)
    if text:
        return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"
    return "embedded" if outcome.embedding is not None else "ok"


def _item_json(item: ItemRecord, predictions: Sequence[PredictionRecord]) -> dict[str, Any]:
    return {
        "item": item.name,
        "path": str(item.path),
        "kind": item.kind.value if item.kind else None,
        "sha256": item.sha256,
        "group": item.group,
        "width": item.width,
        "height": item.height,
        "frame_count": item.frame_count,
        "duration_s": item.duration_s,
        "labels": list(item.labels),
        "error": None if item.error is None else error_to_json(item.error),
        "predictions": [_prediction_json(prediction) for prediction in predictions],
    }


def _prediction_json(prediction: PredictionRecord) -> dict[str, Any]:
    return {
        "id": prediction.id,
        "run": prediction.run_id,
        "frame": prediction.frame,
        "time_s": prediction.time_s,
        "task": prediction.task.value,
        "model": prediction.model.id,
        "model_version": prediction.model.version,
        "decision": prediction.decision.value,
        **outcome_to_json(prediction.outcome),
    }


def _annotation_json(annotation: AnnotationRecord) -> dict[str, Any]:
    measurement = annotation.measurement
    return {
        "id": annotation.id,
        "frame": annotation.frame,
        "kind": annotation.kind,
        "label": annotation.label,
        "box": None if annotation.box is None else box_to_json(annotation.box),
        "text": annotation.text,
        "measurement": measurement_to_json(measurement) if measurement else None,
        "author": annotation.author,
        "created_at": annotation.created_at.isoformat(),
        "updated_at": annotation.updated_at.isoformat(),
    }


def _annotation_text(annotation: AnnotationRecord) -> object:
    if annotation.measurement is not None:
        from vlmtool_core.media.measured_text import measured_text

        return measured_text(annotation.measurement)
    return annotation.text or (annotation.box.xyxy if annotation.box else "")


def _show_item(project: Project, item: ItemRecord, as_json: bool) -> None:
    predictions = project.predictions(item.id)
    annotations = project.annotations(item.id)
    if as_json:
        found = _item_json(item, predictions)
        emit_json(found | {"annotations": [_annotation_json(a) for a in annotations]})
        return
    size = "" if item.width is None else f"{item.width} × {item.height}"
    facts = [
        ("path", item.path),
        ("kind", item.kind.value if item.kind else "unreadable"),
        ("size", size),
        ("frames", item.frame_count or ""),
        ("group", item.group),
        ("sha256", item.sha256),
    ]
    if item.error is not None:
        facts += [("error", item.error.message), ("what to do", item.error.remedy)]
    emit_table(item.name, ("", ""), facts)
    rows = [(a.frame, a.kind, a.label, _annotation_text(a), a.author) for a in annotations]
    emit_table("Annotations", ("frame", "kind", "label", "value", "author"), rows)
    said = [
        (p.frame, p.task.value, summarise(p.outcome), str(p.model), p.decision.value)
        for p in predictions
    ]
    emit_table("Predictions", ("frame", "task", "says", "model", "decision"), said)

"""What persons decided of items. Every command is one undoable step in the event log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from sqlalchemy import Connection, Row, Select, select

from vlmtool_core.errors import RecordNotFoundError, UsageError
from vlmtool_core.json_codec import measurement_from_json, measurement_to_json
from vlmtool_core.records import Box
from vlmtool_core.store.database import Database
from vlmtool_core.store.items import chunks
from vlmtool_core.store.labels import ensure_labels, is_exclusive
from vlmtool_core.store.records import (
    AnnotationChanges,
    AnnotationRecord,
    LabelChoice,
    NewAnnotation,
)
from vlmtool_core.store.steps import ANNOTATION, Step
from vlmtool_core.store.tables import Annotation, Item, Label


class AnnotationStore:
    """Annotations and the commands that change them."""

    def __init__(self, database: Database, author: str) -> None:
        self._database = database
        self._author = author

    def find(
        self, item_id: int | None = None, *, frame: int | None = None
    ) -> list[AnnotationRecord]:
        """Annotations by item, frame and age."""
        statement = _statement()
        if item_id is not None:
            statement = statement.where(Annotation.item_id == item_id)
        if frame is not None:
            statement = statement.where(Annotation.frame == frame)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(statement)]

    def get(self, annotation_id: int) -> AnnotationRecord:
        """`RecordNotFoundError` when there is none of that number."""
        with self._database.reading() as connection:
            statement = _statement().where(Annotation.id == annotation_id)
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise _missing(annotation_id)
        return _record(row)

    def set_labels(
        self, labels: Mapping[int, str | None], *, frame: int = 0, description: str = ""
    ) -> int:
        """Give each item its label (None takes all labels away); one step.

        In an exclusive label set the new label replaces the old one, else it is added. Returns
        how many items changed.
        """
        with self._database.writing() as connection:
            step = Step(connection, self._author)
            choices = {item: LabelChoice(label) for item, label in labels.items()}
            changed = label_items(step, choices, frame)
            step.finish(description or _describe_labels(labels))
        return changed

    def add(self, annotations: Sequence[NewAnnotation], *, description: str = "") -> list[int]:
        """Add annotations as one step; returns their ids."""
        with self._database.writing() as connection:
            step = Step(connection, self._author)
            ids = add_annotations(step, annotations)
            step.finish(description or _describe(annotations))
        return ids

    def take_in(self, annotations: Sequence[NewAnnotation], *, description: str) -> int:
        """An import, as one step; returns how many were new or changed.

        What is there already in the same words is left alone; in an exclusive label set a new
        label replaces the old one.
        """
        with self._database.writing() as connection:
            step = Step(connection, self._author)
            changed = 0
            for frame, layer in _layers([a for a in annotations if a.kind == "label"]):
                choices = {a.item_id: LabelChoice(a.label, author=a.author) for a in layer}
                changed += label_items(step, choices, frame)
            others = [a for a in annotations if a.kind != "label"]
            fresh = _not_there(connection, others)
            add_annotations(step, fresh)
            step.finish(description)
        return changed + len(fresh)

    def update(self, annotation_id: int, **changes: Unpack[AnnotationChanges]) -> None:
        """Change what is given of one annotation; one step.

        Raises
        ------
        RecordNotFoundError : it is not there
        UsageError : a box or a measurement for an annotation that is none, or a box that is not
            finite
        """
        with self._database.writing() as connection:
            step = Step(connection, self._author)
            row = _rows(connection, [annotation_id])[0]
            values = _changed(connection, row, changes)
            if any(getattr(row, name) != value for name, value in values.items()):
                values |= {"author": self._author, "updated_at": step.now}
                step.update(ANNOTATION, [row], values)
            step.finish(f"change {row.kind} {annotation_id}")

    def delete(self, annotation_ids: Sequence[int]) -> int:
        """Remove annotations as one step; returns how many."""
        with self._database.writing() as connection:
            step = Step(connection, self._author)
            rows = _rows(connection, list(dict.fromkeys(annotation_ids)))
            step.delete(ANNOTATION, rows)
            step.finish(f"delete {_count(len(rows), 'annotation')}")
        return len(rows)


def label_items(step: Step, wanted: Mapping[int, LabelChoice], frame: int) -> int:
    """Label items (by id) within a step; returns how many items changed."""
    _check_items(step.connection, list(wanted))
    names = [choice.label for choice in wanted.values() if choice.label is not None]
    ids = ensure_labels(step.connection, list(dict.fromkeys(names)))
    exclusive = is_exclusive(step.connection)
    there = _labels_there(step.connection, list(wanted), frame)
    changes = _LabelChanges(step, frame, ids, exclusive=exclusive)
    for item_id, choice in wanted.items():
        changes.place(item_id, choice, there.get(item_id, []))
    changes.write()
    return changes.count


class _LabelChanges:
    """What labelling comes to: rows to add, to move to another label, and to remove."""

    def __init__(self, step: Step, frame: int, ids: Mapping[str, int], *, exclusive: bool) -> None:
        self._step = step
        self._frame = frame
        self._ids = ids
        self._exclusive = exclusive
        self._new: list[dict[str, Any]] = []
        self._moved: dict[LabelChoice, list[Row[Any]]] = {}
        self._removed: list[Row[Any]] = []
        self.count = 0

    def place(self, item_id: int, choice: LabelChoice, rows: Sequence[Row[Any]]) -> None:
        label_id = None if choice.label is None else self._ids[choice.label]
        has_it = label_id is not None and any(row.label_id == label_id for row in rows)
        if has_it and (not self._exclusive or len(rows) == 1):
            return
        if label_id is None:
            self._removed += rows
            self.count += bool(rows)
            return
        self.count += 1
        if self._exclusive and rows:
            self._moved.setdefault(choice, []).append(rows[0])
            self._removed += rows[1:]
        else:
            annotation = NewAnnotation(
                item_id,
                self._frame,
                "label",
                prediction_id=choice.prediction_id,
                author=choice.author,
            )
            self._new.append(_row(self._step, annotation, label_id))

    def write(self) -> None:
        step = self._step
        step.delete(ANNOTATION, self._removed)
        for choice, rows in self._moved.items():
            values = {
                "label_id": self._ids[choice.label or ""],
                "prediction_id": choice.prediction_id,
                "author": choice.author or step.author,
                "updated_at": step.now,
            }
            step.update(ANNOTATION, rows, values)
        step.insert(ANNOTATION, self._new)


def add_annotations(step: Step, annotations: Sequence[NewAnnotation]) -> list[int]:
    """Add annotations within a step; labels that are new join the label set."""
    _check_items(step.connection, [annotation.item_id for annotation in annotations])
    names = [name for name in dict.fromkeys(map(_label_name, annotations)) if name]
    ids = ensure_labels(step.connection, names)
    rows = [_row(step, a, ids.get(_label_name(a))) for a in annotations]
    return step.insert(ANNOTATION, rows)


def delete_from_predictions(step: Step, prediction_ids: Sequence[int]) -> None:
    """Remove the annotations that accepting these predictions had made."""
    table = Annotation.__table__
    for part in chunks(prediction_ids):
        statement = select(table).where(Annotation.prediction_id.in_(part))
        step.delete(ANNOTATION, list(step.connection.execute(statement)))


def _label_name(annotation: NewAnnotation) -> str:
    return annotation.label or (annotation.box.label if annotation.box else "")


def _label_id(connection: Connection, name: str) -> int | None:
    return ensure_labels(connection, [name])[name] if name else None


def _changed(connection: Connection, row: Row[Any], changes: AnnotationChanges) -> dict[str, Any]:
    """The columns that the changes come to."""
    box, label, text = changes.get("box"), changes.get("label"), changes.get("text")
    measurement = changes.get("measurement")
    values: dict[str, Any] = {}
    if box is not None:
        if row.kind != "box":
            raise UsageError(f"annotation {row.id} is no box", field="box")
        values |= _corners(box)
    if label is not None:
        values["label_id"] = _label_id(connection, label)
    if text is not None:
        if row.kind != "text" or not text:
            raise UsageError("a text annotation needs a text", field="text")
        values["text"] = text
    if measurement is not None:
        if row.kind != "measurement":
            raise UsageError(f"annotation {row.id} is no measurement", field="measurement")
        values["data"] = measurement_to_json(measurement)
    return values


def _row(step: Step, annotation: NewAnnotation, label_id: int | None) -> dict[str, Any]:
    if annotation.frame < 0:
        raise UsageError(f"no frame {annotation.frame}", field="frame")
    if (annotation.kind == "box") != (annotation.box is not None):
        raise UsageError("a box annotation needs a box, and only that one", field="box")
    if (annotation.kind == "text") != bool(annotation.text):
        raise UsageError("a text annotation needs a text, and only that one", field="text")
    measurement = annotation.measurement
    if (annotation.kind == "measurement") != (measurement is not None):
        raise UsageError("a measurement needs its shape, and only that one", field="measurement")
    corners = dict.fromkeys(("x1", "y1", "x2", "y2"))
    return {
        "item_id": annotation.item_id,
        "frame": annotation.frame,
        "kind": annotation.kind,
        "label_id": label_id,
        **(_corners(annotation.box) if annotation.box else corners),
        "text": annotation.text,
        "author": annotation.author or step.author,
        "prediction_id": annotation.prediction_id,
        "created_at": step.now,
        "updated_at": step.now,
        "data": None if measurement is None else measurement_to_json(measurement),
    }


def _corners(box: Box) -> dict[str, float]:
    if not all(math.isfinite(value) for value in box.xyxy):
        raise UsageError(f"a box needs finite corners, got {box.xyxy}", field="box")
    return {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}


def _check_items(connection: Connection, item_ids: Sequence[int]) -> None:
    wanted = set(item_ids)
    for part in chunks(sorted(wanted)):
        wanted -= set(connection.execute(select(Item.id).where(Item.id.in_(part))).scalars())
    if wanted:
        raise RecordNotFoundError(
            f"no item number {min(wanted)}", remedy="List the items: vlmtool-cli show PROJECT"
        )


def _labels_there(
    connection: Connection, item_ids: Sequence[int], frame: int
) -> dict[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = {}
    for part in chunks(item_ids):
        statement = select(Annotation.__table__).where(
            Annotation.item_id.in_(part), Annotation.frame == frame, Annotation.kind == "label"
        )
        for row in connection.execute(statement.order_by(Annotation.id)):
            found.setdefault(row.item_id, []).append(row)
    return found


def _layers(labels: Sequence[NewAnnotation]) -> list[tuple[int, list[NewAnnotation]]]:
    """Labels by frame, so that an item with several labels has one in each layer."""
    layers: dict[tuple[int, int], list[NewAnnotation]] = {}
    depth: dict[tuple[int, int], int] = {}
    for label in labels:
        place = (label.item_id, label.frame)
        depth[place] = depth.get(place, -1) + 1
        layers.setdefault((label.frame, depth[place]), []).append(label)
    return [(frame, layer) for (frame, _), layer in layers.items()]


def _not_there(connection: Connection, annotations: Sequence[NewAnnotation]) -> list[NewAnnotation]:
    there: set[tuple[Any, ...]] = set()
    for part in chunks(sorted({annotation.item_id for annotation in annotations})):
        rows = connection.execute(_statement().where(Annotation.item_id.in_(part)))
        there |= {_content(_record(row)) for row in rows}
    return [annotation for annotation in annotations if _content(annotation) not in there]


def _content(annotation: NewAnnotation | AnnotationRecord) -> tuple[Any, ...]:
    box = annotation.box
    label = annotation.label or (box.label if box else "")
    corners = box.xyxy if box else None
    measurement = annotation.measurement
    shape = (measurement.kind, measurement.points) if measurement else None
    place = annotation.item_id, annotation.frame, annotation.kind
    return *place, label, corners, annotation.text, shape


def _rows(connection: Connection, annotation_ids: Sequence[int]) -> list[Row[Any]]:
    found: dict[int, Row[Any]] = {}
    for part in chunks(annotation_ids):
        statement = select(Annotation.__table__).where(Annotation.id.in_(part))
        found.update((row.id, row) for row in connection.execute(statement))
    for annotation_id in annotation_ids:
        if annotation_id not in found:
            raise _missing(annotation_id)
    return [found[i] for i in annotation_ids]


def _missing(annotation_id: int) -> RecordNotFoundError:
    return RecordNotFoundError(
        f"no annotation number {annotation_id}", remedy="It may have been deleted or undone."
    )


def _statement() -> Select[Any]:
    return (
        select(Annotation.__table__, Label.name.label("label_name"))
        .outerjoin(Label, Label.id == Annotation.label_id)
        .order_by(Annotation.item_id, Annotation.frame, Annotation.id)
    )


def _record(row: Row[Any]) -> AnnotationRecord:
    label = row.label_name or ""
    return AnnotationRecord(
        id=row.id,
        item_id=row.item_id,
        frame=row.frame,
        kind=row.kind,
        label=label,
        box=Box(row.x1, row.y1, row.x2, row.y2, label) if row.kind == "box" else None,
        text=row.text,
        author=row.author,
        prediction_id=row.prediction_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        measurement=None if row.data is None else measurement_from_json(row.data),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _describe_labels(labels: Mapping[int, str | None]) -> str:
    names = sorted({name for name in labels.values() if name is not None})
    items = _count(len(labels), "item")
    if not names:
        return f"remove the labels of {items}"
    shown = names[0] if len(names) == 1 else _count(len(names), "different label")
    return f"label {items}: {shown}"


def _describe(annotations: Sequence[NewAnnotation]) -> str:
    kinds = {annotation.kind for annotation in annotations}
    noun = kinds.pop() if len(kinds) == 1 else "annotation"
    return f"add {_count(len(annotations), noun)}"

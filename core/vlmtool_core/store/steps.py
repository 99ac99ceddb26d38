"""Undoable steps: each command writes what it changed, so undo and redo work after a restart.

`annotation_event` and `annotation_change` only grow. Undoing appends an event that names the
step; a new step after an undo leaves the undone ones in the log, but redo no longer reaches
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, delete, insert, select, update

from vlmtool_core.records import Json
from vlmtool_core.store.database import Database
from vlmtool_core.store.records import HistoryEntry
from vlmtool_core.store.tables import Annotation, AnnotationChange, AnnotationEvent, Base, Review

ANNOTATION = "annotation"
REVIEW = "review"
_TABLES: dict[str, Table] = {
    ANNOTATION: Base.metadata.tables[Annotation.__tablename__],
    REVIEW: Base.metadata.tables[Review.__tablename__],
}
State = Mapping[str, Json]


def _to_state(row: Mapping[str, Any]) -> dict[str, Json]:
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in row.items()
        if key != "id"
    }


def _to_values(state: State) -> dict[str, Any]:
    return {
        key: datetime.fromisoformat(value) if key.endswith("_at") else value
        for key, value in state.items()
    }


class Step:
    """Collects the changes of one command inside a write transaction."""

    def __init__(self, connection: Connection, author: str) -> None:
        self.connection = connection
        self.author = author
        self.now = datetime.now(UTC)
        self._changes: list[dict[str, Any]] = []

    def insert(self, entity: str, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add rows; returns their ids, in order."""
        if not rows:
            return []
        table = _TABLES[entity]
        statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
        ids = list(self.connection.execute(statement, list(rows)).scalars())
        for row_id, row in zip(ids, rows, strict=True):
            self._note(entity, row_id, None, _to_state(row))
        return ids

    def update(self, entity: str, rows: Sequence[Row[Any]], values: Mapping[str, Any]) -> None:
        """Set the same `values` in each of `rows` (read in this transaction, all columns)."""
        changes = []
        for row in rows:
            before = dict(row._mapping)
            changes.append((row.id, before, {**before, **values}))
        for row_id, before, after in changes:
            self._note(entity, row_id, _to_state(before), _to_state(after))
        table = _TABLES[entity]
        statement = update(table).where(table.c.id == bindparam("key")).values(**values)
        if changes:
            self.connection.execute(statement, [{"key": row_id} for row_id, _, _ in changes])

    def delete(self, entity: str, rows: Sequence[Row[Any]]) -> None:
        for row in rows:
            self._note(entity, row.id, _to_state(dict(row._mapping)), None)
        _delete(self.connection, entity, [row.id for row in rows])

    def _note(self, entity: str, entity_id: int, before: Json, after: Json) -> None:
        change = {"entity": entity, "entity_id": entity_id, "before": before, "after": after}
        self._changes.append({**change, "position": len(self._changes)})

    def finish(self, description: str) -> int | None:
        """Write the event; returns the step's number, None when nothing changed."""
        if not self._changes:
            return None
        last = _last_event(self.connection)
        previous = last.head if last is not None else None
        step = _append(self.connection, "do", description, self.author, previous=previous)
        rows = [{**change, "event_id": step} for change in self._changes]
        self.connection.execute(insert(AnnotationChange), rows)
        return step


def _last_event(connection: Connection) -> Row[Any] | None:
    statement = select(AnnotationEvent.__table__).order_by(AnnotationEvent.id.desc()).limit(1)
    return connection.execute(statement).one_or_none()


def _append(
    connection: Connection,
    action: str,
    description: str,
    author: str,
    *,
    target: int | None = None,
    previous: int | None = None,
    head: int | None = None,
    redo: int | None = None,
) -> int:
    # Append-only: a step is its own head, so its number must be known before the insert. The
    # writer's lock is held and no event is ever deleted, so the next number is ours.
    last = _last_event(connection)
    number = 1 if last is None else last.id + 1
    values = {
        "id": number,
        "action": action,
        "target": target,
        "previous": previous,
        "head": number if action == "do" else head,
        "redo": redo,
        "description": description,
        "author": author,
        "at": datetime.now(UTC),
    }
    statement = insert(AnnotationEvent).values(**values).returning(AnnotationEvent.id)
    return int(connection.execute(statement).scalar_one())


class StepStore:
    """Undo, redo and history over every step of the project."""

    def __init__(self, database: Database, author: str) -> None:
        self._database = database
        self._author = author

    def undo(self) -> str | None:
        """Take the newest step that holds back; returns its description, None if there is none."""
        with self._database.writing() as connection:
            last = _last_event(connection)
            if last is None or last.head is None:
                return None
            step = _event(connection, last.head)
            _apply(connection, step.id, backwards=True)
            _append(
                connection,
                "undo",
                step.description,
                self._author,
                target=step.id,
                head=step.previous,
                redo=step.id,
            )
            return str(step.description)

    def redo(self) -> str | None:
        """Do the step undone last again; returns its description, None if there is none."""
        with self._database.writing() as connection:
            last = _last_event(connection)
            if last is None or last.redo is None:
                return None
            step = _event(connection, last.redo)
            _apply(connection, step.id, backwards=False)
            _append(
                connection,
                "redo",
                step.description,
                self._author,
                target=step.id,
                head=step.id,
                redo=_undone_after(connection, step.id),
            )
            return str(step.description)

    def can_undo(self) -> bool:
        with self._database.reading() as connection:
            last = _last_event(connection)
        return last is not None and last.head is not None

    def can_redo(self) -> bool:
        with self._database.reading() as connection:
            last = _last_event(connection)
        return last is not None and last.redo is not None

    def history(self, limit: int = 50) -> list[HistoryEntry]:
        """The newest `limit` steps, newest first."""
        table = AnnotationEvent
        with self._database.reading() as connection:
            statement = select(table.__table__).where(table.action == "do")
            steps = connection.execute(statement.order_by(table.id.desc()).limit(limit)).all()
            if not steps:
                return []
            holding = _holding(connection, down_to=steps[-1].id)
        return [
            HistoryEntry(s.id, s.description, s.author, s.at, undone=s.id not in holding)
            for s in steps
        ]


def _event(connection: Connection, event_id: int) -> Row[Any]:
    statement = select(AnnotationEvent.__table__).where(AnnotationEvent.id == event_id)
    return connection.execute(statement).one()


def _undone_after(connection: Connection, step: int) -> int | None:
    """The step that followed `step` when it was undone: the next one for redo."""
    undo = AnnotationEvent.__table__.alias("undo")
    done = AnnotationEvent.__table__.alias("done")
    found = connection.execute(
        select(undo.c.target)
        .join(done, done.c.id == undo.c.target)
        .where(undo.c.action == "undo", done.c.previous == step)
        .order_by(undo.c.id.desc())
        .limit(1)
    ).scalar()
    return None if found is None else int(found)


def _holding(connection: Connection, *, down_to: int) -> set[int]:
    """The steps that hold at present, as far back as `down_to`."""
    last = _last_event(connection)
    head = last.head if last is not None else None
    columns = (AnnotationEvent.id, AnnotationEvent.previous)
    statement = select(*columns).where(
        AnnotationEvent.action == "do", AnnotationEvent.id >= down_to
    )
    previous = {row[0]: row[1] for row in connection.execute(statement)}
    found: set[int] = set()
    while head is not None and head >= down_to:
        found.add(head)
        head = previous[head]
    return found


def _apply(connection: Connection, step: int, *, backwards: bool) -> None:
    """Bring every row that the step changed to its state before (or after) the step."""
    table = AnnotationChange
    order = table.position.desc() if backwards else table.position
    statement = select(table.__table__).where(table.event_id == step).order_by(order)
    batch: list[tuple[int, State | None]] = []
    kind: tuple[str, str] | None = None
    for change in connection.execute(statement).all():
        current = change.after if backwards else change.before
        wanted = change.before if backwards else change.after
        verb = "insert" if current is None else "delete" if wanted is None else "update"
        if kind is not None and kind != (change.entity, verb):
            _write(connection, kind, batch)
            batch = []
        kind = (change.entity, verb)
        batch.append((change.entity_id, wanted))
    if kind is not None:
        _write(connection, kind, batch)


def _write(
    connection: Connection, kind: tuple[str, str], batch: Sequence[tuple[int, State | None]]
) -> None:
    entity, verb = kind
    table = _TABLES[entity]
    if verb == "delete":
        _delete(connection, entity, [row_id for row_id, _ in batch])
        return
    rows = [{**_to_values(state or {}), "id": row_id} for row_id, state in batch]
    if verb == "insert":
        connection.execute(insert(table), rows)
        return
    names = [name for name in rows[0] if name != "id"]
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    statement = update(table).where(table.c.id == bindparam("new_id")).values(values)
    connection.execute(statement, [{f"new_{k}": v for k, v in row.items()} for row in rows])


def _delete(connection: Connection, entity: str, ids: Sequence[int]) -> None:
    table = _TABLES[entity]
    if ids:
        statement = delete(table).where(table.c.id == bindparam("key"))
        connection.execute(statement, [{"key": row_id} for row_id in ids])

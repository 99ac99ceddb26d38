"""Items: taking them in, recognising them again, and finding them fast among 100,000."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, update

from vlmtool_core.errors import RecordNotFoundError
from vlmtool_core.json_codec import error_from_json, error_to_json
from vlmtool_core.records import ItemRef, MediaKind, Score
from vlmtool_core.store.database import Database
from vlmtool_core.store.records import ItemQuery, ItemRecord, KnownItem, NewItem
from vlmtool_core.store.tables import Annotation, Group, Item, Label, Prediction

CHUNK = 5000  # values in one IN (...); SQLite takes 32,766


def sort_key(name: str) -> str:
    """A text that sorts in natural order: `img2` before `img10`, whatever the case."""
    return re.sub(
        r"[0-9]+",
        lambda digits: f"{len(digits[0].lstrip('0')):03d}{digits[0].lstrip('0')}",
        name.casefold(),
    )


def chunks(ids: Sequence[int], size: int = CHUNK) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def filtered(statement: Select[Any], query: ItemQuery) -> Select[Any]:
    """Add the conditions of `query` to a select over `Item`."""
    if query.kind is not None:
        statement = statement.where(Item.kind == query.kind.value)
    if query.group is not None:
        wanted = select(Group.id).where(Group.name == query.group)
        statement = statement.where(Item.group_id == wanted.scalar_subquery())
    if query.label is not None:
        carrying = (
            select(Annotation.item_id)
            .join(Label, Label.id == Annotation.label_id)
            .where(Label.name == query.label, Annotation.kind == "label")
        )
        statement = statement.where(Item.id.in_(carrying))
    if query.text:
        folded = query.text.casefold()
        statement = statement.where(Item.folded_name.contains(folded, autoescape=True))
    return _with_status(statement, query)


def _with_status(statement: Select[Any], query: ItemQuery) -> Select[Any]:
    labelled = select(Annotation.item_id).where(Annotation.kind.in_(("label", "box", "text")))
    if query.status == "unreadable":
        return statement.where(Item.kind.is_(None))
    if query.status == "labelled":
        return statement.where(Item.id.in_(labelled))
    if query.status == "unlabelled":
        return statement.where(Item.kind.is_not(None), Item.id.not_in(labelled))
    if query.status == "predicted":
        return statement.where(Item.id.in_(select(Prediction.item_id)))
    return statement


def ordered(statement: Select[Any], query: ItemQuery) -> Select[Any]:
    if query.order == "score":
        return statement.order_by(Item.top_score.asc().nulls_last(), Item.id)
    if query.order == "added":
        return statement.order_by(Item.id)
    return statement.order_by(Item.sort_key, Item.id)


def ids_statement(query: ItemQuery) -> Select[Any]:
    return ordered(filtered(select(Item.id), query), query)


class ItemStore:
    """The items of a project. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self, query: ItemQuery = ItemQuery()) -> list[int]:  # noqa: B008
        with self._database.reading() as connection:
            return list(connection.execute(ids_statement(query)).scalars())

    def count(self, query: ItemQuery = ItemQuery()) -> int:  # noqa: B008
        with self._database.reading() as connection:
            statement = filtered(select(func.count(Item.id)), query)
            return int(connection.execute(statement).scalar_one())

    def page(
        self,
        query: ItemQuery = ItemQuery(),  # noqa: B008
        *,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[ItemRecord]:
        with self._database.reading() as connection:
            if limit is None and not offset:
                rows = connection.execute(ordered(filtered(_whole_rows(), query), query)).all()
                return _to_records(rows, labels_of(connection, None))
            # Ids first: they come from an index alone, however far down the page is.
            statement = ids_statement(query).offset(offset)
            if limit is not None:
                statement = statement.limit(limit)
            return _records(connection, list(connection.execute(statement).scalars()))

    def by_ids(self, item_ids: Sequence[int]) -> list[ItemRecord]:
        """In the order of `item_ids`; `RecordNotFoundError` when one is not there."""
        with self._database.reading() as connection:
            return _records(connection, list(item_ids))

    def get(self, item_id: int) -> ItemRecord:
        return self.by_ids([item_id])[0]

    def refs(self, item_ids: Sequence[int] | None = None) -> list[ItemRef]:
        """What can be run over: the readable items (of `item_ids`, in their order)."""
        columns = (Item.id, Item.name, Item.path, Item.kind, Item.sha256, Item.files)
        with self._database.reading() as connection:
            if item_ids is None:
                readable = select(*columns).where(Item.kind.is_not(None))
                rows = connection.execute(ordered(readable, ItemQuery())).all()
                return [_ref(row) for row in rows]
            by_id = _by_id(connection, select(*columns), item_ids)
        return [_ref(by_id[i]) for i in item_ids if by_id[i].kind is not None]

    def id_of(self, name: str) -> int:
        """The item called `name`; `RecordNotFoundError` when there is none."""
        with self._database.reading() as connection:
            found = connection.execute(select(Item.id).where(Item.name == name)).scalar()
        if found is None:
            raise RecordNotFoundError(
                "no such item", path=name, remedy="List the items: vlmtool-cli show PROJECT"
            )
        return int(found)

    def ids_by_name(self) -> dict[str, int]:
        with self._database.reading() as connection:
            return {name: i for name, i in connection.execute(select(Item.name, Item.id))}

    def groups(self) -> list[str]:
        with self._database.reading() as connection:
            used = select(Item.group_id).where(Item.group_id.is_not(None))
            names = connection.execute(select(Group.name).where(Group.id.in_(used))).scalars()
            return sorted(names, key=sort_key)

    def kinds(self) -> dict[str, int]:
        """How many items of each kind there are; those that cannot be read are `unreadable`."""
        with self._database.reading() as connection:
            rows = connection.execute(select(Item.kind, func.count()).group_by(Item.kind))
            return {kind or "unreadable": count for kind, count in rows}

    def group_of(self) -> dict[int, str]:
        """Item id -> group, "" for items without one."""
        with self._database.reading() as connection:
            statement = select(Item.id, Group.name).outerjoin(Group, Group.id == Item.group_id)
            return {i: name or "" for i, name in connection.execute(statement)}

    def known(self) -> list[KnownItem]:
        """Everything taken in so far, as far as it is needed to recognise it."""
        columns = (Item.id, Item.name, Item.path, Item.sha256, Item.size_bytes, Item.modified_ns)
        more = (Item.kind, Group.name, Item.files)
        statement = select(*columns, *more).outerjoin(Group, Group.id == Item.group_id)
        with self._database.reading() as connection:
            rows = connection.execute(statement.order_by(Item.id))
            return [
                KnownItem(
                    r[0], r[1], r[2], r[3], (r[4], r[5]), r[6] is not None, r[7] or "", tuple(r[8])
                )
                for r in rows
            ]

    def add_many(self, items: Sequence[NewItem]) -> list[int]:
        """Take in `items` in one transaction; their names must be new."""
        with self._database.writing() as connection:
            return _insert_items(connection, items)

    def take_in(
        self,
        new: Sequence[NewItem],
        changed: Sequence[tuple[int, NewItem]],
        *,
        last_id: int,
    ) -> list[int] | None:
        """Add and overwrite items in one transaction; returns the ids of the new ones.

        None, and nothing written, when another program has added items after `last_id`: the
        caller must look again at what is known.
        """
        with self._database.writing() as connection:
            newest = connection.execute(select(func.max(Item.id))).scalar() or 0
            if newest > last_id:
                return None
            _update_items(connection, changed)
            return _insert_items(connection, new)

    def set_groups(self, groups: dict[int, str]) -> None:
        """Put items into groups; "" takes them out."""
        with self._database.writing() as connection:
            ids = _group_ids(connection, groups.values())
            rows = [{"key": i, "group": ids.get(name)} for i, name in groups.items()]
            if rows:
                statement = update(Item).where(Item.id == bindparam("key"))
                connection.execute(statement.values(group_id=bindparam("group")), rows)


def _insert_items(connection: Connection, items: Sequence[NewItem]) -> list[int]:
    if not items:
        return []
    groups = _group_ids(connection, (item.group for item in items))
    now = datetime.now(UTC)
    rows = [{**_row(item, groups), "added_at": now} for item in items]
    statement = insert(Item).returning(Item.id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())


def _update_items(connection: Connection, changed: Sequence[tuple[int, NewItem]]) -> None:
    if not changed:
        return
    groups = _group_ids(connection, (item.group for _, item in changed))
    rows = [{f"new_{k}": v for k, v in _row(item, groups).items()} for _, item in changed]
    values: dict[str, Any] = {name.removeprefix("new_"): bindparam(name) for name in rows[0]}
    statement = update(Item).where(Item.id == bindparam("key")).values(values)
    keyed = [{**row, "key": i} for row, (i, _) in zip(rows, changed, strict=True)]
    connection.execute(statement, keyed)


def _group_ids(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    wanted = {name for name in names if name}
    known = {name: i for name, i in connection.execute(select(Group.name, Group.id))}
    missing = sorted(wanted - known.keys())
    if missing:
        statement = insert(Group).returning(Group.id, sort_by_parameter_order=True)
        made = connection.execute(statement, [{"name": name} for name in missing]).scalars()
        known.update(zip(missing, made, strict=True))
    return known


def _row(item: NewItem, groups: dict[str, int]) -> dict[str, Any]:
    return {
        "name": item.name,
        "sort_key": sort_key(item.name),
        "folded_name": item.name.casefold(),
        "path": str(item.path),
        "files": [str(file) for file in item.files],
        "kind": None if item.kind is None else item.kind.value,
        "sha256": item.sha256,
        "group_id": groups.get(item.group),
        "size_bytes": item.stamp[0],
        "modified_ns": item.stamp[1],
        "width": item.width,
        "height": item.height,
        "frame_count": item.frame_count,
        "duration_s": item.duration_s,
        "error": None if item.error is None else error_to_json(item.error),
    }


def _ref(row: Row[Any]) -> ItemRef:
    files = tuple(Path(file) for file in row.files)
    return ItemRef(row.name, Path(row.path), MediaKind(row.kind), row.sha256, files, row.id)


def _by_id(
    connection: Connection, statement: Select[Any], ids: Sequence[int]
) -> dict[int, Row[Any]]:
    rows: dict[int, Row[Any]] = {}
    for part in chunks(ids):
        rows.update((row.id, row) for row in connection.execute(statement.where(Item.id.in_(part))))
    for item_id in ids:
        if item_id not in rows:
            raise RecordNotFoundError(
                f"no item number {item_id}", remedy="List the items: vlmtool-cli show PROJECT"
            )
    return rows


def _whole_rows() -> Select[Any]:
    columns = [c for c in Item.__table__.columns if c.name not in {"sort_key", "folded_name"}]
    statement = select(*columns, Group.name.label("group_name"))
    return statement.outerjoin(Group, Group.id == Item.group_id)


def _records(connection: Connection, ids: Sequence[int]) -> list[ItemRecord]:
    rows = _by_id(connection, _whole_rows(), ids)
    return _to_records([rows[i] for i in ids], labels_of(connection, ids))


def _to_records(rows: Sequence[Row[Any]], labels: dict[int, list[str]]) -> list[ItemRecord]:
    return [_record(row, tuple(labels.get(row.id, ()))) for row in rows]


def labels_of(connection: Connection, ids: Sequence[int] | None) -> dict[int, list[str]]:
    """Item id -> names of its labels (each once), in the order of the label set.

    ids : the items wanted, None for all of them
    """
    found: dict[int, list[str]] = {}
    statement = (
        select(Annotation.item_id, Label.name)
        .join(Label, Label.id == Annotation.label_id)
        .where(Annotation.kind == "label")
        .group_by(Annotation.item_id, Label.id)
        .order_by(Annotation.item_id, Label.position, Label.id)
    )
    statements = [statement]
    if ids is not None:
        statements = [statement.where(Annotation.item_id.in_(part)) for part in chunks(ids)]
    for wanted in statements:
        for item_id, name in connection.execute(wanted):
            found.setdefault(item_id, []).append(name)
    return found


def _record(row: Row[Any], labels: tuple[str, ...]) -> ItemRecord:
    return ItemRecord(
        id=row.id,
        name=row.name,
        path=Path(row.path),
        kind=None if row.kind is None else MediaKind(row.kind),
        sha256=row.sha256,
        group=row.group_name or "",
        width=row.width,
        height=row.height,
        frame_count=row.frame_count,
        duration_s=row.duration_s,
        error=None if row.error is None else error_from_json(row.error),
        labels=labels,
        top=None if row.top_label is None else Score(row.top_label, row.top_score),
        added_at=row.added_at,
        files=tuple(Path(file) for file in row.files),
    )

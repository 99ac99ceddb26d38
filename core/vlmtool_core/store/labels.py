"""The project's label set, and the labels that left it but are still used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from vlmtool_core.errors import UsageError
from vlmtool_core.records import Label, LabelSet
from vlmtool_core.store import tables
from vlmtool_core.store.database import Database
from vlmtool_core.store.settings_table import get_setting, put_setting

_HEAD = "label_set"


class LabelStore:
    """One label set for each project."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> LabelSet:
        with self._database.reading() as connection:
            return read_label_set(connection)

    def replace(self, label_set: LabelSet) -> None:
        """Make `label_set` the project's. Annotations keep labels that are no longer in it.

        Raises
        ------
        UsageError : a name is empty or there twice
        """
        with self._database.writing() as connection:
            head = {
                "name": label_set.name,
                "exclusive": label_set.exclusive,
                "domain": label_set.domain,
            }
            put_setting(connection, _HEAD, head)
            connection.execute(update(tables.Label).values(in_set=False))
            ids = ensure_labels(connection, [label.name for label in label_set.labels])
            _write(connection, [(ids[label.name], label) for label in label_set.labels])

    def ensure(self, names: Iterable[str]) -> None:
        """Add the labels that are not in the set yet, at its end."""
        with self._database.writing() as connection:
            ensure_labels(connection, list(dict.fromkeys(names)))


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not name.strip() or name != name.strip():
            raise UsageError(
                f"{name!r} is no name for a label", remedy="Give it a name without outer spaces."
            )
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"the label {twice!r} is there twice", remedy="Remove one of them.")


def read_label_set(connection: Connection) -> LabelSet:
    head = get_setting(connection, _HEAD, {})
    prompts: dict[int, list[str]] = {}
    prompt = tables.LabelPrompt
    for label_id, text in connection.execute(
        select(prompt.label_id, prompt.text).order_by(prompt.label_id, prompt.position)
    ):
        prompts.setdefault(label_id, []).append(text)
    table = tables.Label
    rows = connection.execute(
        select(table.__table__).where(table.in_set).order_by(table.position, table.id)
    )
    labels = tuple(
        Label(r.name, tuple(prompts.get(r.id, ())), r.definition, r.colour, r.shortcut)
        for r in rows
    )
    return LabelSet(
        head.get("name", ""), labels, head.get("exclusive", True), head.get("domain", "general")
    )


def is_exclusive(connection: Connection) -> bool:
    return bool(get_setting(connection, _HEAD, {}).get("exclusive", True))


def ensure_labels(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Name -> id of every label asked for; those that are not in the set join it at its end.

    Raises
    ------
    UsageError : a name is empty, has outer spaces, or is there twice
    """
    _check_names(names)
    table = tables.Label
    known = {
        name: (i, used)
        for name, i, used in connection.execute(select(table.name, table.id, table.in_set))
    }
    last = connection.execute(select(func.max(table.position))).scalar()
    position = -1 if last is None else int(last)
    ids: dict[str, int] = {}
    for name in names:
        found, in_set = known.get(name, (None, False))
        if not in_set:
            position += 1
        if found is None:
            found = _insert(connection, name, position)
        elif not in_set:
            values = {"in_set": True, "position": position}
            connection.execute(update(table).where(table.id == found).values(**values))
        ids[name] = found
    return ids


def _insert(connection: Connection, name: str, position: int) -> int:
    values: dict[str, Any] = {
        "name": name,
        "definition": "",
        "colour": "",
        "shortcut": "",
        "position": position,
        "in_set": True,
    }
    statement = insert(tables.Label).values(**values).returning(tables.Label.id)
    return int(connection.execute(statement).scalar_one())


def _write(connection: Connection, labels: Sequence[tuple[int, Label]]) -> None:
    table, prompt = tables.Label, tables.LabelPrompt
    if not labels:
        return
    statement = (
        update(table)
        .where(table.id == bindparam("key"))
        .values(
            definition=bindparam("new_definition"),
            colour=bindparam("new_colour"),
            shortcut=bindparam("new_shortcut"),
            position=bindparam("new_position"),
        )
    )
    rows = [
        {
            "key": i,
            "new_definition": label.definition,
            "new_colour": label.colour,
            "new_shortcut": label.shortcut,
            "new_position": position,
        }
        for position, (i, label) in enumerate(labels)
    ]
    connection.execute(statement, rows)
    connection.execute(delete(prompt).where(prompt.label_id.in_([i for i, _ in labels])))
    prompts = [
        {"label_id": i, "position": position, "text": text}
        for i, label in labels
        for position, text in enumerate(label.prompts)
    ]
    if prompts:
        connection.execute(insert(prompt), prompts)

"""One result as a JSON object: the row that JSONL files, the ledger and `--json` share."""

from __future__ import annotations

from collections.abc import Mapping

from vlmtool_core.errors import FormatError
from vlmtool_core.formats.fields import size_of
from vlmtool_core.json_codec import (
    integer,
    mapping,
    number,
    optional,
    outcome_from_json,
    outcome_to_json,
    required,
    text,
)
from vlmtool_core.records import Json, ModelIdentity, ResultRow, Task


def result_to_json(row: ResultRow) -> dict[str, Json]:
    """`item`, `sha256`, `frame`, `time_s`, `task`, `model`, `model_version`, `outcome`, the rest.

    Floats are exact. `model_fingerprint`, `size` ([width, height] in pixels) and `taken_at` (the
    time of day of a recording's frame) are there when they are known.
    """
    found: dict[str, Json] = {
        "item": row.item,
        "sha256": row.sha256,
        "frame": row.frame,
        "time_s": row.time_s,
        "task": row.task.value,
        "model": row.model.id,
        "model_version": row.model.version,
    }
    if row.model.fingerprint:
        found["model_fingerprint"] = row.model.fingerprint
    if row.size is not None:
        found["size"] = list(row.size)
    if row.taken_at:
        found["taken_at"] = row.taken_at
    return found | outcome_to_json(row.outcome)


def result_from_json(value: Mapping[str, Json]) -> ResultRow:
    """The result in an object; keys that are not known are left alone.

    Raises
    ------
    FormatError : a field is missing, of the wrong type or out of range
    """
    entry = mapping(value, "result")
    task = text(required(entry, "task"), "task")
    if task not in set(Task):
        raise FormatError(f"expected one of {', '.join(Task)}, got {task!r}", field="task")
    return ResultRow(
        item=text(required(entry, "item"), "item"),
        sha256=text(required(entry, "sha256"), "sha256"),
        frame=integer(required(entry, "frame"), "frame"),
        time_s=optional(entry.get("time_s"), "time_s", number),
        task=Task(task),
        model=ModelIdentity(
            text(required(entry, "model"), "model"),
            text(required(entry, "model_version"), "model_version"),
            text(entry.get("model_fingerprint", ""), "model_fingerprint"),
        ),
        outcome=outcome_from_json(entry),
        size=optional(entry.get("size"), "size", size_of),
        taken_at=text(entry.get("taken_at", ""), "taken_at"),
    )

"""The engine host's conversations: turns with pictures in, the answer out while it is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vlmtool_core.engine.texts.answers import AnswerShape
from vlmtool_core.errors import FormatError, UsageError
from vlmtool_core.host.call import Call
from vlmtool_core.json_codec import (
    integer,
    mapping,
    optional,
    outcome_to_json,
    required,
    sequence,
    text,
)
from vlmtool_core.records import ChatRole, ChatTurn, Frame, ItemRef, Json, Task

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine

_ROLES: dict[str, ChatRole] = {role: role for role in get_args(ChatRole)}


def chat(call: Call, engine: Engine) -> Json:
    """{model?, turns: [{role, text, items?}], answer?, max_tokens?} -> the outcome and its model.

    items : pictures that a user's turn shows: {path, frame?} or {project, item_id, frame?}
    answer : a form (`AnswerShape.to_json`)

    Pieces of the answer come as `text` of progress messages and join to the outcome's text. When
    the request is cancelled the outcome is `cancelled`, with what was said so far.

    Raises
    ------
    FormatError, UsageError, MediaError, MissingPackError, TaskNotServedError
    """
    from vlmtool_core.batch.talking import talk

    params = call.params
    model = optional(params.get("model"), "model", text)
    answer = None if params.get("answer") is None else AnswerShape.from_json(params["answer"])
    most = optional(params.get("max_tokens"), "max_tokens", integer)
    if most is not None and most < 1:
        raise FormatError(f"expected at least 1, got {most}", field="max_tokens")
    identity = engine.identity(Task.ASK, model)
    turns = [
        _turn(value, f"turns[{n}]", engine, model)
        for n, value in enumerate(sequence(required(params, "turns"), "turns", mapping))
    ]
    outcome = talk(engine, turns, model=model, answer=answer, max_tokens=most, on_text=call.stream)
    found = {"model": identity.id, "model_version": identity.version}
    return {**found, **outcome_to_json(outcome)}


def _turn(value: Json, where: str, engine: Engine, model: str | None) -> ChatTurn:
    role = text(required(value, "role", where), f"{where}.role")
    if role not in _ROLES:
        expected = ", ".join(_ROLES)
        raise FormatError(f"expected one of {expected}, got {role!r}", field=f"{where}.role")
    said = text(required(value, "text", where), f"{where}.text")
    items = sequence(value.get("items", ()), f"{where}.items", mapping)
    frames = tuple(
        _frame(item, f"{where}.items[{n}]", engine, model) for n, item in enumerate(items)
    )
    return ChatTurn(_ROLES[role], said, frames)


def _frame(value: Json, where: str, engine: Engine, model: str | None) -> Frame:
    from vlmtool_core.batch.talking import frame_of

    index = integer(value.get("frame", 0), f"{where}.frame")
    return frame_of(_item(value, where), index, engine, model)


def _item(value: Json, where: str) -> ItemRef:
    if value.get("project") is not None:
        from vlmtool_core.project import Project
        from vlmtool_core.project.running import items_to_run

        number = integer(required(value, "item_id", where), f"{where}.item_id")
        with Project.open(Path(text(value["project"], f"{where}.project"))) as project:
            return items_to_run(project, [number])[0]
    from vlmtool_core.batch.folder import items_of

    path = Path(text(required(value, "path", where), f"{where}.path"))
    items = items_of(path)
    if len(items) != 1:
        raise UsageError(
            f"holds {len(items)} items, not one picture or series",
            path=path,
            field=f"{where}.path",
            remedy="Name a file, or the folder of one DICOM series.",
        )
    return items[0]

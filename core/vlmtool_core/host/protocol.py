"""The messages between a program and its engine host: one JSON object a line, UTF-8.

Every message has `v` (protocol version), `id` (of the request it belongs to) and `type`:
`request` (with `kind` and `params`), `progress`, `result` or `error`. A request gets any
number of progress messages and then exactly one result or error. A request may have a `topic`:
a newer one on the same topic replaces it. `state` messages, without an id, say what the host is
busy with.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from vlmtool_core.errors import HostError
from vlmtool_core.jobs import Progress
from vlmtool_core.records import ErrorInfo, Json

VERSION = 1
MOST_BYTES = 64 * 1024 * 1024

MessageType = Literal["request", "progress", "result", "error", "state"]


@dataclass(frozen=True, slots=True)
class Message:
    """`body` is what the type carries: params, progress, result, error or state.

    id : None for a state, and for an error that belongs to no readable request
    kind : what a request asks for, "" for the other types
    topic : what a request is about, "" when none is ever replaced
    """

    type: MessageType
    id: int | None
    body: Json
    kind: str = ""
    topic: str = ""


_BODY: dict[MessageType, str] = {
    "request": "params",
    "progress": "progress",
    "result": "result",
    "error": "error",
    "state": "state",
}
_WITHOUT_ID = ("error", "state")


def encode(message: Message) -> bytes:
    """One line, newline included."""
    value: dict[str, Json] = {"v": VERSION, "id": message.id, "type": message.type}
    if message.type == "request":
        value["kind"] = message.kind
        if message.topic:
            value["topic"] = message.topic
    value[_BODY[message.type]] = message.body
    # ASCII keeps file names that are no valid UTF-8 (surrogates) intact on both sides.
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """Read one line.

    Raises
    ------
    HostError : no JSON object, another protocol version, or a field that is missing or wrong.
    """
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise HostError(f"not a JSON line: {error}", field="line") from error
    if not isinstance(value, dict):
        raise HostError("expected a JSON object", field="line")
    if value.get("v") != VERSION:
        raise HostError(f"expected protocol {VERSION}, got {value.get('v')!r}", field="v")
    type_: Any = value.get("type")
    number: Any = value.get("id")
    if type_ not in get_args(MessageType):
        raise HostError(f"unknown type {type_!r}", field="type")
    if not (isinstance(number, int) or (number is None and type_ in _WITHOUT_ID)):
        raise HostError(f"expected a whole number, got {number!r}", field="id")
    if type_ == "request" and not isinstance(value.get("kind"), str):
        raise HostError("a request needs a kind", field="kind")
    topic = value.get("topic", "")
    if not isinstance(topic, str):
        raise HostError(f"expected text, got {topic!r}", field="topic")
    body = value.get(_BODY[type_])
    if type_ != "result" and not isinstance(body, dict):
        raise HostError("expected an object", field=_BODY[type_])
    return Message(type_, number, body, value.get("kind", ""), topic)


def id_of(line: bytes) -> int | None:
    """The request's id, so that even a wrong request gets its own error."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number = value.get("id") if isinstance(value, dict) else None
    return number if isinstance(number, int) else None


def error_from_json(value: Json) -> ErrorInfo:
    texts = {key: str(value.get(key) or "") for key in ("code", "message", "remedy")}
    return ErrorInfo(**texts, path=value.get("path"), field=value.get("field"))


def progress_to_json(progress: Progress) -> dict[str, Json]:
    return asdict(progress)

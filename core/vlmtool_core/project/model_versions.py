"""Which model versions a project has, which one is active, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import GateRefusedError, RecordNotFoundError, UsageError
from vlmtool_core.records import Json, Task
from vlmtool_core.training.records import ModelVersion

if TYPE_CHECKING:
    from vlmtool_core.project.facade import Project
    from vlmtool_core.store.records import StoredVersion

ACTIVE = "active"
_STACK = "active_version_history"
_LIST = "List them: vlmtool-cli models history PROJECT"


@dataclass(frozen=True, slots=True)
class Activation:
    """A change of the active version. `version` is None for the plain pack.

    action : "activate", "force" or "rollback"
    """

    version: int | None
    at: datetime
    author: str
    action: str


def as_version(project: Project, stored: StoredVersion) -> ModelVersion:
    return ModelVersion(
        number=stored.number,
        title=stored.title,
        pack=stored.base_pack,
        pack_fingerprint=stored.base_fingerprint,
        method=stored.method,
        created_at=stored.created_at,
        active=stored.active,
        path=project.root / stored.path,
        metrics=dict(stored.data.get("metrics", {})),
    )


def versions(project: Project) -> list[ModelVersion]:
    """Every version of the project, oldest first."""
    return [as_version(project, stored) for stored in project.store.learning.versions()]


def active_version(project: Project, task: Task = Task.CLASSIFY) -> ModelVersion | None:
    """The version in use, None while it is the plain pack."""
    stored = project.store.learning.active_version(task)
    return as_version(project, stored) if stored else None


def version_number(name: str) -> int | None:
    """3 for "v3" or "V3", None for anything else."""
    digits = name[1:]
    return int(digits) if name[:1] in {"v", "V"} and digits.isdecimal() else None


def find_version(project: Project, name: str) -> ModelVersion | None:
    """The version that "v3" or "active" names; None for "active" while it is the plain pack.

    Raises
    ------
    RecordNotFoundError : no version of that number.
    UsageError : the name is that of no version.
    """
    if name == ACTIVE:
        return active_version(project)
    number = version_number(name)
    if number is None:
        raise UsageError(f"{name!r} is no model version", remedy=_LIST, field="version")
    return as_version(project, project.store.learning.version(number))


def resolve_model(project: Project, name: str | None) -> tuple[str | None, Path | None, str | None]:
    """What a model's name means in this project: (base pack, folder of the head, "v3").

    "v3" is that version and "active" the one in use. Anything else is a pack and has no head;
    a pack of None is the task's default.

    Raises
    ------
    RecordNotFoundError : no version of that number.
    """
    if name is None or (name != ACTIVE and version_number(name) is None):
        return name, None, None
    version = find_version(project, name)
    return (version.pack, version.path, version.label) if version else (None, None, None)


def use_version(project: Project, number: int, *, force: bool = False) -> ModelVersion:
    """Make a version the active one, after checking that its files are whole.

    Raises
    ------
    RecordNotFoundError : no version of that number.
    GateRefusedError : it was worse on the hold-out, and `force` is not set.
    PackIntegrityError : a file of it is missing or has changed.
    """
    from vlmtool_core.engine.heads import ProbeHead

    stored = project.store.learning.version(number)
    gate: Mapping[str, Json] = stored.data.get("gate", {})
    if not gate.get("passed", True) and not force:
        raise GateRefusedError(
            str(gate.get("reason", "")),
            remedy="Use --force if you accept the loss, or train with more labels.",
            field=f"v{number}",
        )
    version = as_version(project, stored)
    ProbeHead.load(version.path)
    activate(project, number, stored.task, "force" if force else "activate")
    return as_version(project, project.store.learning.version(number))


def rollback(project: Project, task: Task = Task.CLASSIFY) -> ModelVersion | None:
    """Go back to what was active before; None when that is the plain pack.

    Each call goes one step further back.

    Raises
    ------
    RecordNotFoundError : nothing was active before.
    """
    stack = _stack(project, task)
    if len(stack) < 2:
        raise RecordNotFoundError("there is no earlier version to go back to", remedy=_LIST)
    _set_active(project, stack[-2], task, "rollback")
    _keep(project, task, stack[:-1])
    return active_version(project, task)


def activate(project: Project, number: int, task: Task, action: str) -> None:
    """Make a version the active one and remember what was before."""
    stack = _stack(project, task)
    if stack[-1] == number:
        return
    _set_active(project, number, task, action)
    _keep(project, task, [*stack, number])


def _set_active(project: Project, number: int | None, task: Task, action: str) -> None:
    project.store.learning.set_active(number, task)
    entry = {"task": task.value, "version": number, "action": action}
    project.store.audit.append("model.active", entry)


def _stack(project: Project, task: Task) -> list[int | None]:
    """Versions in the order they became active, the last is active; None is the plain pack."""
    stacks = project.store.settings.get(_STACK, {})
    stack: list[int | None] = list(stacks.get(task.value, [None]))
    active = project.store.learning.active_version(task)
    number = active.number if active else None
    # A process killed between the two writes leaves them apart; what is active is right.
    return stack if stack[-1] == number else [*stack, number]


def _keep(project: Project, task: Task, stack: list[int | None]) -> None:
    stacks = dict(project.store.settings.get(_STACK, {}))
    project.store.settings.put(_STACK, {**stacks, task.value: stack})


def history(project: Project) -> list[Activation]:
    """Every change of the active version, oldest first."""
    return [
        Activation(e.data["version"], e.at, e.author, str(e.data["action"]))
        for e in project.store.audit.entries()
        if e.kind == "model.active"
    ]

"""From the text that a user types to an executor."""

from __future__ import annotations

from importlib.util import find_spec

from vlmtool_core.batch.executors.base import Executor
from vlmtool_core.batch.executors.local import LocalExecutor
from vlmtool_core.errors import MissingDependencyError, UsageError

FORMS = "local | processes[:N] | ray[:ADDRESS]"


def executor_for(text: str) -> Executor:
    """The executor of that name.

    local : this process
    processes, processes:N : N worker processes of this machine (one for each GPU, else one for
        every four cores, at least two)
    ray, ray:auto, ray:HOST:PORT : Ray started on this machine, the cluster that this machine
        belongs to, or the one at that address

    Raises
    ------
    UsageError : no such executor. MissingDependencyError : Ray is not installed.
    """
    name, colon, detail = text.strip().partition(":")
    if colon and not detail:
        raise _nonsense(text)
    if name == "local" and not detail:
        return LocalExecutor()
    if name == "processes":
        from vlmtool_core.batch.executors.processes import ProcessesExecutor

        return ProcessesExecutor(_number(text, detail) if detail else None)
    if name == "ray":
        return _ray(detail)
    raise _nonsense(text)


def _number(text: str, detail: str) -> int:
    if not (detail.isascii() and detail.isdecimal() and 1 <= int(detail) <= 1024):
        raise _nonsense(text)
    return int(detail)


def _ray(address: str) -> Executor:
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise MissingDependencyError(
            "Ray is not installed",
            field="--executor",
            remedy='Install it: pip install "vlmtool[ray]"',
        )
    from vlmtool_core.batch.executors.ray_data import RayExecutor

    return RayExecutor(address or None)


def _nonsense(text: str) -> UsageError:
    return UsageError(
        f"no executor {text!r}", field="--executor", remedy=f"Use one of: {FORMS}, N from 1 to 1024"
    )

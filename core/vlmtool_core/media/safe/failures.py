"""Errors on their way from a worker to the program, with all their fields."""

from __future__ import annotations

import logging
from pathlib import Path

from vlmtool_core import errors
from vlmtool_core.errors import BudgetExceededError, DamagedMediaError, VlmtoolError
from vlmtool_core.records import Json

_BUILT_IN = (IndexError, ValueError, TypeError, OverflowError)

log = logging.getLogger(__name__)


def to_json(error: BaseException) -> Json:
    """What `from_json` makes the same error of; an unknown one becomes text."""
    if isinstance(error, VlmtoolError):
        return {
            "class": type(error).__name__,
            "message": error.message,
            "remedy": error.remedy,
            "path": error.path,
            "field": error.field,
        }
    for kind in _BUILT_IN:
        if isinstance(error, kind):
            return {"class": kind.__name__, "message": str(error)}
    return {"class": "", "message": f"{type(error).__name__}: {error}"}


def from_json(value: Json, path: Path) -> Exception:
    """The error that a worker met with the file at `path`."""
    name, message = str(value.get("class")), str(value.get("message"))
    for built_in in _BUILT_IN:
        if name == built_in.__name__:
            return built_in(message)
    kind = getattr(errors, name, None) if name else None
    if isinstance(kind, type) and issubclass(kind, VlmtoolError):
        remedy, field = (_text_or_none(value.get(key)) for key in ("remedy", "field"))
        place = _text_or_none(value.get("path")) or path
        return kind(message, remedy=remedy, path=place, field=field)
    log.error("%s: its decoder failed in an unexpected way: %s", path, message)
    return DamagedMediaError(f"cannot be decoded: {message}", path=path)


def _text_or_none(value: Json) -> str | None:
    return None if value is None else str(value)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether a `MemoryError` is what this error comes from."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def over_memory(path: Path, limit_mb: int) -> BudgetExceededError:
    return BudgetExceededError(
        f"decoding it takes more memory than the limit decode_memory_mb of {limit_mb} MB",
        path=path,
        field="decode_memory_mb",
    )


def over_time(path: Path, limit_s: float) -> BudgetExceededError:
    return BudgetExceededError(
        f"its decoder gave no answer in {limit_s:.0f} s and was stopped",
        path=path,
        field="decode_seconds",
        remedy="Raise decode_seconds in the settings, if you trust the file.",
    )


def crashed(path: Path, how: str) -> DamagedMediaError:
    return DamagedMediaError(
        f"its decoder {how}",
        path=path,
        remedy="Check the file in the program that made it; nothing else was affected.",
    )

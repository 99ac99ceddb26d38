"""Lets a long inference stop in the middle: who started it says when, the family asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from vlmtool_core.jobs import CancelToken

_current: ContextVar[CancelToken | None] = ContextVar("cancel", default=None)


@contextmanager
def stoppable(cancel: CancelToken) -> Iterator[None]:
    """Inference of this thread inside the block stops when `cancel` is set."""
    token = _current.set(cancel)
    try:
        yield
    finally:
        _current.reset(token)


def stopped() -> bool:
    """Whether the inference of this thread was asked to stop; asked between two tokens, layers
    or frames, wherever a family can leave off."""
    cancel = _current.get()
    return cancel is not None and cancel.cancelled


def check_stopped() -> None:
    """Raise `CancelledError` if the inference of this thread was asked to stop."""
    cancel = _current.get()
    if cancel is not None:
        cancel.check()

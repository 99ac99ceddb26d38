"""Batches that survive: a frame that breaks one fails alone, and memory that ran out is named."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from vlmtool_core.engine.pictures.preprocessing import check_frame
from vlmtool_core.errors import (
    CancelledError,
    EngineMemoryError,
    InferenceError,
    NotEnoughMemoryError,
    PackIntegrityError,
    TaskNotServedError,
    UsageError,
    VlmtoolError,
)
from vlmtool_core.records import Frame, Outcome

# What concerns every frame of a batch alike.
_CONCERN_ALL = (
    CancelledError,
    NotEnoughMemoryError,
    PackIntegrityError,
    TaskNotServedError,
    UsageError,
)

# What torch, onnxruntime and the system say.
_NO_MEMORY = ("can't allocate memory", "Failed to allocate memory", "Cannot allocate memory")

log = logging.getLogger(__name__)


def problem_of(frame: Frame) -> Outcome | None:
    """The failure of a frame that no model can take, None when it is sound."""
    try:
        check_frame(frame)
    except InferenceError as error:
        return Outcome.failed(error)
    return None


def guarded(
    call: Callable[[Sequence[Frame]], list[Outcome]], frames: Sequence[Frame]
) -> list[Outcome]:
    """Run a batch; if it fails, run its frames alone, so that only the broken one fails."""
    try:
        return call(frames)
    except _CONCERN_ALL:
        raise
    except VlmtoolError as error:
        if error.exit_code == 3:
            raise
        failure: Exception = error
    except Exception as error:
        log.exception("a batch of %d frames failed", len(frames))
        failure = as_engine_error(error)
    if len(frames) == 1:
        return [Outcome.failed(failure)]
    if isinstance(failure, EngineMemoryError):
        raise failure
    return [guarded(call, [frame])[0] for frame in frames]


@contextmanager
def loading(pack_id: str) -> Iterator[None]:
    """Memory that runs out inside the block is told as that of the model that is loaded.

    Raises
    ------
    NotEnoughMemoryError
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not isinstance(as_engine_error(error), EngineMemoryError):
            raise
        log.warning("memory ran out while %s was loaded", pack_id, exc_info=True)
        message = f"memory ran out while {pack_id} was loaded"
        raise NotEnoughMemoryError(message, field="model") from error


def as_engine_error(error: Exception) -> VlmtoolError:
    """What a library raised, as an error of ours: memory that ran out, or a broken inference."""
    import torch

    text = str(error)
    exhausted = isinstance(error, torch.OutOfMemoryError | MemoryError)
    if exhausted or any(words in text for words in _NO_MEMORY):
        return EngineMemoryError("memory ran out during inference")
    return InferenceError(f"the model failed: {type(error).__name__}: {text[:300]}")

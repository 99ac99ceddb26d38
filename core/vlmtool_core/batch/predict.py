"""Frames in, outcomes out: one batch through the engine, smaller ones when memory runs out."""

from __future__ import annotations

import functools
import gc
import logging
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.batch.decode import Decoded, KnownFrame
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.batch.turns import Rank, turns_of
from vlmtool_core.engine.family import DECODE_SIDE
from vlmtool_core.engine.pictures.seen import PICTURE
from vlmtool_core.errors import (
    CancelledError,
    EngineMemoryError,
    InferenceError,
    MissingError,
    NotEnoughMemoryError,
    PackError,
    TaskNotServedError,
    UsageError,
)
from vlmtool_core.records import Frame, ModelIdentity, Outcome, OutcomeStatus, Task

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine
    from vlmtool_core.engine.heads import ProbeHead
    from vlmtool_core.engine.pictures.image_input import ImageInput

# Tasks whose engines spend seconds on a frame: a smaller batch is cancelled sooner.
MOST_FRAMES = {Task.CAPTION: 4, Task.ASK: 4, Task.READ: 4, Task.DETECT: 8}

# These concern every frame alike, so they end the run instead of filling a table with failures.
_FATAL = (
    CancelledError,
    MissingError,
    NotEnoughMemoryError,
    PackError,
    TaskNotServedError,
    UsageError,
)

log = logging.getLogger(__name__)


class Predictor:
    """Runs one spec on one engine. Batches are halved for good when memory runs out.

    rank : who goes first where several wait for the engine
    batch_size : frames at a time; 0 for as many as the engine finds best
    """

    def __init__(
        self, engine: Engine, spec: RunSpec, *, batch_size: int = 16, rank: Rank = Rank.RUN
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._rank = rank
        self._head = load_head(spec.head)
        self._batch_size = batch_size
        self._finds = False

    def identity(self) -> ModelIdentity:
        """Which model speaks; a trained head is named after the pack's version ("1.0+v3").

        Raises
        ------
        MissingPackError, TaskNotServedError
        """
        spec = self._spec
        model = self._engine.identity(spec.task, model=spec.model, head=self._head)
        if self._head is None or spec.head_version is None:
            return model
        return replace(model, version=f"{model.version}+{spec.head_version}")

    @property
    def batch_size(self) -> int:
        """Frames at a time. Where the engine must find the number, it loads the model.

        Raises
        ------
        MissingPackError, TaskNotServedError, NotEnoughMemoryError
        """
        if not self._batch_size:
            task, model = self._spec.task, self._pack
            self._batch_size = self._engine.batch_size(task, self._spec.labels, model=model)
            self._finds = True
        return max(1, min(self._batch_size, MOST_FRAMES.get(self._spec.task, self._batch_size)))

    @property
    def _pack(self) -> str | None:
        return self._spec.model or (self._head.pack if self._head else None)

    def decode_side(self) -> int:
        """Longer side in pixels at which the model wants its pictures; loads the model."""
        return self._wanted[0]

    def known(self, sha256: str, frame: int) -> KnownFrame | None:  # noqa: ARG002
        """What is known of a frame of this content; nothing, unless embeddings are all it takes."""
        return None

    def look_up(self, contents: Iterable[str]) -> None:
        """Find what is known of the items with these hashes, before they are decoded."""

    def image_input(self) -> ImageInput | None:
        """How pictures become the network's input; loads the model."""
        return self._wanted[1]

    @functools.cached_property
    def _wanted(self) -> tuple[int, ImageInput | None]:
        task = self._spec.task
        model = self._pack
        try:
            side = self._engine.decode_side(task, model)
            return side, self._engine.image_input(task, model)
        except Exception:
            # The run meets the same error when it asks the model, and reports it there.
            log.info("the size to decode at is not known", exc_info=True)
            return DECODE_SIDE[task], None

    def __call__(self, frames: Sequence[Frame]) -> list[Outcome]:
        """One outcome per frame, in order; a frame that fails disturbs no other.

        Raises
        ------
        MissingError, PackError, TaskNotServedError, UsageError : no frame could ever succeed.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(frames):
            rest = frames[len(outcomes) :]
            done = self._some(rest[: self.batch_size])
            outcomes += [with_picture(*pair) for pair in zip(done, rest, strict=False)]
        return outcomes

    def outcomes(self, decoded: Sequence[Decoded]) -> list[Outcome]:
        """One outcome per frame; what could not be decoded has failed with its reason."""
        results = iter(self([item.frame for item in decoded if item.frame is not None]))
        return [
            Outcome(OutcomeStatus.FAILED, error=item.error) if item.frame is None else next(results)
            for item in decoded
        ]

    def _some(self, frames: Sequence[Frame]) -> list[Outcome]:
        """Outcomes of the batch; of none of it when it did not fit and a smaller one may."""
        try:
            outcomes = self._call(frames)
        except _FATAL:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                log.exception("the model failed on a batch of %d frames", len(frames))
                return self._one_by_one(frames, error)
            outcomes = [_out_of_memory(error)] * len(frames)
        if len(frames) > 1 and any(map(_ran_out_of_memory, outcomes)):
            self._batch_size = max(1, len(frames) // 2)
            if self._finds:
                self._engine.smaller_batches(self._spec.task, self.batch_size, model=self._pack)
            log.warning("out of memory: going on with batches of %d", self.batch_size)
            free_memory()
            return []
        return [checked(outcome) for outcome in outcomes]

    def _one_by_one(self, frames: Sequence[Frame], error: Exception) -> list[Outcome]:
        """Find the frame that breaks a batch, so that the others keep their outcomes."""
        if len(frames) == 1:
            return [Outcome.failed(error)]
        return [outcome for frame in frames for outcome in self._some([frame])]

    def _call(self, frames: Sequence[Frame]) -> list[Outcome]:
        with turns_of(self._engine).take(self._rank):
            outcomes = _dispatch(self._engine, self._spec, self._head, frames)
        if len(outcomes) != len(frames):
            raise InferenceError(f"the model answered {len(outcomes)} of {len(frames)} frames")
        return outcomes


def _dispatch(
    engine: Engine, spec: RunSpec, head: ProbeHead | None, frames: Sequence[Frame]
) -> list[Outcome]:
    labels = spec.labels or None
    if spec.task is Task.CLASSIFY:
        return engine.classify(
            frames,
            labels,
            exclusive=spec.exclusive,
            model=spec.model,
            head=head,
            threshold=spec.threshold,
        )
    if spec.task is Task.DETECT:
        return engine.detect(frames, labels, threshold=spec.threshold, model=spec.model)
    if spec.task is Task.CAPTION:
        return engine.caption(frames, prompt=spec.prompt, model=spec.model)
    if spec.task is Task.ASK:
        return engine.ask(frames, spec.question or "", model=spec.model, answer=spec.answer)
    if spec.task is Task.READ:
        return engine.read(frames, prompt=spec.prompt, model=spec.model)
    return engine.embed(frames, model=spec.model)


def load_head(folder: Path | None) -> ProbeHead | None:
    if folder is None:
        return None
    from vlmtool_core.engine.heads import ProbeHead

    return ProbeHead.load(folder)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the machine or of its accelerator ran out."""
    if isinstance(error, MemoryError | EngineMemoryError):
        return True
    text = str(error).lower()
    # torch's own error for it is a RuntimeError too.
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
    )


def free_memory() -> None:
    """Give back what the accelerator's allocator holds."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def checked(outcome: Outcome) -> Outcome:
    """The outcome, or a failure when a score of it is no finite number."""
    scores = [score.score for score in outcome.scores]
    scores += [box.score for box in outcome.boxes if box.score is not None]
    if all(map(math.isfinite, scores)):
        return outcome
    return Outcome.failed(InferenceError("the model gave a score that is no number"))


def with_picture(outcome: Outcome, frame: Frame) -> Outcome:
    """The outcome with how its picture came to be (decoder, window, scaling) beside the model's
    own preprocessing, so that what the model saw can be shown again.
    """
    return replace(outcome, provenance={**outcome.provenance, PICTURE: dict(frame.provenance)})


def _out_of_memory(error: BaseException) -> Outcome:
    if isinstance(error, EngineMemoryError):
        return Outcome.failed(error)
    return Outcome.failed(EngineMemoryError(f"memory ran out: {error}"))


def _ran_out_of_memory(outcome: Outcome) -> bool:
    return outcome.error is not None and outcome.error.code == EngineMemoryError.code

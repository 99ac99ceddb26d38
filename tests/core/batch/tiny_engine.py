"""A deterministic engine for tests of the batch machinery, where the model is not the point."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vlmtool_core.errors import UsageError
from vlmtool_core.records import (
    Box,
    Frame,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    Score,
)

IDENTITY = ModelIdentity("tiny", "1", "f" * 64)


class TinyEngine:
    """Scores are the mean colour; `hook` sees each batch first and may raise or wait.

    work : rounds of hashing per frame, to make a frame take time
    fits : frames that fit into memory
    side : longer side in pixels at which it wants its pictures
    """

    def __init__(
        self,
        *,
        hook: Callable[[Sequence[Frame]], None] | None = None,
        work: int = 0,
        fits: int = 10**9,
        side: int = 640,
    ) -> None:
        self.hook = hook
        self.work = work
        self.fits = fits
        self.side = side
        self.batches: list[int] = []

    def identity(self, task: Any, model: Any = None, head: Any = None) -> ModelIdentity:
        return IDENTITY

    def embedding_size(self, model: Any = None) -> int:
        return 3

    def decode_side(self, task: Any, model: Any = None) -> int:
        return self.side

    def check_head(self, head: Any, model: Any = None) -> None:
        if head.pack_fingerprint != IDENTITY.fingerprint:
            raise UsageError("the trained head belongs to another model", field="head")

    def classify(self, frames: Sequence[Frame], labels: Any = None, **_: Any) -> list[Outcome]:
        self._begin(frames)
        return [self._scores(frame, labels) for frame in frames]

    def detect(self, frames: Sequence[Frame], labels: Any = None, **_: Any) -> list[Outcome]:
        self._begin(frames)
        return [_whole_frame(frame) for frame in frames]

    def batch_size(self, task: Any, labels: Any = (), *, model: Any = None) -> int:
        return 16

    def smaller_batches(self, task: Any, size: int, *, model: Any = None) -> None: ...

    def rescores(self, model: Any) -> bool:
        return False

    def image_input(self, task: Any, model: Any = None) -> None:
        return None

    def embed(self, frames: Sequence[Frame], **_: Any) -> list[Outcome]:
        self._begin(frames)
        return [Outcome(OutcomeStatus.OK, embedding=_vector(frame)) for frame in frames]

    def _begin(self, frames: Sequence[Frame]) -> None:
        if self.hook is not None:
            self.hook(frames)
        if len(frames) > self.fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.batches.append(len(frames))

    def _scores(self, frame: Frame, labels: Any) -> Outcome:
        data = frame.pixels.tobytes()
        for _ in range(self.work):
            data = hashlib.sha256(data).digest()
        names = [label.name for label in labels] if labels else ["red", "green", "blue"]
        mean = frame.pixels.reshape(-1, 3).mean(axis=0, dtype=np.float64) / 255
        scores = tuple(Score(n, float(v)) for n, v in zip(names, mean, strict=False))
        return Outcome(OutcomeStatus.OK, scores, provenance=dict(frame.provenance))


def _whole_frame(frame: Frame) -> Outcome:
    if frame.pixels.max() == 0:
        return Outcome(OutcomeStatus.EMPTY)
    width, height = frame.size
    return Outcome(OutcomeStatus.OK, boxes=(Box(0, 0, width, height, "frame", 0.5),))


def _vector(frame: Frame) -> np.ndarray:
    vector = frame.pixels.reshape(-1, 3).mean(axis=0).astype(np.float32)
    vector[2] = 100
    return vector / np.linalg.norm(vector)

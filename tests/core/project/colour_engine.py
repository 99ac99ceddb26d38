"""A deterministic engine over colours, for tests of learning where the model is not the point.

Features are the colours of a 2 x 2 grid; untrained it knows nothing but the first label.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from vlmtool_core.records import Frame, Label, ModelIdentity, Outcome, OutcomeStatus, Score

PACK = "colours"
FINGERPRINT = "c" * 64
COLOURS = {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}


class ColourEngine:
    """`embedded` counts the frames that were really computed."""

    def __init__(self) -> None:
        self.embedded = 0
        self.store = SimpleNamespace(pack=lambda _id: SimpleNamespace(fingerprint=FINGERPRINT))

    def identity(self, task: Any, model: Any = None, head: Any = None) -> ModelIdentity:
        return ModelIdentity(PACK, "1", FINGERPRINT)

    def embedding_size(self, model: Any = None) -> int:
        return 12

    def decode_side(self, task: Any, model: Any = None) -> int:
        return 640

    def batch_size(self, task: Any, labels: Any = (), *, model: Any = None) -> int:
        return 16

    def smaller_batches(self, task: Any, size: int, *, model: Any = None) -> None: ...

    def rescores(self, model: Any) -> bool:
        return False

    def image_input(self, task: Any, model: Any = None) -> None:
        return None

    def embed(self, frames: Sequence[Frame], **_: Any) -> list[Outcome]:
        self.embedded += len(frames)
        return [Outcome(OutcomeStatus.OK, embedding=_vector(frame)) for frame in frames]

    def classify(self, frames: Sequence[Frame], labels: Any = None, **_: Any) -> list[Outcome]:
        scores = tuple(Score(x.name, 0.6 if i == 0 else 0.1) for i, x in enumerate(labels))
        return [Outcome(OutcomeStatus.OK, scores) for _ in frames]

    def text_weights(self, labels: Sequence[Label], **_: Any) -> np.ndarray:
        rows = [np.tile(COLOURS.get(label.name, (120, 120, 120)), 4) for label in labels]
        weights = np.array(rows, np.float32)
        return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def _vector(frame: Frame) -> np.ndarray:
    height, width = frame.pixels.shape[0] // 2, frame.pixels.shape[1] // 2
    corners = frame.pixels[: 2 * height, : 2 * width].reshape(2, height, 2, width, 3)
    vector = corners.mean(axis=(1, 3)).ravel().astype(np.float32)
    return vector / np.linalg.norm(vector)


def draw(folder: Path, counts: dict[str, int], *, noise: float = 50, seed: int = 0) -> list[str]:
    """`red-0.png`, ...: noisy pictures of a colour; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    names = []
    for colour, count in counts.items():
        for number in range(count):
            grid = np.array(COLOURS[colour]) + generator.normal(0, noise, (2, 2, 3))
            pixels = np.clip(grid, 0, 255).astype(np.uint8).repeat(8, 0).repeat(8, 1)
            names.append(f"{colour}-{number}.png")
            Image.fromarray(pixels).save(folder / names[-1])
    return names

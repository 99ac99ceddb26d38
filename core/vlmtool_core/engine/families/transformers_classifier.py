"""Image classifiers of transformers (ViT, ConvNeXt, ResNet, ...): own classes and features."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from vlmtool_core.engine.families.transformers_base import TransformersFamily, pooled
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import embedding_outcome, ranked_outcome
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Label, Outcome, Task


@register_family("transformers-classifier")
class TransformersClassifier(TransformersFamily):
    """A classifier over the classes it was trained on; it cannot take other labels."""

    tasks = (Task.CLASSIFY, Task.EMBED)
    architectures = ("ForImageClassification",)
    auto_class = "AutoModelForImageClassification"

    def classify(
        self, frames: Sequence[Frame], labels: Sequence[Label] | None, *, exclusive: bool
    ) -> list[Outcome]:
        names = [str(self._model.config.id2label[n]) for n in range(self._model.config.num_labels)]
        columns = list(range(len(names))) if labels is None else self._columns(names, labels)
        with torch.inference_mode():
            logits = self._model(pixel_values=self._pixels(frames)).logits.float()[:, columns]
        scores = logits.softmax(dim=1) if exclusive else logits.sigmoid()
        chosen = [names[n] for n in columns]
        return [ranked_outcome(chosen, row, self._provenance()) for row in scores.cpu().numpy()]

    def _columns(self, names: Sequence[str], labels: Sequence[Label]) -> list[int]:
        unknown = [label.name for label in labels if label.name not in names]
        if unknown:
            raise UsageError(
                f"{self.pack.id} knows only its own {len(names)} classes, not {unknown[0]!r}",
                field="labels",
                remedy="Leave the labels out, or choose a model that takes any labels.",
            )
        return [names.index(label.name) for label in labels]

    def embed(self, frames: Sequence[Frame]) -> list[Outcome]:
        rows = self._features(self._pixels(frames))
        return [embedding_outcome(row, self._provenance()) for row in rows]

    @functools.cached_property
    def embedding_size(self) -> int:
        sample = Frame(np.zeros((32, 32, 3), np.uint8))
        return int(self._features(self._pixels([sample])).shape[1])

    @torch.inference_mode()
    def _features(self, pixels: torch.Tensor) -> np.ndarray:
        features = pooled(self._model.base_model(pixel_values=pixels)).float()
        return torch.nn.functional.normalize(features, dim=1).cpu().numpy()

"""Contrastive models of transformers (CLIP, SigLIP, ...): any labels, and features beside texts."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from vlmtool_core.engine.families.transformers_base import TransformersFamily, pooled
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.label_sets import softmax_by_set
from vlmtool_core.engine.packs import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import embedding_outcome, ranked_outcome
from vlmtool_core.engine.text_space import cached_texts, label_embeddings, normalise
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Label, Outcome, Task

_BATCH = 64
# SigLIP was trained on texts padded to this length and needs it (its tokenizer does not say so).
_SIGLIP_TOKENS = 64
# What a label on its own is weighed against where the model has no bias of its own.
_ANYTHING = ("a photo", "a picture of something else")


@register_family("transformers-zero-shot")
class TransformersZeroShot(TransformersFamily):
    """Pictures and texts in one space."""

    tasks = (Task.CLASSIFY, Task.EMBED)
    architectures = ("CLIPModel", "SiglipModel", "AlignModel")
    auto_class = "AutoModelForZeroShotImageClassification"

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._tokenizer = self._load("AutoTokenizer")
        self._has_bias = hasattr(self._model, "logit_bias")

    def classify(
        self, frames: Sequence[Frame], labels: Sequence[Label] | None, *, exclusive: bool
    ) -> list[Outcome]:
        if not labels:
            raise UsageError(
                f"{self.pack.id} has no classes of its own", field="labels", remedy="Give labels."
            )
        logits = self._logits(frames, label_embeddings(self, labels, any_language=True))
        if exclusive:
            rows = softmax_by_set(logits.cpu().numpy(), labels)
        elif self._has_bias:
            rows = logits.sigmoid().cpu().numpy()
        else:
            other = self._logits(frames, cached_texts(self, _ANYTHING)).logsumexp(1, keepdim=True)
            rows = (logits - other).sigmoid().cpu().numpy()
        names = [label.name for label in labels]
        return [ranked_outcome(names, row, self._provenance()) for row in rows]

    def embed(self, frames: Sequence[Frame]) -> list[Outcome]:
        rows = self._pictures(frames).cpu().numpy()
        return [embedding_outcome(row, self._provenance()) for row in rows]

    @functools.cached_property
    def embedding_size(self) -> int:
        return int(self.encode_texts(["a"]).shape[1])

    def text_weights(self, labels: Sequence[Label]) -> np.ndarray:
        return normalise(label_embeddings(self, labels, any_language=True))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        siglip = self._model.config.model_type.startswith("siglip")
        length = (
            _SIGLIP_TOKENS if siglip else self._model.config.text_config.max_position_embeddings
        )
        rows = []
        for start in range(0, len(texts), _BATCH):
            inputs = self._tokenizer(
                list(texts[start : start + _BATCH]),
                padding="max_length" if siglip else True,
                truncation=True,
                max_length=length,
                return_tensors="pt",
            ).to(self.device)
            features = pooled(self._model.get_text_features(**inputs)).float()
            rows.append(torch.nn.functional.normalize(features, dim=1).cpu().numpy())
        return np.concatenate(rows).astype(np.float32)

    @torch.inference_mode()
    def _pictures(self, frames: Sequence[Frame]) -> torch.Tensor:
        features = pooled(self._model.get_image_features(pixel_values=self._pixels(frames)))
        return torch.nn.functional.normalize(features.float(), dim=1)

    @torch.inference_mode()
    def _logits(self, frames: Sequence[Frame], texts: np.ndarray) -> torch.Tensor:
        similarity = self._pictures(frames) @ torch.from_numpy(texts).to(self.device).T
        scale: torch.Tensor = self._model.logit_scale
        logits = similarity * scale.exp()
        return logits + self._model.logit_bias if self._has_bias else logits

"""What contrastive models share: pictures and texts in one space, labels scored by closeness."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from vlmtool_core.engine.families.parts.transformers_base import TransformersFamily, pooled
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.results import embedding_outcome, ranked_outcome
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.engine.texts.label_sets import softmax_by_set
from vlmtool_core.engine.texts.text_space import (
    TEMPLATES,
    cached_texts,
    label_embeddings,
    label_texts,
    normalise,
)
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Json, Label, Outcome, Task

log = logging.getLogger(__name__)

_BATCH = 64
_NAMED, _NAME_LENGTH = 5, 60  # of labels that were cut, in provenance


@dataclass(frozen=True, slots=True)
class _Labels:
    """rows : float32 (k, d) of k labels; cut : what provenance says of those that are too long"""

    labels: tuple[Label, ...]
    rows: np.ndarray
    cut: dict[str, Json]


class ContrastiveFamily(TransformersFamily):
    """A dual encoder. Texts are encoded once per label set and kept.

    templates : sentences that a label's name is put into, in the language of the text encoder
    anything : what a label on its own is weighed against where the model was trained to choose
        among texts and has no bias of its own
    padding : how the tokenizer fills texts up: True for the longest one, or "max_length"
    most_tokens : texts are cut at this length where it is less than what the model takes
    """

    tasks = (Task.CLASSIFY, Task.EMBED)
    rescores = True
    backends = ("torch", "openvino")
    auto_class = "AutoModelForZeroShotImageClassification"
    made_while_decoding = (Task.CLASSIFY, Task.EMBED)
    templates: ClassVar[tuple[str, ...]] = TEMPLATES
    anything: ClassVar[tuple[str, ...]] = ("a photo", "a picture of something else")
    padding: ClassVar[bool | str] = True
    most_tokens: ClassVar[int] = 10_000

    @classmethod
    def serves(cls, folder: ModelFolder) -> bool:
        closed = any("ForImageClassification" in name for name in folder.architectures)
        return folder.model_type in cls.model_types and not closed

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._tokenizer = self._load("AutoTokenizer")
        # A label that reads like a control token ("</s>") is a text like any other.
        self._tokenizer.split_special_tokens = True
        self._accelerate("vision_model")
        self._kept = _Labels((), np.empty((0, 0), np.float32), {})

    def decode_side(self, task: Task) -> int:
        return self._decode_side(task)

    def classify(
        self, frames: Sequence[Frame], labels: Sequence[Label] | None, *, exclusive: bool
    ) -> list[Outcome]:
        if not labels:
            raise UsageError(
                f"{self.pack.id} has no classes of its own", field="labels", remedy="Give labels."
            )
        return self.classify_embedded(
            self._pictures(frames).cpu().numpy(), labels, exclusive=exclusive
        )

    def classify_embedded(
        self, embeddings: np.ndarray, labels: Sequence[Label], *, exclusive: bool
    ) -> list[Outcome]:
        rows = self.label_scores(embeddings, labels, exclusive=exclusive)
        names = [label.name for label in labels]
        provenance = {**self._provenance(), **self._prepared(labels).cut}
        return [ranked_outcome(names, row, provenance) for row in rows]

    def label_scores(
        self, embeddings: np.ndarray, labels: Sequence[Label], *, exclusive: bool
    ) -> np.ndarray:
        pictures = torch.from_numpy(embeddings).to(self.device)
        logits = self._logits(pictures, self._label_rows(labels))
        if exclusive:
            return softmax_by_set(logits.cpu().numpy(), labels)
        return self._independent(pictures, logits).cpu().numpy()

    def embed(self, frames: Sequence[Frame]) -> list[Outcome]:
        rows = self._pictures(frames).cpu().numpy()
        return [embedding_outcome(row, self._provenance()) for row in rows]

    @functools.cached_property
    def embedding_size(self) -> int:
        return int(self.encode_texts(["a"]).shape[1])

    def text_weights(self, labels: Sequence[Label]) -> np.ndarray:
        return normalise(self._label_rows(labels))

    def _label_rows(self, labels: Sequence[Label]) -> np.ndarray:
        return self._prepared(labels).rows

    def _prepared(self, labels: Sequence[Label]) -> _Labels:
        """The labels as rows; those of the last call are kept, since a run asks for each batch."""
        wanted = tuple(labels)
        if self._kept.labels != wanted:
            rows = label_embeddings(self, wanted, any_language=True, templates=self.templates)
            self._kept = _Labels(wanted, rows, self._cut_labels(wanted))
        return self._kept

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        rows = []
        for start in range(0, len(texts), _BATCH):
            check_stopped()
            inputs = self._tokens(texts[start : start + _BATCH])
            features = pooled(self._model.get_text_features(**inputs)).float()
            rows.append(torch.nn.functional.normalize(features, dim=1).cpu().numpy())
        return np.concatenate(rows).astype(np.float32)

    @functools.cached_property
    def text_length(self) -> int:
        """The most tokens of a text that the encoder reads, with those that begin and end it."""
        config = self._model.config.text_config
        lengths = (config.max_position_embeddings, self._tokenizer.model_max_length)
        return int(min(*lengths, self.most_tokens))

    def _tokens(self, texts: Sequence[str]) -> Mapping[str, Any]:
        return self._tokenizer(
            list(texts),
            padding=self.padding,
            truncation=True,
            max_length=self.text_length,
            return_tensors="pt",
        ).to(self.device)

    def _cut_labels(self, labels: Sequence[Label]) -> dict[str, Json]:
        """Which labels are longer than the encoder reads, as a part of the provenance."""
        cut = [label.name for label in labels if any(map(self._is_cut, self._texts_of(label)))]
        if not cut:
            return {}
        log.warning("%d labels were cut after %d tokens", len(cut), self.text_length)
        shown = [name[:_NAME_LENGTH] for name in cut[:_NAMED]]
        return {"labels_cut": {"tokens": self.text_length, "count": len(cut), "labels": shown}}

    def _texts_of(self, label: Label) -> list[str]:
        return label_texts(label, any_language=True, templates=self.templates)

    def _is_cut(self, text: str) -> bool:
        if len(text.encode()) <= self.text_length - 3:
            return False  # no tokenizer makes more tokens than bytes, beside those at the ends
        longer = self.text_length + 1
        return len(self._tokenizer(text, truncation=True, max_length=longer).input_ids) == longer

    @torch.inference_mode()
    def _pictures(self, frames: Sequence[Frame]) -> torch.Tensor:
        """float32 (n, d), L2-normalised."""
        features = pooled(self._model.get_image_features(**self._inputs(frames)))
        return torch.nn.functional.normalize(features.float(), dim=1)

    @torch.inference_mode()
    def _logits(self, pictures: torch.Tensor, texts: np.ndarray) -> torch.Tensor:
        """float32 (n, k) of pictures (n, d) and texts (k, d), scaled as the model was trained."""
        similarity = pictures @ torch.from_numpy(texts).to(self.device).T
        return similarity * self._model.logit_scale.float().exp()

    def _independent(self, pictures: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of labels that do not exclude one another, each on its own."""
        other = self._logits(pictures, cached_texts(self, self.anything))
        return (logits - other.logsumexp(1, keepdim=True)).sigmoid()

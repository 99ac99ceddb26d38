"""OmDet-Turbo: any labels; the picture is encoded once however many labels there are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torchvision.ops import batched_nms

from vlmtool_core.engine.families.parts.detection_base import (
    Detector,
    Found,
    Texts,
    corners,
    label_queries,
)
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.records import Frame, Label, Outcome

# Boxes of one label that overlap this far are the same thing: the model was trained for it.
_SUPPRESSION = 0.5
_TEXTS_AT_ONCE = 64
# Its decoder compares every place with every text, so texts come in parts.
_TEXTS_OF_A_PASS = 256
_TEXTS_KEPT = 20_000


@register_family("omdet-turbo")
class OmDetTurbo(Detector):
    """Several boxes per label and several labels per box; suppressed within each label."""

    model_types = ("omdet-turbo",)
    architectures = ("ForObjectDetection",)
    auto_class = "AutoModelForZeroShotObjectDetection"
    default_threshold = 0.3
    half_modules = ("vision_backbone",)

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._tokenizer = self._load("AutoTokenizer")
        self._encoded: OrderedDict[str, torch.Tensor] = OrderedDict()

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Boxes of at least `threshold` (0.3 when None)."""
        asked = label_queries(labels, self.pack.id)
        limit = self._limit(threshold)
        found = self._run(frames, asked=asked, limit=limit)
        passes = -(-len(asked.texts) // _TEXTS_OF_A_PASS)
        details = {"threshold": limit, "suppression": _SUPPRESSION, "passes": passes}
        return self._outcomes(frames, found, [label.name for label in labels or ()], details)

    def _find(self, inputs: Mapping[str, torch.Tensor], **options: Any) -> list[Found]:
        asked: Texts = options["asked"]
        model = self._model
        features = model.vision_backbone(inputs["pixel_values"])
        states = model.encoder(features, return_dict=True).extracted_states
        batch = len(inputs["pixel_values"])
        parts = []
        for start in range(0, len(asked.texts), _TEXTS_OF_A_PASS):
            check_stopped()
            texts = asked.texts[start : start + _TEXTS_OF_A_PASS]
            owners = asked.owners[start : start + _TEXTS_OF_A_PASS]
            classes = self._class_features(texts)[:, None].expand(-1, batch, -1)
            outputs = model.decoder(states, classes, *self._task(texts, batch), return_dict=True)
            parts.append(
                _candidates(outputs.decoder_classes[-1], outputs.decoder_coords[-1], owners)
            )
        best = [torch.cat(some, dim=1) for some in zip(*parts, strict=True)]
        most = model.config.num_queries
        return [
            _chosen(boxes, scores, numbers, most, options["limit"])
            for boxes, scores, numbers in zip(*best, strict=True)
        ]

    def _class_features(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, d) of the texts; each is encoded once and remembered."""
        missing = [text for text in texts if text not in self._encoded]
        for start in range(0, len(missing), _TEXTS_AT_ONCE):
            check_stopped()
            some = missing[start : start + _TEXTS_AT_ONCE]
            ids = self._tokens(some)["input_ids"]
            rows = self._model.language_backbone(ids, encode_type="class")
            self._encoded.update(zip(some, rows, strict=True))
        rows = torch.stack([self._encoded[text] for text in texts])
        while len(self._encoded) > _TEXTS_KEPT:
            self._encoded.popitem(last=False)
        return rows

    def _task(self, texts: Sequence[str], batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What the model is told to do, as features (tokens, batch, d) and their mask."""
        inputs = self._tokens([f"Detect {', '.join(texts)}."])
        features, mask = self._model.get_cached_task_embeddings(
            inputs["input_ids"], inputs["attention_mask"]
        )
        return features.expand(-1, batch, -1), mask.expand(batch, -1)

    def _tokens(self, texts: list[str]) -> Any:
        return self._tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.device)


def _candidates(
    logits: torch.Tensor, boxes: torch.Tensor, owners: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best pairs of box and label, as many as there are boxes: xyxy, scores, labels.

    logits : (batch, queries, texts), of which a label's best counts; boxes : (batch, queries, 4)
    """
    numbers = sorted(set(owners))
    columns = torch.tensor([numbers.index(owner) for owner in owners], device=logits.device)
    scores = logits.new_full((*logits.shape[:-1], len(numbers)), -torch.inf)
    scores = scores.scatter_reduce(-1, columns.expand_as(logits), logits, "amax")
    best, places = scores.sigmoid().flatten(1).topk(logits.shape[1], dim=1)
    queries = (places // len(numbers))[..., None].expand(-1, -1, 4)
    labels = torch.tensor(numbers, device=logits.device)[places % len(numbers)]
    return corners(boxes).gather(1, queries), best, labels


def _chosen(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, most: int, limit: float
) -> Found:
    """The candidates of one picture above the threshold, each thing once for each label."""
    best = scores.topk(min(most, len(scores))).indices
    best = best[scores[best] >= limit]
    kept = best[batched_nms(boxes[best], scores[best], labels[best], _SUPPRESSION)]
    box, score, label = (part[kept].cpu().numpy() for part in (boxes, scores, labels))
    return Found(box.astype(np.float32), score, label)

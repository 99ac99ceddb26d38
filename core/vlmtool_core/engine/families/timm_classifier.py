"""Closed-set classifiers of timm: classify, embed, and, through text space, any labels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from timm.data.imagenet_info import ImageNetInfo

from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.heads import sigmoid
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.pictures.geometry import source_box
from vlmtool_core.engine.pictures.open_vocabulary import SCALES, grid_size, merge, regions
from vlmtool_core.engine.pictures.preprocessing import Preprocessing, resize
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import boxes_outcome, embedding_outcome, ranked_outcome
from vlmtool_core.engine.texts.label_sets import softmax_by_set
from vlmtool_core.engine.texts.text_space import (
    ClassSpace,
    cached_texts,
    label_embeddings,
    normalise,
)
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Label, Outcome, Task

TEXT_PACK = "starter-text"
# Fitted on 46 questions over the photographs of scikit-image and scikit-learn.
COMPETING_TEMPERATURE = 0.5
INDEPENDENT_SLOPE, INDEPENDENT_MIDDLE = 2.0, 1.4
# Classes whose text is nearest to a label and that together stand for it in `text_weights`.
_NEIGHBOURS = 12
_DETECT_THRESHOLD = 0.7


def _score_logit(standing: np.ndarray) -> np.ndarray:
    """The logit of a label's probability, of how far it stands out (`ClassSpace.independent`)."""
    return INDEPENDENT_SLOPE * (standing - INDEPENDENT_MIDDLE)


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """(readable name, name with synonyms and definition) of the 1,000 classes of ImageNet-1k."""
    info = ImageNetInfo()
    descriptions = [info.index_to_description(n, detailed=True) for n in range(1000)]
    pairs = [text.partition(":") for text in descriptions]
    names = _unique([head.split(",")[0].strip() for head, _, _ in pairs], [p[0] for p in pairs])
    return tuple(zip(names, descriptions, strict=True))


def _unique(names: list[str], full: list[str]) -> list[str]:
    """Short names, except where two classes share one ("crane": a bird and a machine)."""
    seen = {name: names.count(name) for name in names}
    longer = [full[n] if seen[name] > 1 else name for n, name in enumerate(names)]
    counts = {name: longer.count(name) for name in longer}
    return [f"{name} ({n})" if counts[name] > 1 else name for n, name in enumerate(longer)]


@register_family("timm")
class TimmClassifier(Family):
    """A convolutional timm model with a linear classifier over pooled features."""

    tasks = (Task.CLASSIFY, Task.DETECT, Task.EMBED)
    parts: ClassVar = {Task.CLASSIFY: (TEXT_PACK,), Task.DETECT: (TEXT_PACK,)}

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        model = timm.create_model(str(pack.options["architecture"]), pretrained=False)
        model.load_state_dict(load_file(pack.file("model.safetensors")))
        # timm's own methods are unknown to the type of a torch module.
        self._model: Any = model.eval().to(self.device).to(memory_format=torch.channels_last)
        self._preprocessing = Preprocessing.from_options(pack.options)
        self.class_names = tuple(name for name, _ in imagenet_classes())

    def classify(
        self, frames: Sequence[Frame], labels: Sequence[Label] | None, *, exclusive: bool
    ) -> list[Outcome]:
        probabilities = self.probabilities(frames)
        if labels is None:
            names, scores = self.class_names, probabilities
        else:
            names = tuple(label.name for label in labels)
            scores = self.label_scores(probabilities, labels, exclusive=exclusive)
        return [
            ranked_outcome(names, row, self._preprocessing.provenance(frame))
            for frame, row in zip(frames, scores, strict=True)
        ]

    def embed(self, frames: Sequence[Frame]) -> list[Outcome]:
        pooled = self._pooled(frames)
        rows = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return [
            embedding_outcome(row, self._preprocessing.provenance(frame))
            for frame, row in zip(frames, rows, strict=True)
        ]

    @property
    def embedding_size(self) -> int:
        return int(self._model.num_features)

    @torch.inference_mode()
    def _pooled(self, frames: Sequence[Frame]) -> torch.Tensor:
        inputs = self._preprocessing.batch(frames, self.device)
        features = self._model.forward_features(inputs)
        return self._model.forward_head(features, pre_logits=True).float()

    @torch.inference_mode()
    def probabilities(self, frames: Sequence[Frame]) -> np.ndarray:
        """float32 (n, 1000): the softmax over the model's own classes."""
        logits = self._model.get_classifier()(self._pooled(frames))
        return logits.softmax(dim=1).cpu().numpy()

    @torch.inference_mode()
    def dense_probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (rows, columns, 1000): the classifier at every place of the last feature map.

        Parameters
        ----------
        pixels : uint8 (h, w, 3), h and w multiples of 32; one place per 32 × 32 pixels
        """
        inputs = self._preprocessing.normalise(pixels[None], self.device)
        features = self._model.forward_features(inputs)
        # The classifier was trained on means over many places; a small mean is nearer to that.
        smooth = torch.nn.functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False)
        logits = self._model.get_classifier()(smooth.permute(0, 2, 3, 1))
        return logits[0].float().softmax(dim=-1).cpu().numpy()

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Coarse boxes of any labels, from the classes' evidence at every place.

        Raises
        ------
        UsageError : no labels: this model must be told what to look for.
        """
        if not labels:
            raise UsageError(f"{self.pack.id} must be told what to look for", remedy="Give labels.")
        texts = label_embeddings(self.surroundings.family(TEXT_PACK), labels)
        limit = _DETECT_THRESHOLD if threshold is None else threshold
        return [self._detect_one(frame, labels, texts, limit) for frame in frames]

    def _detect_one(
        self, frame: Frame, labels: Sequence[Label], texts: np.ndarray, limit: float
    ) -> Outcome:
        least = INDEPENDENT_MIDDLE + float(np.log(limit / (1 - limit))) / INDEPENDENT_SLOPE
        height, width = frame.pixels.shape[:2]
        sizes = list(dict.fromkeys(grid_size(width, height, longer) for longer in SCALES))
        found = []
        for size in sizes:
            classes = self.dense_probabilities(resize(frame.pixels, size))
            maps = self.space.independent(classes.reshape(-1, classes.shape[-1]), texts)
            found += regions(maps.reshape(*classes.shape[:2], len(labels)), least)
        boxes = []
        for region in merge(found):
            xyxy = np.array(region.xyxy) * (width, height, width, height)
            score = float(sigmoid(_score_logit(np.array(region.evidence))))
            boxes.append(source_box(xyxy, labels[region.label].name, score, frame))
        provenance = {"inputs": [list(size) for size in sizes], "threshold": limit}
        return boxes_outcome([box for box in boxes if box is not None], provenance)

    @functools.cached_property
    def space(self) -> ClassSpace:
        """The classes in text space: the mean of name and definition."""
        encoder = self.surroundings.family(TEXT_PACK)
        descriptions = [description for _, description in imagenet_classes()]
        names = [description.partition(":")[0] for description in descriptions]
        encoded = cached_texts(encoder, [*names, *descriptions])
        return ClassSpace(normalise(encoded[: len(names)] + encoded[len(names) :]))

    def label_scores(
        self, probabilities: np.ndarray, labels: Sequence[Label], *, exclusive: bool
    ) -> np.ndarray:
        """float32 (n, k) in [0, 1] from class probabilities (n, 1000).

        exclusive : one label of each label set holds, else any of them
        """
        encoder = self.surroundings.family(TEXT_PACK)
        texts = label_embeddings(encoder, labels)
        if not exclusive:
            standing = self.space.independent(probabilities, texts)
            return sigmoid(_score_logit(standing))
        logits = self.space.competing(probabilities, texts) / COMPETING_TEMPERATURE
        return softmax_by_set(logits, labels)

    def label_support(self, probabilities: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
        """float32 (n, k) in [0, 1]: how much of the class probabilities (n, 1000) is of classes
        that are kinds of each label."""
        texts = label_embeddings(self.surroundings.family(TEXT_PACK), labels)
        return np.minimum(self.space.support(probabilities, texts), 1)

    def text_weights(self, labels: Sequence[Label]) -> np.ndarray:
        encoder = self.surroundings.family(TEXT_PACK)
        standing = self.space.standardised(label_embeddings(encoder, labels))
        cut = np.sort(standing, axis=0)[-_NEIGHBOURS]
        mix = np.where(standing >= cut, np.exp(standing), 0)
        rows = self._model.get_classifier().weight.detach().float().cpu().numpy()
        centred = rows - rows.mean(axis=0)
        return normalise((mix / mix.sum(axis=0)).T @ centred)

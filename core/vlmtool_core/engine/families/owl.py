"""OWL-ViT and OWLv2: any labels in one pass over the picture, texts encoded once per label set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch

from vlmtool_core.engine.families.parts.detection_base import (
    Detector,
    Found,
    Prepared,
    corners,
    found_above,
    label_queries,
)
from vlmtool_core.engine.families.parts.transformers_base import pooled
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.engine.texts.text_space import cached_texts
from vlmtool_core.records import Frame, Label, Outcome

_TEXTS_AT_ONCE = 64
# Scores of so many texts for all places are held at a time; 5,000 labels take no more memory.
_QUERIES_AT_ONCE = 512


@register_family("owlvit")
class OwlVit(Detector):
    """A box per place of the picture, under the text that it is most similar to."""

    model_types = ("owlvit",)
    architectures = ("ForObjectDetection",)
    auto_class = "AutoModelForZeroShotObjectDetection"
    default_threshold = 0.1
    half_modules = ("owlvit.vision_model.encoder",)
    _base = "owlvit"

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._tokenizer = self._load("AutoTokenizer")

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Boxes of at least `threshold` (0.1 when None), one label each; no suppression."""
        asked = label_queries(labels, self.pack.id)
        limit = self._limit(threshold)
        queries = torch.from_numpy(cached_texts(self, asked.texts)).to(self.device)
        found = self._run(frames, queries=queries, owners=asked.owners, limit=limit)
        names = [label.name for label in labels or ()]
        return self._outcomes(frames, found, names, {"threshold": limit, "suppression": None})

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, d), L2-normalised; a text is cut at the length the model was trained on."""
        length = self._model.config.text_config.max_position_embeddings
        rows = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            check_stopped()
            inputs = self._tokenizer(
                list(texts[start : start + _TEXTS_AT_ONCE]),
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            ).to(self.device)
            base = getattr(self._model, self._base)
            features = pooled(base.get_text_features(inputs["input_ids"], inputs["attention_mask"]))
            rows.append(torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy())
        return np.concatenate(rows).astype(np.float32)

    def _find(self, inputs: Mapping[str, torch.Tensor], **options: Any) -> list[Found]:
        pixels = inputs["pixel_values"]
        expected = self._model.config.vision_config.image_size
        other_size = tuple(pixels.shape[-2:]) != (expected, expected)
        grid, _ = self._model.image_embedder(pixels, interpolate_pos_encoding=other_size)
        places = grid.flatten(1, 2)
        boxes = self._model.box_predictor(places, grid, other_size)
        scores, best = self._best_texts(places, options["queries"])
        owners = torch.tensor(options["owners"], device=best.device)
        return found_above(corners(boxes), scores.sigmoid(), owners[best], options["limit"])

    def _best_texts(
        self, places: torch.Tensor, queries: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Per place the highest logit over all texts, and that text's number: (batch, n) each."""
        highest, which = [], []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            check_stopped()
            some = queries[start : start + _QUERIES_AT_ONCE].expand(len(places), -1, -1)
            logits, _ = self._model.class_predictor(places, some)
            best = logits.max(dim=-1)
            highest.append(best.values)
            which.append(best.indices + start)
        values, part = torch.stack(highest).max(dim=0)
        return values, torch.stack(which).gather(0, part[None])[0]


@register_family("owlv2")
class Owlv2(OwlVit):
    """OWLv2 sees the picture in the top left corner of a black square."""

    model_types = ("owlv2",)
    half_modules = ("owlv2.vision_model.encoder",)
    _base = "owlv2"

    def _prepare(self, frame: Frame) -> Prepared:
        height, width = frame.pixels.shape[:2]
        longer = max(height, width)
        reach = (longer / width, longer / height)
        steps = ("do_pad", "do_resize", "do_rescale", "do_normalize")
        if not all(getattr(self._processor, step, None) for step in steps):
            return Prepared(self._process(frame.pixels), reach)
        size = self._processor.size
        square = padded_square(frame.pixels, (int(size["height"]), int(size["width"])))
        tensor = torch.from_numpy(square).permute(2, 0, 1)[None]
        mean = torch.tensor(self._processor.image_mean).view(1, 3, 1, 1)
        std = torch.tensor(self._processor.image_std).view(1, 3, 1, 1)
        factor = self._processor.rescale_factor
        return Prepared({"pixel_values": (tensor * factor - mean) / std}, reach)


def padded_square(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture padded right and below with black to a square, then resized as OWLv2 was trained:
    a Gaussian against aliasing, then two-by-two interpolation.

    Only the picture is filtered, and only the rows and columns that are sampled are interpolated;
    the padded square itself is never made.

    pixels : uint8 (h, w, 3); size : (height, width)

    Returns
    -------
    float32 (height, width, 3), 0 to 255
    """
    longer = max(pixels.shape[:2])
    sigmas = [max(0.0, (longer / side - 1) / 2) for side in size]
    filtered = pixels
    if min(sigmas) > 0:
        filtered = _blurred(pixels, longer, sigmas)
    rows = _sampled(filtered, longer, size[0])
    columns = _sampled(rows.transpose(1, 0, 2), longer, size[1])
    return np.ascontiguousarray(columns.transpose(1, 0, 2))


def _blurred(pixels: np.ndarray, longer: int, sigmas: Sequence[float]) -> np.ndarray:
    """float32: the picture with as much of the black beside it as the filter spreads to."""
    radii = [math.ceil(3 * sigma) for sigma in sigmas]
    below, right = (
        min(longer - side, 2 * radius) for side, radius in zip(pixels.shape[:2], radii, strict=True)
    )
    canvas = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
    kernels = [
        cv2.getGaussianKernel(2 * radius + 1, sigma, cv2.CV_32F)
        for radius, sigma in zip(radii, sigmas, strict=True)
    ]
    # Reflection without the edge pixel, at the square's own edges only.
    return cv2.sepFilter2D(
        canvas, cv2.CV_32F, kernels[1], kernels[0], borderType=cv2.BORDER_REFLECT_101
    )


def _sampled(picture: np.ndarray, length: int, count: int) -> np.ndarray:
    """`count` rows interpolated from `length`, of which those that `picture` lacks are black."""
    at = np.clip((np.arange(count) + 0.5) * (length / count) - 0.5, 0, length - 1)
    low = at.astype(int)
    weight = (at - low).astype(np.float32)[:, None, None]
    rows = np.zeros((count, *picture.shape[1:]), np.float32)
    for index, share in ((low, 1 - weight), (np.minimum(low + 1, length - 1), weight)):
        inside = index < len(picture)
        rows[inside] += picture[index[inside]] * share[inside]
    return rows

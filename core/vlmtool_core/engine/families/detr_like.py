"""Detectors of a closed set of classes with a fixed number of queries: DETR and its descendants."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from vlmtool_core.engine.families.parts.detection_base import (
    Detector,
    Found,
    corners,
    found_above,
    own_classes,
)
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.records import Frame, Label, Outcome


class ClosedDetector(Detector):
    """Boxes of the model's own classes; labels select among them."""

    architectures = ("ForObjectDetection",)
    auto_class = "AutoModelForObjectDetection"
    default_threshold = 0.5

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._takes_mask = "pixel_mask" in inspect.signature(self._model.forward).parameters

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Boxes of at least `threshold` (0.5 when None); no suppression, as it was trained."""
        classes = {int(n): str(name) for n, name in self._model.config.id2label.items()}
        wanted = own_classes(labels, classes, self.pack.id)
        limit = self._limit(threshold)
        found = self._run(frames, classes=sorted(wanted), limit=limit)
        names = [wanted.get(n, "") for n in range(max(wanted, default=-1) + 1)]
        return self._outcomes(frames, found, names, {"threshold": limit, "suppression": None})

    def _find(self, inputs: Mapping[str, torch.Tensor], **options: Any) -> list[Found]:
        kept = {name: part for name, part in inputs.items() if name != "pixel_mask"}
        if self._takes_mask and "pixel_mask" in inputs:
            kept["pixel_mask"] = inputs["pixel_mask"]
        outputs = self._model(**kept)
        boxes, scores, labels = self._read(
            outputs.logits.float(), corners(outputs.pred_boxes), options["classes"]
        )
        return found_above(boxes, scores, labels, options["limit"])

    def _read(
        self, logits: torch.Tensor, boxes: torch.Tensor, classes: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes (batch, k, 4), scores and numbers of classes (batch, k)."""
        raise NotImplementedError


def read_softmax(
    logits: torch.Tensor, boxes: torch.Tensor, classes: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Each query is one thing or, by the last class, nothing; those of other classes score 0.

    logits : (batch, queries, classes + 1); boxes : (batch, queries, 4)
    """
    scores, labels = logits.softmax(-1)[..., :-1].max(-1)
    wanted = torch.isin(labels, torch.tensor(classes, device=labels.device))
    return boxes, torch.where(wanted, scores, -1.0), labels


def read_focal(
    logits: torch.Tensor, boxes: torch.Tensor, classes: Sequence[int], most: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Each query and class on its own; the best `most` pairs of them, one per query when None.

    logits : (batch, queries, classes); boxes : (batch, queries, 4)
    """
    numbers = [n for n in classes if n < logits.shape[-1]]
    asked = torch.tensor(numbers, device=logits.device, dtype=torch.long)
    scores = logits[..., asked].sigmoid().flatten(1)
    count = min(most or logits.shape[1], scores.shape[1])
    best, places = scores.topk(count, dim=1)
    queries, columns = places // max(1, len(numbers)), places % max(1, len(numbers))
    chosen = boxes.gather(1, queries[..., None].expand(-1, -1, 4))
    return chosen, best, asked[columns]


@register_family("detr-softmax")
class SoftmaxDetector(ClosedDetector):
    """Trained with a "no object" class: DETR, YOLOS, Table Transformer."""

    model_types = ("detr", "yolos", "table-transformer")
    half_modules: ClassVar[tuple[str, ...]] = ("model.backbone", "vit.encoder")

    def _read(
        self, logits: torch.Tensor, boxes: torch.Tensor, classes: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return read_softmax(logits, boxes, classes)


@register_family("detr-focal")
class FocalDetector(ClosedDetector):
    """Trained with a focal loss: Conditional, Deformable and DAB-DETR, RF-DETR, LW-DETR."""

    model_types: ClassVar[tuple[str, ...]] = (
        "conditional_detr",
        "deformable_detr",
        "dab-detr",
        "rf_detr",
        "lw_detr",
    )
    # Values that attention reads are features; where it reads them is kept in float32.
    half_modules: ClassVar[tuple[str, ...]] = (
        "model.backbone",
        "model.decoder.layers.*.value_proj",
    )

    def _read(
        self, logits: torch.Tensor, boxes: torch.Tensor, classes: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if not getattr(self._model.config, "use_focal_loss", True):
            return read_softmax(logits, boxes, classes)
        return read_focal(logits, boxes, classes, self._most)

    @property
    def _most(self) -> int | None:
        """How many pairs of query and class the model's own post-processing keeps."""
        post_process = self._processor.post_process_object_detection
        top_k = inspect.signature(post_process).parameters.get("top_k")
        return None if top_k is None else top_k.default


@register_family("detr-hybrid")
class HybridDetector(FocalDetector):
    """Those whose encoder is mostly convolutions: RT-DETR, RT-DETR v2, D-FINE, DEIMv2."""

    model_types = ("rt_detr", "rt_detr_v2", "d_fine", "deimv2")
    half_modules: ClassVar[tuple[str, ...]] = (
        *FocalDetector.half_modules,
        "model.encoder_input_proj.?",
        "model.encoder",
        "model.decoder_input_proj.?",
        # Where queries begin; the decoder then moves them, in float32.
        "model.enc_output",
        "model.enc_bbox_head",
    )

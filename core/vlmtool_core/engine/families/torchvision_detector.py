"""torchvision's own detectors: Faster and Mask R-CNN, RetinaNet, FCOS, SSD."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from vlmtool_core.engine.families.parts.detection_base import (
    Found,
    own_classes,
    run_in,
    source_boxes,
    thickened,
)
from vlmtool_core.engine.families.parts.folding import fold_norms
from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.packs.torchvision_folders import (
    MODEL_TYPE,
    WEIGHTS,
    build_detector,
    class_names,
    load_state,
)
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import boxes_outcome
from vlmtool_core.engine.runtime.numerics import BFLOAT16, FLOAT32
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.errors import PackError
from vlmtool_core.records import Frame, Json, Label, Outcome, Task

_THRESHOLD = 0.5
_AT_ONCE = {"cpu": 1, "cuda": 16}


@register_family("torchvision-detector")
class TorchvisionDetector(Family):
    """Boxes of the model's own classes; suppression is part of the network."""

    tasks = (Task.DETECT,)
    dtypes = (FLOAT32, BFLOAT16)
    model_types = (MODEL_TYPE,)

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        config: dict[str, Json] = json.loads(pack.file("config.json").read_text("utf-8"))
        name = str(config.get("weights") or WEIGHTS)
        if "/" in name or "\\" in name:
            raise PackError("the weights must lie beside config.json", field="weights")
        model: Any = build_detector(config)
        load_state(model, load_file(pack.file(name)), pack.file(name))
        self._classes = class_names(config)
        fold_norms(model.eval())
        self._model = model.to(self.device, memory_format=torch.channels_last)
        half = getattr(torch, self.dtype)
        if half is not torch.float32:
            run_in(self._model.backbone, half)

    def decode_side(self, task: Task) -> int:
        """What its own resizing leaves of a picture, or twice that of a fixed input."""
        steps = self._model.transform
        if task is not Task.DETECT:
            return super().decode_side(task)
        return 2 * max(steps.fixed_size) if steps.fixed_size else int(steps.max_size)

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Boxes of at least `threshold` (0.5 when None) that the network itself keeps."""
        wanted = own_classes(labels, self._classes, self.pack.id)
        limit = _THRESHOLD if threshold is None else threshold
        names = [wanted.get(n, "") for n in range(max(wanted) + 1)]
        found: dict[int, Found] = {}
        for numbers in self._batches(frames):
            check_stopped()
            pictures = [frames[n].pixels for n in numbers]
            for number, part in zip(numbers, self._find(pictures), strict=True):
                kept = np.isin(part.labels, list(wanted)) & (part.scores >= limit)
                found[number] = part.only(kept)
        provenance = {**self._provenance(), "threshold": limit}
        return [
            boxes_outcome(source_boxes(found[n], names, frame), provenance)
            for n, frame in enumerate(frames)
        ]

    def _batches(self, frames: Sequence[Frame]) -> Iterator[list[int]]:
        """Numbers of pictures of one shape: others would be padded, which moves their boxes."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for number, frame in enumerate(frames):
            by_shape.setdefault(frame.pixels.shape, []).append(number)
        most = _AT_ONCE[self.device]
        for numbers in by_shape.values():
            for start in range(0, len(numbers), most):
                yield numbers[start : start + most]

    @torch.inference_mode()
    def _find(self, pictures: Sequence[np.ndarray]) -> list[Found]:
        shown = [self._thick_enough(pixels) for pixels in pictures]
        tensors = [
            torch.from_numpy(np.require(pixels, requirements="W"))
            .to(self.device)
            .permute(2, 0, 1)
            .float()
            .div_(255)
            for pixels in shown
        ]
        found = []
        for pixels, result in zip(shown, self._model(tensors), strict=True):
            height, width = pixels.shape[:2]
            boxes, scores, labels = (
                result[name].cpu().numpy() for name in ("boxes", "scores", "labels")
            )
            parts = boxes / np.array([width, height] * 2, np.float32)
            found.append(Found(parts, scores, labels))
        return found

    def _thick_enough(self, pixels: np.ndarray) -> np.ndarray:
        """The picture, or what is looked at for a strip that resizing would make 0 pixels thin."""
        steps = self._model.transform
        if steps.fixed_size:
            return pixels
        shorter, longer = sorted(pixels.shape[:2])
        return thickened(pixels) if shorter * steps.max_size < longer else pixels

    def _provenance(self) -> dict[str, Json]:
        steps = self._model.transform
        heads = getattr(self._model, "roi_heads", self._model)
        return {
            "input": list(steps.fixed_size)
            if steps.fixed_size
            else [*steps.min_size, steps.max_size],
            "lowest_score": float(heads.score_thresh),
            "suppression": float(heads.nms_thresh),
        }

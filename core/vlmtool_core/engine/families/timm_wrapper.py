"""Any model of timm, in the folders that timm and transformers publish."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from vlmtool_core.engine.families.parts.transformers_base import _plain as json_value
from vlmtool_core.engine.families.transformers_classifier import TransformersClassifier
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.registry import register_family
from vlmtool_core.records import Frame, Json, Task

_KEPT = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")


@register_family("timm-wrapper")
class TimmWrapper(TransformersClassifier):
    """timm's own preprocessing and classes; a model without classes only embeds."""

    model_types = ("timm_wrapper",)

    @classmethod
    def serves(cls, folder: ModelFolder) -> bool:
        if folder.model_type:
            return folder.model_type in cls.model_types
        return {"architecture", "pretrained_cfg"} <= folder.config.keys()

    @classmethod
    def tasks_of(cls, folder: ModelFolder) -> tuple[Task, ...]:
        return cls.tasks if folder.config.get("num_classes") else (Task.EMBED,)

    def decode_side(self, task: Task) -> int:
        return max(super().decode_side(task), 2 * self._processor.data_config["input_size"][-1])

    def _inputs(self, frames: Sequence[Frame]) -> dict[str, torch.Tensor]:
        pictures = [Image.fromarray(frame.pixels) for frame in frames]
        pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels.to(self.device, self._model.dtype)}

    def _provenance(self) -> dict[str, Json]:
        settings = self._processor.data_config
        return {"processor": {key: json_value(settings[key]) for key in _KEPT if key in settings}}

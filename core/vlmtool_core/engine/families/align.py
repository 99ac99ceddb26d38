"""ALIGN: EfficientNet and BERT in one space."""

from __future__ import annotations

import numpy as np
import torch

from vlmtool_core.engine.families.parts.contrastive_base import ContrastiveFamily
from vlmtool_core.engine.registry import register_family


@register_family("align")
class Align(ContrastiveFamily):
    """Its similarities are divided by a temperature, where CLIP multiplies by a scale."""

    model_types = ("align",)
    # As its processor pads; attention masks the padding.
    padding = "max_length"
    most_tokens = 64

    @torch.inference_mode()
    def _logits(self, pictures: torch.Tensor, texts: np.ndarray) -> torch.Tensor:
        similarity = pictures @ torch.from_numpy(texts).to(self.device).T
        return similarity / self._model.temperature.float()

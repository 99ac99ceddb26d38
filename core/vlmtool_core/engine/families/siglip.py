"""SigLIP and SigLIP 2 (fixed and naflex): each label is true or not on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vlmtool_core.engine.families.parts.contrastive_base import ContrastiveFamily
from vlmtool_core.engine.registry import register_family


@register_family("siglip")
class Siglip(ContrastiveFamily):
    """Trained on pairs with a sigmoid, on lower-cased texts that are padded to one length.

    SigLIP 2 of a fixed size has the model type "siglip"; only naflex is "siglip2", and its image
    processor brings the shapes and the mask of the patches with them.
    """

    model_types = ("siglip", "siglip2")
    # The text's feature is that of the last place: with other padding it is another feature.
    padding = "max_length"

    def _tokens(self, texts: Sequence[str]) -> Mapping[str, Any]:
        # The tokenizers of some SigLIP 2 folders do not lower the case by themselves, and some
        # bring a mask that the model was not trained with.
        inputs = super()._tokens([text.lower() for text in texts])
        return {"input_ids": inputs["input_ids"]}

    @torch.inference_mode()
    def _logits(self, pictures: torch.Tensor, texts: np.ndarray) -> torch.Tensor:
        return super()._logits(pictures, texts) + self._model.logit_bias.float()

    def _independent(self, pictures: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return logits.sigmoid()

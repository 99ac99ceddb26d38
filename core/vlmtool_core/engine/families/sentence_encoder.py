"""Sentence encoders in the layout of transformers: mean of the last hidden states, normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.quiet import quiet_transformers

_BATCH = 64


@register_family("sentence-encoder")
class SentenceEncoder(Family):
    """BERT-like encoder with mean pooling."""

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        from transformers import AutoModel, AutoTokenizer

        with quiet_transformers():
            self._tokenizer = AutoTokenizer.from_pretrained(pack.location, local_files_only=True)
            model = AutoModel.from_pretrained(
                pack.location, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        self._model = model.eval().to(self.device)
        self._max_tokens = int(pack.options.get("max_tokens", 256))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        # Batches of similar length waste little on padding.
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        result = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            inputs = self._tokenizer(
                [texts[n] for n in chosen],
                padding=True,
                truncation=True,
                max_length=self._max_tokens,
                return_tensors="pt",
            ).to(self.device)
            hidden = self._model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            result[chosen] = torch.nn.functional.normalize(mean, dim=1).float().cpu().numpy()
        return result

"""Captioners made of a vision encoder and a language model: ViT with GPT-2, Swin with BERT."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vlmtool_core.engine.families.parts.writing import WritingFamily
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.registry import register_family
from vlmtool_core.records import Frame, Outcome, Task

# Decoders that write sentences; others (TrOCR, Donut's) read lines or documents.
_WRITERS = ("gpt2", "bert", "roberta", "opt")


@register_family("encoder-decoder")
class EncoderDecoder(WritingFamily):
    """Captions, alone or as the end of a sentence that the prompt begins."""

    tasks = (Task.CAPTION,)
    model_types = ("vision-encoder-decoder",)
    architectures = ("VisionEncoderDecoderModel",)
    processor_class = "AutoImageProcessor"

    @classmethod
    def serves(cls, folder: ModelFolder) -> bool:
        decoder = folder.config.get("decoder") or {}
        return super().serves(folder) and decoder.get("model_type") in _WRITERS

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """One sentence per frame; with a prompt, the sentence that it begins."""
        ids: list[int] = []
        if prompt is not None:
            safe = self._safe(prompt, "prompt", self._room)
            ids = self._tokenizer(safe, add_special_tokens=False)["input_ids"]
        begin = [[self._first, *ids]] * len(frames)
        inputs = {
            "pixel_values": self._inputs(frames)["pixel_values"],
            "decoder_input_ids": torch.tensor(begin, device=self.device),
        }
        written = self._write(inputs, len(begin[0]))
        provenance = self._described(prompt=prompt)
        return [
            self._outcome(text, provenance, finished=finished)
            for text, finished in zip(self._decoded(written.tokens), written.finished, strict=True)
        ]

    @property
    def _first(self) -> int:
        """The token that a text begins with: GPT-2 has none but the one that ends texts."""
        settings, decoder = self._model.generation_config, self._model.config.decoder
        for first in (settings.decoder_start_token_id, settings.bos_token_id, decoder.bos_token_id):
            if first is not None:
                return int(first)
        return int(self._tokenizer.bos_token_id)

    @property
    def _room(self) -> int:
        """Tokens of a prompt that leave room for the first mark and for the text."""
        decoder = self._model.config.decoder
        limit = int(getattr(decoder, "max_position_embeddings", None) or 512)
        return limit - self.most_tokens - 1

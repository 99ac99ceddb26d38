"""GIT: one decoder that reads picture and text; a question is the beginning of the sentence that
the answer ends. Its attention is eager: transformers has no other for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vlmtool_core.engine.families.parts.generation import Written
from vlmtool_core.engine.families.parts.writing import WritingFamily
from vlmtool_core.engine.registry import register_family
from vlmtool_core.records import Frame, Outcome, Task


@register_family("git")
class Git(WritingFamily):
    """Captions, alone or behind a prompt, and the answers of checkpoints trained on questions."""

    tasks = (Task.CAPTION, Task.ASK)
    model_types = ("git",)
    architectures = ("GitForCausalLM",)

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """One sentence per frame; with a prompt, the sentence that it begins."""
        safe = "" if prompt is None else self._safe(prompt, "prompt", self._room)
        written = self._continue(frames, safe)
        return self._outcomes(written, written.tokens, prompt=prompt)

    def ask(self, frames: Sequence[Frame], question: str) -> list[Outcome]:
        written = self._continue(frames, self._safe(question, "question", self._room))
        return self._outcomes(written, written.new, question=question)

    def _outcomes(
        self, written: Written, tokens: torch.Tensor, **said: str | None
    ) -> list[Outcome]:
        provenance = self._described(**said)
        return [
            self._outcome(text, provenance, finished=finished)
            for text, finished in zip(self._decoded(tokens), written.finished, strict=True)
        ]

    def _continue(self, frames: Sequence[Frame], text: str) -> Written:
        """What the decoder writes behind the first mark and the text, with no end mark between."""
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        first = self._tokenizer.cls_token_id
        begin = self._model.config.bos_token_id if first is None else first
        tokens = torch.tensor([[begin, *ids]] * len(frames), device=self.device)
        inputs = {
            "pixel_values": self._inputs(frames)["pixel_values"],
            "input_ids": tokens,
            "attention_mask": torch.ones_like(tokens),
        }
        return self._write(inputs, tokens.shape[1])

    @property
    def _room(self) -> int:
        """Tokens of a prompt that leave room for the first mark and for the text."""
        return int(self._model.config.max_position_embeddings) - self.most_tokens - 1

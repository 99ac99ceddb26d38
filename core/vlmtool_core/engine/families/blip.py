"""BLIP: captions, alone or as the end of a sentence that the prompt begins; answers by its VQA
models. Its attention is eager: transformers has no other for it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from vlmtool_core.engine.families.parts.writing import WritingFamily
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.registry import register_family
from vlmtool_core.records import Frame, Outcome, Task

_CAPTIONS, _ANSWERS = "BlipForConditionalGeneration", "BlipForQuestionAnswering"


@register_family("blip")
class Blip(WritingFamily):
    """A captioner, or a model for questions: a checkpoint is one of them."""

    tasks = (Task.CAPTION, Task.ASK)
    model_types = ("blip",)
    architectures = (_CAPTIONS, _ANSWERS)

    @classmethod
    def tasks_of(cls, folder: ModelFolder) -> tuple[Task, ...]:
        return (Task.ASK,) if _ANSWERS in folder.architectures else (Task.CAPTION,)

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """One sentence per frame; with a prompt, the sentence that it begins."""
        texts = None
        if prompt is not None:
            texts = [self._safe(prompt, "prompt", self._room)] * len(frames)
        inputs = self._inputs(frames, texts)
        # The end mark behind the prompt is taken off by the model's own `generate`.
        start = inputs["input_ids"].shape[1] - 1 if texts else 1
        written = self._write(inputs, start)
        provenance = self._described(prompt=prompt)
        return [
            self._outcome(text, provenance, finished=finished)
            for text, finished in zip(self._decoded(written.tokens), written.finished, strict=True)
        ]

    def ask(self, frames: Sequence[Frame], question: str) -> list[Outcome]:
        """A few words per frame; an encoder reads the question, so it is not in the answer."""
        safe = self._safe(question, "question", self._text_limit - 2)
        written = self._write(self._inputs(frames, [safe] * len(frames)), 1)
        provenance = self._described(question=question)
        return [
            self._outcome(text, provenance, finished=finished)
            for text, finished in zip(self._decoded(written.new), written.finished, strict=True)
        ]

    @functools.cached_property
    def _ends(self) -> frozenset[int]:
        return frozenset({self._model.config.text_config.sep_token_id})

    @property
    def _text_limit(self) -> int:
        return int(self._model.config.text_config.max_position_embeddings)

    @property
    def _room(self) -> int:
        """Tokens of a prompt that leave room for the caption and for the first mark."""
        return self._text_limit - self.most_tokens - 2

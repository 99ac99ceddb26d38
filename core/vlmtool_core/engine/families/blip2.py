"""BLIP-2: a language model (OPT, Flan-T5) that sees a picture as a few query tokens."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from vlmtool_core.engine.families.parts.generation import Written
from vlmtool_core.engine.families.parts.writing import WritingFamily
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.records import Frame, Outcome, Task

# How questions were put to it in training.
_QUESTION = "Question: {question} Answer:"
# What is taken where the language model names no limit: T5 has relative positions.
_USUAL_LIMIT = 512


@register_family("blip-2")
class Blip2(WritingFamily):
    """Captions, alone or as the end of a sentence that the prompt begins, and answers."""

    tasks = (Task.CAPTION, Task.ASK)
    model_types = ("blip-2",)
    architectures = ("Blip2ForConditionalGeneration",)

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._make_room_for_pictures()

    def _make_room_for_pictures(self) -> None:
        """Older checkpoints do not say where in a prompt the picture stands: transformers 5 would
        then answer without having looked at it."""
        config = self._model.config
        self._processor.num_query_tokens = config.num_query_tokens
        if config.image_token_index is None:
            mark = self._tokenizer.convert_tokens_to_ids(str(self._processor.image_token))
            if mark >= self._model.get_input_embeddings().num_embeddings:
                self._model.resize_token_embeddings(len(self._tokenizer), mean_resizing=False)
            config.image_token_index = mark

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """One sentence per frame; with a prompt, the sentence that it begins."""
        safe = None if prompt is None else self._safe(prompt, "prompt", self._room)
        written = self._continue(frames, safe)
        start = f"{prompt.strip()} " if prompt is not None else ""
        return self._outcomes(written, start, prompt=prompt)

    def ask(self, frames: Sequence[Frame], question: str) -> list[Outcome]:
        safe = self._safe(question, "question", self._room - 8)
        written = self._continue(frames, _QUESTION.format(question=safe))
        return self._outcomes(written, "", question=question)

    def _outcomes(self, written: Written, start: str, **said: str | None) -> list[Outcome]:
        provenance = self._described(**said)
        return [
            self._outcome(start + text if text else "", provenance, finished=finished)
            for text, finished in zip(self._decoded(written.new), written.finished, strict=True)
        ]

    def _continue(self, frames: Sequence[Frame], text: str | None) -> Written:
        """What the language model writes behind the picture and the text."""
        if text is None and self._two_parts:
            text = ""  # an encoder reads the end mark at least
        inputs = self._inputs(frames, None if text is None else [text] * len(frames))
        if self._two_parts:
            return self._write(inputs, 1)
        config = self._model.config
        # Without a text the model begins behind its query tokens and the first mark.
        length = inputs["input_ids"].shape[1] if text else config.num_query_tokens + 1
        return self._write(inputs, length)

    @functools.cached_property
    def _two_parts(self) -> bool:
        """Whether an encoder reads the prompt (T5), and the text begins anew."""
        return bool(self._model.config.text_config.is_encoder_decoder)

    @property
    def _room(self) -> int:
        """Tokens of a prompt that leave room for the picture and for the text."""
        config = self._model.config
        limit = getattr(config.text_config, "max_position_embeddings", None) or _USUAL_LIMIT
        taken = 0 if self._two_parts else self.most_tokens
        return int(limit) - taken - int(config.num_query_tokens) - 1

"""Kosmos-2: captions whose phrases are tied to places in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vlmtool_core.engine.families.parts.generation import Written
from vlmtool_core.engine.families.parts.writing import WritingFamily
from vlmtool_core.engine.pictures.geometry import source_box
from vlmtool_core.engine.registry import register_family
from vlmtool_core.records import Evidence, Frame, Outcome, Task

# How its authors begin a caption, and put a question.
_BEGIN = "An image of"
_PROMPT = "<grounding>{prompt}"
_QUESTION = "<grounding> Question: {question} Answer:"


@register_family("kosmos-2")
class Kosmos2(WritingFamily):
    """Captions and answers, with a box for each phrase that the model ties to a place."""

    tasks = (Task.CAPTION, Task.ASK)
    model_types = ("kosmos-2",)
    architectures = ("Kosmos2ForConditionalGeneration",)
    most_tokens = 128  # places are tokens too

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """The sentence that the prompt begins ("An image of" without one)."""
        begin = _BEGIN if prompt is None else self._safe(prompt, "prompt", self._room)
        written = self._continue(frames, _PROMPT.format(prompt=begin))
        # Cut behind the picture by the processor, so that the prompt stays.
        texts = self._decoded(written.tokens)
        return self._outcomes(frames, texts, written, prompt=prompt)

    def ask(self, frames: Sequence[Frame], question: str) -> list[Outcome]:
        safe = self._safe(question, "question", self._room - 16)
        written = self._continue(frames, _QUESTION.format(question=safe))
        return self._outcomes(frames, self._decoded(written.new), written, question=question)

    def _continue(self, frames: Sequence[Frame], text: str) -> Written:
        inputs = self._inputs(frames, [text] * len(frames))
        names = ("pixel_values", "input_ids", "attention_mask", "image_embeds_position_mask")
        return self._write(
            {name: inputs[name] for name in names}, inputs["input_ids"].shape[1], use_cache=True
        )

    def _outcomes(
        self, frames: Sequence[Frame], texts: Sequence[str], written: Written, **said: str | None
    ) -> list[Outcome]:
        provenance = self._described(**said)
        outcomes = []
        for frame, raw, finished in zip(frames, texts, written.finished, strict=True):
            text, entities = self._processor.post_process_generation(raw)
            evidence = grounded(entities, frame)
            outcomes.append(self._outcome(text, provenance, finished=finished, evidence=evidence))
        return outcomes

    @property
    def _room(self) -> int:
        """Tokens of a prompt that leave room for the picture and for the text."""
        config = self._model.config
        limit = int(config.text_config.max_position_embeddings)
        return limit - self.most_tokens - int(self._processor.num_image_tokens) - 4


def grounded(entities: Sequence[Any], frame: Frame) -> list[Evidence]:
    """Boxes of the phrases of a text, in pixels of the oriented source.

    Parameters
    ----------
    entities : as `Kosmos2Processor.post_process_generation` gives them: (phrase, its place in the
        text, boxes xyxy in [0, 1])
    """
    height, width = frame.pixels.shape[:2]
    found = []
    for phrase, _, boxes in entities:
        for xyxy in boxes:
            scaled = np.asarray(xyxy, float) * (width, height, width, height)
            box = source_box(scaled, phrase, None, frame)
            if box is not None:
                found.append(Evidence("box", phrase, None, box))
    return found

"""PaliGemma: a short instruction says what is wanted: "caption en", "answer en ...", "detect ...".

Its boxes are written as tokens and have no scores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from vlmtool_core.engine.families.parts.generation import Written
from vlmtool_core.engine.families.parts.writing import WritingFamily, refuse_threshold
from vlmtool_core.engine.pictures.geometry import source_box
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import boxes_outcome
from vlmtool_core.records import Box, Frame, Label, Outcome, Task

_CAPTION = "caption en"
_ANSWER = "answer en {question}"
_DETECT = "detect {names}"
_BETWEEN = " ; "
# Labels in one instruction: more make the list of boxes longer than the model was trained on.
_MOST_LABELS = 8
_MOST_BOX_TOKENS = 256
# Places are of a grid over the squashed picture: y1, x1, y2, x2.
_BINS = 1024
_FOUND = re.compile(r"((?:<loc\d{4}>\s*){4})([^<;]*)")


@register_family("paligemma")
class PaliGemma(WritingFamily):
    """Captions, answers, and boxes for names."""

    tasks = (Task.CAPTION, Task.ASK, Task.DETECT)
    model_types = ("paligemma",)
    architectures = ("PaliGemmaForConditionalGeneration",)
    most_tokens = 128

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """The text that the instruction asks for; "caption en" without one."""
        wanted = _CAPTION if prompt is None else self._safe(prompt, "prompt", self._room)
        return self._texts(frames, wanted, prompt=prompt)

    def ask(self, frames: Sequence[Frame], question: str) -> list[Outcome]:
        safe = self._safe(question, "question", self._room - 4)
        return self._texts(frames, _ANSWER.format(question=safe), question=question)

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Boxes of what is named, in the order in which the model wrote them, without scores.

        Raises
        ------
        UsageError : no labels, or a threshold: there are no scores to compare with it.
        """
        refuse_threshold(threshold, self.pack.id)
        if not labels:
            raise self._needs_labels()
        names = {label.name: self._name(label) for label in labels}
        boxes: list[list[Box]] = [[] for _ in frames]
        parts = [list(names)[n : n + _MOST_LABELS] for n in range(0, len(names), _MOST_LABELS)]
        cut_off = False
        for part in parts:
            wanted = {name: names[name] for name in part}
            prompt = _DETECT.format(names=_BETWEEN.join(wanted.values()))
            written = self._instruct(frames, prompt, most=_MOST_BOX_TOKENS)
            cut_off |= not all(written.finished)
            texts = self._decoded(written.new, special=True)
            for found, text, frame in zip(boxes, texts, frames, strict=True):
                found += located(text, wanted, frame)
        provenance = self._described(scores=False, **({"cut_off": True} if cut_off else {}))
        return [boxes_outcome(found, provenance) for found in boxes]

    def _name(self, label: Label) -> str:
        """What a label is called in the instruction, in which a semicolon separates names."""
        text = (label.prompts[0] if label.prompts else label.name).replace(";", ",")
        return " ".join(self._safe(text, "label", self._room // _MOST_LABELS).lower().split())

    def _texts(self, frames: Sequence[Frame], wanted: str, **said: str | None) -> list[Outcome]:
        written = self._instruct(frames, wanted)
        provenance = self._described(**said)
        return [
            self._outcome(text, provenance, finished=finished)
            for text, finished in zip(self._decoded(written.new), written.finished, strict=True)
        ]

    def _instruct(
        self, frames: Sequence[Frame], wanted: str, *, most: int | None = None
    ) -> Written:
        inputs = self._inputs(frames, [f"<image>{wanted}"] * len(frames))
        inputs.pop("labels", None)  # for training
        return self._write(inputs, inputs["input_ids"].shape[1], most=most)

    def _marks(self) -> Sequence[str]:
        return ("<image>",)

    @property
    def _room(self) -> int:
        """Tokens of an instruction that leave room for the picture and for the text."""
        limit = int(self._model.config.text_config.max_position_embeddings)
        return limit - int(self._processor.image_seq_length) - _MOST_BOX_TOKENS - 4


def located(text: str, names: Mapping[str, str], frame: Frame) -> list[Box]:
    """Boxes written as `<loc0123><loc0456><loc0789><loc1000> name ; ...`, in pixels of the source.

    Parameters
    ----------
    names : what each label was called in the instruction; what carries none of these names is
        not what was asked for, and is left out
    """
    labels = {called.casefold(): label for label, called in names.items()}
    height, width = frame.pixels.shape[:2]
    boxes = []
    for places, called in _FOUND.findall(text):
        only = next(iter(names)) if len(names) == 1 else None
        label = labels.get(" ".join(called.split()).casefold(), only)
        if label is None:
            continue
        y1, x1, y2, x2 = (int(place) / _BINS for place in re.findall(r"\d{4}", places))
        xyxy = np.array([x1 * width, y1 * height, x2 * width, y2 * height])
        box = source_box(xyxy, label, None, frame)
        if box is not None:
            boxes.append(box)
    return boxes

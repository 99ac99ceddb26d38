"""Answers to simple questions from evidence alone; everything else this model cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.packs.builtin_packs import DETECT
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.texts.evidence import PARTS, TEXT, VISION, Known, gather
from vlmtool_core.engine.texts.questions import Looked, LookFor, answer_question, cannot_tell
from vlmtool_core.engine.texts.text_space import label_embeddings
from vlmtool_core.errors import InferenceError, UsageError
from vlmtool_core.records import Evidence, Frame, Label, Outcome, Task

if TYPE_CHECKING:
    from vlmtool_core.engine.families.timm_classifier import TimmClassifier

# A word whose text is nearer than this to one of the classes can be expressed by them.
_EXPRESSIBLE = 0.4


@register_family("starter-ask")
class EvidenceAnswers(Family):
    """Routes a question to the evidence that can answer it."""

    tasks = (Task.ASK,)
    parts: ClassVar = {Task.ASK: PARTS}

    def ask(self, frames: Sequence[Frame], question: str) -> list[Outcome]:
        return [
            known if isinstance(known, Outcome) else self._answer(question, known, frame)
            for frame, known in zip(frames, gather(self.surroundings, frames), strict=True)
        ]

    def _answer(self, question: str, known: Known, frame: Frame) -> Outcome:
        try:
            return answer_question(question, known, self._looker(frame))
        except UsageError:
            return cannot_tell()  # a word that the text encoder does not read

    def _looker(self, frame: Frame) -> LookFor:
        def look_for(labels: Sequence[Label]) -> Looked:
            vision: TimmClassifier = self.surroundings.family(VISION)  # type: ignore[assignment]
            whole = vision.label_scores(vision.probabilities([frame]), labels, exclusive=False)[0]
            texts = label_embeddings(self.surroundings.family(TEXT), labels)
            nearest = (vision.space.embeddings @ texts.T).max(axis=0)
            found = self.surroundings.family(DETECT).detect([frame], labels, threshold=None)[0]
            if found.error is not None:
                raise InferenceError(found.error.message)
            names = [label.name for label in labels]
            boxes = {
                name: tuple(
                    Evidence("box", name, box.score, box)
                    for box in found.boxes
                    if box.label == name
                )
                for name in names
            }
            scores = {
                name: max([float(whole[n]), *(item.score or 0.0 for item in boxes[name])])
                for n, name in enumerate(names)
            }
            known = {name: float(nearest[n]) >= _EXPRESSIBLE for n, name in enumerate(names)}
            return Looked(scores, boxes, known)

        return look_for

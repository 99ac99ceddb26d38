"""The starter's detector: sends each label to whoever can find it.

Faces go to starter-faces, text to rapidocr, and the rest to starter-vision, which looks for
places where its classes speak for the label. That last part is coarse by nature: boxes are
made of 32-pixel cells at several scales, and small or crowded things are missed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.packs.builtin_packs import READ
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import boxes_outcome
from vlmtool_core.records import Box, Frame, Label, Outcome, OutcomeStatus, Task

FACES, VISION, TEXT = "starter-faces", "starter-vision", "starter-text"
_WORDS = {
    FACES: frozenset({"face", "faces", "human face", "human faces", "head", "heads", "人脸"}),
    READ: frozenset({"text", "texts", "writing", "words", "letters", "print", "文字"}),
}


def finder_of(label: Label) -> str:
    """The id of the pack that looks for this label."""
    names = {label.name.casefold().strip(), *(p.casefold().strip() for p in label.prompts)}
    return next((pack for pack, words in _WORDS.items() if names & words), VISION)


@register_family("starter-detect")
class StarterDetector(Family):
    """Faces when no label is given; else each label by its finder, results put together."""

    tasks = (Task.DETECT,)
    parts: ClassVar = {Task.DETECT: (FACES, READ, VISION, TEXT)}

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        if labels is None:
            return self._ask_finder(FACES, frames, None, threshold)
        parts = []
        for finder in (FACES, READ):
            # These two find one kind of thing, so each label of theirs is a question of its own.
            parts += [
                self._ask_finder(finder, frames, [label], threshold)
                for label in labels
                if finder_of(label) == finder
            ]
        rest = [label for label in labels if finder_of(label) == VISION]
        if rest:
            parts.append(self._ask_finder(VISION, frames, rest, threshold))
        return [_joined(outcomes) for outcomes in zip(*parts, strict=True)]

    def _ask_finder(
        self,
        finder: str,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        threshold: float | None,
    ) -> list[Outcome]:
        family = self.surroundings.family(finder)
        outcomes = family.detect(frames, labels, threshold=threshold)
        return [
            dataclasses.replace(outcome, provenance={finder: dict(outcome.provenance)})
            for outcome in outcomes
        ]


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of all finders; if one of them failed, the whole question failed."""
    for outcome in outcomes:
        if outcome.status is OutcomeStatus.FAILED:
            return outcome
    boxes: list[Box] = [box for outcome in outcomes for box in outcome.boxes]
    provenance = {key: value for outcome in outcomes for key, value in outcome.provenance.items()}
    return boxes_outcome(boxes, provenance)

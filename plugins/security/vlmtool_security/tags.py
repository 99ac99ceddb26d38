"""Names for what moves: the engine's zero-shot classification of the crop at the peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.api import EngineLike, Frame, Label, OutcomeStatus, Score, Task, VlmtoolError

if TYPE_CHECKING:
    import numpy as np

MOST_TAGS = 3
_MISSING = 3  # exit code of what is not installed


@dataclass(frozen=True)
class Tags:
    """What the model says of one span, best first; `error` when it could not say anything."""

    scores: tuple[Score, ...] = ()
    error: str = ""

    @property
    def top(self) -> Score | None:
        return self.scores[0] if self.scores else None


class Tagger:
    """Names crops by one model, which is checked before any footage is looked at."""

    def __init__(self, engine: EngineLike, labels: Sequence[Label]) -> None:
        try:
            identity = engine.identity(Task.CLASSIFY)
        except VlmtoolError as error:
            if error.exit_code == _MISSING:
                error.remedy += " (or leave out the names: --no-tags)"
            raise
        self._engine = engine
        self._labels = tuple(labels)
        self.model = str(identity)
        self.fingerprint = identity.fingerprint

    def tags(self, crops: Sequence[np.ndarray]) -> list[Tags]:
        """The tags of each crop, uint8 (h, w, 3), in the same order."""
        if not crops:
            return []
        frames = [Frame(pixels) for pixels in crops]
        return [
            Tags(error=outcome.error.message if outcome.error else "failed")
            if outcome.status is OutcomeStatus.FAILED
            else Tags(tuple(sorted(outcome.scores, key=lambda s: -s.score)[:MOST_TAGS]))
            for outcome in self._engine.classify(frames, self._labels)
        ]

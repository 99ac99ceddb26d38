"""Names for what moves: the engine's zero-shot classification of crops at some moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from vlmtool_core.api import (
    EngineLike,
    Frame,
    Label,
    Outcome,
    OutcomeStatus,
    Score,
    Task,
    VlmtoolError,
)

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

    def tags(self, looks: Sequence[Sequence[np.ndarray]]) -> list[Tags]:
        """The tags of each event, in the same order.

        looks : per event one or more crops, uint8 (h, w, 3), at different moments; what the
            model says of them is averaged, and looks on which it fails are left out
        """
        frames = [Frame(pixels) for crops in looks for pixels in crops]
        outcomes = iter(self._engine.classify(frames, self._labels) if frames else ())
        return [_average(list(islice(outcomes, len(crops)))) for crops in looks]


def _average(outcomes: Sequence[Outcome]) -> Tags:
    told = [o for o in outcomes if o.status is not OutcomeStatus.FAILED]
    if not told:
        error = next((o.error.message for o in outcomes if o.error), "")
        return Tags(error=error)
    sums: dict[str, float] = {}
    for outcome in told:
        for score in outcome.scores:
            sums[score.label] = sums.get(score.label, 0.0) + score.score
    best = sorted(sums.items(), key=lambda pair: -pair[1])[:MOST_TAGS]
    return Tags(tuple(Score(label, total / len(told)) for label, total in best))

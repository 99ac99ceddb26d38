"""Small builders of outcomes that all families share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vlmtool_core.records import Box, Json, Outcome, OutcomeStatus, Score

if TYPE_CHECKING:
    import numpy as np


def ranked_outcome(
    names: Sequence[str], probabilities: np.ndarray, provenance: Mapping[str, Json]
) -> Outcome:
    """All scores, best first; equal ones in the order of the names."""
    order = sorted(range(len(names)), key=lambda n: (-float(probabilities[n]), n))
    scores = tuple(Score(names[n], float(probabilities[n])) for n in order)
    return Outcome(OutcomeStatus.OK, scores=scores, provenance=provenance)


def cut_scores(outcome: Outcome, threshold: float | None, top: int | None) -> Outcome:
    """The outcome with the scores of at least `threshold`, and at most `top` of them; empty when
    none is left."""
    if outcome.status is not OutcomeStatus.OK:
        return outcome
    scores = tuple(s for s in outcome.scores if threshold is None or s.score >= threshold)[:top]
    status = OutcomeStatus.OK if scores else OutcomeStatus.EMPTY
    return dataclasses.replace(outcome, status=status, scores=scores)


def embedding_outcome(row: np.ndarray, provenance: Mapping[str, Json]) -> Outcome:
    return Outcome(OutcomeStatus.OK, embedding=row, provenance=provenance)


def boxes_outcome(boxes: Sequence[Box], provenance: Mapping[str, Json]) -> Outcome:
    """Best box first; no boxes is `empty`: looked, and found nothing."""
    ordered = tuple(sorted(boxes, key=lambda box: -(box.score or 0.0)))
    status = OutcomeStatus.OK if ordered else OutcomeStatus.EMPTY
    return Outcome(status, boxes=ordered, provenance=provenance)

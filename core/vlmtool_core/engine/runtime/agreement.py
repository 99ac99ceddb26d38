"""Whether two ways to compute a model give the same answers, seen on made-up pictures."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vlmtool_core.errors import UsageError
from vlmtool_core.records import Box, Frame, Label, Outcome, OutcomeStatus, Task

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.engine.family import Family

PICTURES = 8
LEAST_COSINE = 0.999
LEAST_OVERLAP = 0.9
MOST_SCORE_DIFFERENCE = 0.03
# Where two labels are as close as this, either may come first.
_TIE = 0.02
_BOXES = 10
_BOX_THRESHOLD = 0.02
_LABELS = tuple(Label(n) for n in ("cat", "car", "person", "text on paper", "x-ray", "landscape"))


def answers_of(family: Family) -> list[Outcome]:
    """What a family says of the made-up pictures, for those of its tasks that are compared."""
    frames = pictures()
    tasks = family.pack.tasks
    found: list[Outcome] = []
    if Task.EMBED in tasks:
        found += family.embed(frames)
    if Task.CLASSIFY in tasks:
        found += _classified(family, frames)
    if Task.DETECT in tasks:
        found += _detected(family, frames[:1])
    if not found:
        raise UsageError("no task of it can be compared")
    return found


def _classified(family: Family, frames: Sequence[Frame]) -> list[Outcome]:
    try:
        return family.classify(frames, None, exclusive=True)
    except UsageError:
        return family.classify(frames, _LABELS, exclusive=True)


def _detected(family: Family, frames: Sequence[Frame]) -> list[Outcome]:
    try:
        return family.detect(frames, None, threshold=_BOX_THRESHOLD)
    except UsageError:
        return family.detect(frames, _LABELS, threshold=_BOX_THRESHOLD)


def agreement_of(reference: Sequence[Outcome], others: Sequence[Outcome]) -> tuple[bool, float]:
    """Whether they agree, and the least cosine or overlap that was found.

    Embeddings: cosine of at least 0.999. Scores: none differs by more than 0.03, and the same
    label comes first unless two are close. Boxes: each of the ten best is found again, with an
    overlap of at least 0.9 and nearly its score.
    """
    least, agrees = 1.0, True
    for one, other in zip(reference, others, strict=True):
        if OutcomeStatus.FAILED in (one.status, other.status):
            return False, 0.0
        if one.embedding is not None and other.embedding is not None:
            cosine = float(one.embedding @ other.embedding)
            least, agrees = min(least, cosine), agrees and cosine >= LEAST_COSINE
        if one.scores:
            agrees = agrees and _same_scores(one, other)
        overlap = _found_again(one.boxes, other.boxes)
        least, agrees = min(least, overlap), agrees and overlap >= LEAST_OVERLAP
    # Two empty answers say nothing.
    compared = any(o.embedding is not None or o.scores or o.boxes for o in reference)
    return agrees and compared, least


def _same_scores(one: Outcome, other: Outcome) -> bool:
    theirs = {score.label: score.score for score in other.scores}
    differences = [abs(s.score - theirs.get(s.label, 0.0)) for s in one.scores]
    first = one.scores[0]
    close = [s.label for s in one.scores if first.score - s.score <= _TIE]
    return max(differences) <= MOST_SCORE_DIFFERENCE and other.scores[0].label in close


def _found_again(boxes: Sequence[Box], others: Sequence[Box]) -> float:
    """The least overlap of the best boxes with their best match; 1 where there are none."""
    return min((_best_overlap(box, others) for box in boxes[:_BOXES]), default=1.0)


def _best_overlap(box: Box, others: Sequence[Box]) -> float:
    score = box.score or 0.0
    near = [
        other
        for other in others
        if other.label == box.label and abs((other.score or 0.0) - score) <= MOST_SCORE_DIFFERENCE
    ]
    return max((_overlap(box, other) for other in near), default=0.0)


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-9)


@functools.cache
def pictures() -> tuple[Frame, ...]:
    """Pictures like photographs, with things of sharp edges in them; always the same."""
    return tuple(Frame(_picture(seed), seed) for seed in range(PICTURES))


def _picture(seed: int) -> np.ndarray:
    import numpy as np
    from PIL import Image

    width, height = 448, 336
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells, weight in ((3, 60), (8, 30), (24, 15), (80, 8)):
        grid = generator.normal(0, 1, (max(2, cells * 3 // 4), cells, 3)).astype(np.float32)
        layers = [
            np.asarray(
                Image.fromarray(grid[..., c]).resize((width, height), Image.Resampling.BICUBIC)
            )
            for c in range(3)
        ]
        total += weight * np.stack(layers, axis=-1)
    pixels = np.clip(total + generator.uniform(80, 170, 3), 0, 255).astype(np.uint8)
    for _ in range(4):
        x, y = generator.integers(0, width - 120), generator.integers(0, height - 90)
        w, h = generator.integers(30, 120), generator.integers(30, 90)
        pixels[y : y + h, x : x + w] = generator.integers(0, 256, 3)
    return pixels

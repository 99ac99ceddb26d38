"""Other labels for pictures that were embedded before: scored all at once, no file is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.batch.features import FeatureCache
from vlmtool_core.errors import TaskNotServedError
from vlmtool_core.records import ItemRef, Label, Task

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.engine import Engine


@dataclass(frozen=True, slots=True)
class Rescored:
    """Scores of the first frame of each item whose embedding is cached.

    places : which of the items each row is of
    labels : k names
    scores : float32 (n, k), as a run would give them
    """

    places: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray


def rescore(
    items: Sequence[ItemRef],
    labels: Sequence[Label],
    *,
    engine: Engine,
    model: str,
    exclusive: bool = True,
) -> Rescored:
    """Score labels on what a run with this model has embedded, without running it again.

    items : with their `sha256`, as a project's items and a run's rows have it

    Raises
    ------
    TaskNotServedError : the model does not compare embeddings with labels.
    UsageError, MissingPackError
    """
    import numpy as np

    if not engine.rescores(model):
        raise TaskNotServedError(
            f"{model} does not score labels by embeddings",
            field="model",
            remedy="Choose a zero-shot model such as CLIP or SigLIP.",
        )
    fingerprint = engine.identity(Task.EMBED, model).fingerprint
    with FeatureCache(fingerprint, engine.embedding_size(model)) as cache:
        rows = cache.rows_of([item.sha256 for item in items])
        places = np.flatnonzero(rows >= 0)
        matrix = cache.read(rows[places])
    scores = engine.label_scores(matrix, labels, model=model, exclusive=exclusive)
    names = dict.fromkeys(label.name for label in labels)
    return Rescored(places, tuple(names), scores)

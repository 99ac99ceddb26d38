"""What `Engine` says of pictures by their embeddings alone: other labels cost no model time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import family as family_named
from vlmtool_core.engine.results import cut_scores
from vlmtool_core.engine.runtime.numerics import with_numerics
from vlmtool_core.engine.texts.text_space import unique_labels
from vlmtool_core.records import Label, Outcome

if TYPE_CHECKING:
    import numpy as np


class Rescoring:
    """The part of `Engine` for models whose labels are compared with embeddings."""

    @abstractmethod
    def _pack(self, pack_id: str) -> Pack: ...

    @abstractmethod
    def _at_work(self, pack_id: str) -> AbstractContextManager[Family]: ...

    def rescores(self, model: str) -> bool:
        """Whether `classify_embedded` works with this model; does not load it.

        Raises
        ------
        MissingPackError
        """
        return family_named(self._pack(model).family).rescores

    def classify_embedded(
        self,
        embeddings: np.ndarray,
        labels: Sequence[Label],
        *,
        model: str,
        exclusive: bool = True,
        threshold: float | None = None,
    ) -> list[Outcome]:
        """What `classify` says of the pictures whose `embed` is float32 (n, d).

        Raises
        ------
        UsageError : an empty label.
        MissingPackError, TaskNotServedError, EngineMemoryError
        """
        wanted = unique_labels(labels)
        with self._at_work(model) as family:
            outcomes = family.classify_embedded(embeddings, wanted, exclusive=exclusive)
            told = [with_numerics(outcome, family.numerics) for outcome in outcomes]
        return [cut_scores(outcome, threshold, None) for outcome in told]

    def label_scores(
        self,
        embeddings: np.ndarray,
        labels: Sequence[Label],
        *,
        model: str,
        exclusive: bool = True,
    ) -> np.ndarray:
        """float32 (n, k) of embeddings (n, d): the scores of `classify`, all at once.

        Raises
        ------
        UsageError : an empty label.
        MissingPackError, TaskNotServedError
        """
        wanted = unique_labels(labels)
        with self._at_work(model) as family:
            return family.label_scores(embeddings, wanted, exclusive=exclusive)

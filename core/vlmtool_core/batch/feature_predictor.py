"""Runs that only need embeddings: each is computed once, whatever run or training needs it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlmtool_core.batch.decode import Decoded
from vlmtool_core.batch.features import FeatureCache, Kept, Key, Known
from vlmtool_core.batch.predict import Predictor, checked
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.engine.pictures.seen import PICTURE
from vlmtool_core.errors import StorageError
from vlmtool_core.records import Outcome, Task

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine

log = logging.getLogger(__name__)


def predictor_for(engine: Engine, spec: RunSpec, *, batch_size: int) -> Predictor:
    """What runs this spec: with the feature cache where embeddings are all that it needs.

    Raises
    ------
    UsageError : a trained head of another model than the one that is installed.
    PackIntegrityError, MissingPackError
    """
    if spec.task is Task.EMBED or (spec.task is Task.CLASSIFY and spec.head is not None):
        return FeaturePredictor(engine, spec, batch_size=batch_size)
    if spec.task is Task.CLASSIFY and spec.labels and spec.model and engine.rescores(spec.model):
        return LabelPredictor(engine, spec, batch_size=batch_size)
    return Predictor(engine, spec, batch_size=batch_size)


class FeaturePredictor(Predictor):
    """Embeds, or classifies by a trained head, from the feature cache as far as it goes.

    What is missing is embedded and kept. A cache that cannot be used costs time, not the run.
    """

    def __init__(self, engine: Engine, spec: RunSpec, *, batch_size: int = 16) -> None:
        super().__init__(engine, spec, batch_size=batch_size)
        model = spec.model
        if self._head is not None:
            engine.check_head(self._head, model)
            model = model or self._head.pack
        self._model = model
        self._embed = Predictor(engine, RunSpec(Task.EMBED, model=model), batch_size=batch_size)
        self._fingerprint = self._embed.identity().fingerprint
        self._sink: Callable[[Iterable[Kept]], None] = self.keep
        self._reads = True
        self._found: dict[Key, Known] = {}

    @property
    def batch_size(self) -> int:
        return self._embed.batch_size

    def send_to(self, sink: Callable[[Iterable[Kept]], None], *, read: bool) -> None:
        """In a worker: give new embeddings to `sink`, and never write to the cache.

        read : look into the cache of this machine first
        """
        self._sink, self._reads = sink, read

    def keep(self, entries: Iterable[Kept]) -> None:
        """Write embeddings to the cache of this machine; what fails is only logged."""
        rows = list(entries)
        vectors = [row.outcome.embedding for row in rows if row.outcome.embedding is not None]
        if not vectors:
            return
        try:
            with FeatureCache(self._fingerprint, len(vectors[0])) as cache:
                cache.add_outcomes(rows)
        except (StorageError, sqlite3.Error) as error:
            log.warning("features are not kept: %s", error)

    def look_up(self, contents: Iterable[str]) -> None:
        if not self._reads:
            return
        try:
            with self._cache() as cache:
                self._found = cache.known(sha256 for sha256 in contents if sha256)
        except (StorageError, sqlite3.Error) as error:
            log.warning("the feature cache is not used: %s", error)

    def known(self, sha256: str, frame: int) -> Known | None:
        return self._found.get((sha256, frame))

    def outcomes(self, decoded: Sequence[Decoded]) -> list[Outcome]:
        return self._answers(self._embedded(decoded))

    def _answers(self, embedded: list[Outcome]) -> list[Outcome]:
        """What the run asks, of embeddings and of failures to make one."""
        from vlmtool_core.engine.results import cut_scores

        if self._head is None:
            return embedded
        threshold = self._spec.threshold
        return [cut_scores(checked(o), threshold, None) for o in self._head.outcomes(embedded)]

    def _embedded(self, decoded: Sequence[Decoded]) -> list[Outcome]:
        known = self._known(decoded)
        missing = [item for item, old in zip(decoded, known, strict=True) if old is None]
        made = self._embed.outcomes(missing)
        self._sink(_worth_keeping(missing, made))
        results = iter(made)
        return [next(results) if outcome is None else outcome for outcome in known]

    def _known(self, decoded: Sequence[Decoded]) -> list[Outcome | None]:
        """The outcomes that the cache holds, None for the others."""
        none: list[Outcome | None] = [None] * len(decoded)
        unsure = [d.item.sha256 for d in decoded if d.frame is not None]
        if not self._reads or not (unsure or any(d.known for d in decoded)):
            return none
        try:
            with self._cache() as cache:
                found = {**cache.known(unsure), **self._found}
                places = [found.get(_key(d)) if d.error is None else None for d in decoded]
                outcomes = iter(cache.outcomes([place for place in places if place is not None]))
                return [None if place is None else next(outcomes) for place in places]
        except (StorageError, sqlite3.Error) as error:
            log.warning("the feature cache is not used: %s", error)
            return none

    def _cache(self) -> FeatureCache:
        # Opened for each batch: it belongs to the thread that uses it.
        return FeatureCache(self._fingerprint, self._width())

    def _width(self) -> int:
        if self._head is not None:
            return int(self._head.weight.shape[1])
        return self._engine.embedding_size(self._model)


class LabelPredictor(FeaturePredictor):
    """Scores labels by embeddings: a run with other labels costs neither decoding nor the model."""

    def _answers(self, embedded: list[Outcome]) -> list[Outcome]:
        vectors = [o.embedding for o in embedded if o.embedding is not None]
        if not vectors:
            return embedded
        spec = self._spec
        scored = iter(
            self._engine.classify_embedded(
                np.stack(vectors),
                spec.labels,
                model=spec.model or "",
                exclusive=spec.exclusive,
                threshold=spec.threshold,
            )
        )
        return [
            o if o.embedding is None else _of_picture(checked(next(scored)), o) for o in embedded
        ]


def _of_picture(outcome: Outcome, embedded: Outcome) -> Outcome:
    """With how the picture came to be, which the scores of an embedding do not know."""
    picture = embedded.provenance.get(PICTURE)
    if picture is None:  # kept before it was recorded
        return outcome
    return replace(outcome, provenance={**outcome.provenance, PICTURE: picture})


def _worth_keeping(decoded: Sequence[Decoded], made: Sequence[Outcome]) -> list[Kept]:
    return [
        Kept(_key(item), outcome, item.frame.time_s, item.frame.size)
        for item, outcome in zip(decoded, made, strict=True)
        if item.frame is not None
        and outcome.embedding is not None
        and np.isfinite(outcome.embedding).all()
    ]


def _key(decoded: Decoded) -> Key:
    return decoded.item.sha256, decoded.index

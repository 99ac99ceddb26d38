"""What models say of labelled items: trained heads on cached features, packs by their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlmtool_core.batch import FolderLedger, RunSpec, run_items
from vlmtool_core.batch.features import embed_items
from vlmtool_core.errors import NotEnoughLabelsError, UsageError
from vlmtool_core.jobs import CancelToken, ProgressCallback
from vlmtool_core.records import Label, OutcomeStatus, ResultRow, Task
from vlmtool_core.training import metrics
from vlmtool_core.training.records import Comparison, ComparisonReport, Evaluation

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine
    from vlmtool_core.engine.heads import ProbeHead
    from vlmtool_core.project.facade import Project
    from vlmtool_core.project.learning_data import LabelledItem


@dataclass(frozen=True)
class Predictions:
    """Probabilities of a model by item id; items that failed are not there.

    labels : what the model can say, the columns of each float (k,)
    """

    model: str
    labels: tuple[str, ...]
    by_item: dict[int, NDArray[np.float64]]


@dataclass(frozen=True)
class Machinery:
    """What it takes to ask a model."""

    project: Project
    engine: Engine
    progress: ProgressCallback
    cancel: CancelToken

    def features(
        self, items: Sequence[LabelledItem], pack: str
    ) -> tuple[dict[int, NDArray[np.float32]], list[int]]:
        """L2-normalised features float32 (d,) by item id, and the ids of those that failed."""
        found = embed_items(
            [item.ref for item in items],
            self.engine,
            model=pack,
            progress=self.progress,
            cancel=self.cancel,
        )
        self.cancel.check()
        by_name = dict(zip(found.keys, found.matrix, strict=True))
        there = {item.id: by_name[item.ref.item] for item in items if item.ref.item in by_name}
        return there, [item.id for item in items if item.id not in there]

    def of_head(self, name: str, head: ProbeHead, items: Sequence[LabelledItem]) -> Predictions:
        """What a trained head says.

        Raises
        ------
        UsageError : the pack that is installed is not the one that it was trained on.
        MissingPackError, TaskNotServedError
        """
        pack = self.engine.store.pack(head.pack)
        if pack.fingerprint != head.pack_fingerprint:
            raise UsageError(
                f"{name} was trained on another {head.pack} than the one that is installed",
                remedy=f"Install the {head.pack} it was trained on, or train again.",
                field="model",
            )
        features, _ = self.features(items, head.pack)
        if not features:
            return Predictions(name, head.labels, {})
        rows = head.probabilities(np.stack(list(features.values()))).astype(np.float64)
        return Predictions(name, head.labels, dict(zip(features, rows, strict=True)))

    def of_pack(
        self, pack: str, labels: Sequence[Label], items: Sequence[LabelledItem]
    ) -> Predictions:
        """What a pack says by the words of the labels, untrained; kept for the next time.

        Raises
        ------
        TaskNotServedError : the pack cannot classify by words.
        """
        spec = RunSpec(Task.CLASSIFY, model=pack, labels=tuple(labels), frames="first")
        model = self.engine.identity(Task.CLASSIFY, model=pack)
        refs = [item.ref for item in items]
        with FolderLedger.for_input(self.project.root, spec, model) as ledger:
            run_items(
                refs,
                spec,
                engine=self.engine,
                ledger=ledger,
                progress=self.progress,
                cancel=self.cancel,
            )
            self.cancel.check()
            rows = {row.item: row for row in ledger.rows(refs)}
        names = tuple(label.name for label in labels)
        by_item = {
            item.id: _probabilities(rows[item.ref.item], names)
            for item in items
            if item.ref.item in rows
            and rows[item.ref.item].outcome.status in (OutcomeStatus.OK, OutcomeStatus.EMPTY)
        }
        return Predictions(pack, names, by_item)


def _probabilities(row: ResultRow, names: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities in the order of `names`; what was not listed shares what is left."""
    given = {score.label: score.score for score in row.outcome.scores}
    missing = sum(name not in given for name in names)
    rest = max(0.0, 1.0 - sum(given.values())) / missing if missing else 0.0
    values = np.array([given.get(name, rest) for name in names], np.float64)
    total = values.sum()
    return values / total if total > 0 else np.full(len(names), 1 / len(names))


def compare_on_holdout(
    predictions: Sequence[Predictions], holdout: Sequence[LabelledItem], *, seed: int = 0
) -> ComparisonReport:
    """Evaluate every model on the same items: those of the hold-out that all could be asked of.

    Each model after the first is compared with the first.

    Raises
    ------
    NotEnoughLabelsError : there is no such item.
    """
    common = [i for i in holdout if all(i.id in p.by_item for p in predictions)]
    if not common:
        raise NotEnoughLabelsError(
            f"nothing of the hold-out could be predicted by {_silent(predictions)}",
            remedy="Check that the files of the project are still where they were.",
        )
    lost = len(holdout) - len(common)
    warnings = (f"{lost} items of the hold-out could not be predicted and are left out",)
    extra = sorted({name for p in predictions for name in p.labels} - _labels(common))
    labels = [*sorted(_labels(common)), *extra]
    position = {name: i for i, name in enumerate(labels)}
    truth = np.array([position[item.label] for item in common], np.int64)
    groups = [item.group for item in common]
    evaluations: list[Evaluation] = []
    correct: list[NDArray[np.bool_]] = []
    for p in predictions:
        rows = np.stack([p.by_item[item.id] for item in common])
        aligned = metrics.align(rows, p.labels, labels)
        evaluations.append(metrics.evaluate(p.model, labels, truth, aligned, groups, seed=seed))
        correct.append(aligned.argmax(axis=1) == truth)
    comparisons: list[Comparison] = [
        metrics.compare(predictions[0].model, p.model, correct[0], hits, groups, seed=seed)
        for p, hits in zip(predictions[1:], correct[1:], strict=True)
    ]
    return ComparisonReport(tuple(evaluations), tuple(comparisons), warnings if lost else ())


def _labels(items: Sequence[LabelledItem]) -> set[str]:
    return {item.label for item in items}


def _silent(predictions: Sequence[Predictions]) -> str:
    names = [p.model for p in predictions if not p.by_item] or [p.model for p in predictions]
    return " and ".join(names)

"""A trained version as the project keeps it: its head, its card's facts, its metric rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from vlmtool_core.records import Json
from vlmtool_core.store.records import MetricRecord
from vlmtool_core.training.probe import FittedProbe
from vlmtool_core.training.records import Evaluation

if TYPE_CHECKING:
    from vlmtool_core.engine.heads import ProbeHead


def head_of(probe: FittedProbe, labels: tuple[str, ...], pack: str, fingerprint: str) -> ProbeHead:
    """The fitted probe as a head that the engine can run."""
    from vlmtool_core.engine.heads import ProbeHead

    return ProbeHead(
        labels=labels,
        weight=probe.weight,
        bias=probe.bias,
        temperature=probe.temperature,
        exclusive=True,
        pack=pack,
        pack_fingerprint=fingerprint,
    )


def probe_facts(probe: FittedProbe) -> dict[str, Json]:
    """How the fit went."""
    return {
        "strength": probe.strength,
        "temperature": probe.temperature,
        "logit_scale": probe.logit_scale,
        "iterations": probe.iterations,
        "train_loss": probe.train_loss,
        "search": [asdict(point) for point in probe.search],
    }


def summary(evaluation: Evaluation) -> dict[str, float]:
    """The numbers that a list of versions shows."""
    return {
        "accuracy": evaluation.accuracy.value,
        "accuracy_low": evaluation.accuracy.low,
        "accuracy_high": evaluation.accuracy.high,
        "balanced_accuracy": evaluation.balanced_accuracy,
        "macro_f1": evaluation.macro_f1.value,
        "nll": evaluation.nll,
        "ece": evaluation.ece,
        "count": float(evaluation.count),
    }


def metric_records(evaluation: Evaluation) -> Iterator[MetricRecord]:
    """One row for each number of an evaluation."""
    model = evaluation.model
    for name in ("accuracy", "macro_f1"):
        interval = getattr(evaluation, name)
        yield MetricRecord(model, name, interval.value, interval.low, interval.high)
    for name in ("balanced_accuracy", "nll", "ece", "brier"):
        yield MetricRecord(model, name, getattr(evaluation, name))
    for row in evaluation.per_class:
        for name in ("precision", "recall", "f1"):
            yield MetricRecord(model, name, getattr(row, name), label=row.label)

"""What training is asked for and what it reports: frozen records with a JSON round trip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from vlmtool_core.errors import UsageError
from vlmtool_core.records import Json, Task

CLASS_WEIGHTS = ("none", "balanced")
METHODS = ("probe",)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train; the same settings, labels and seed give the same version.

    method : "probe" (multinomial logistic regression on cached features)
    model : id of the base pack, None for that of the active version or the default
    holdout : share of the labels kept for the proof, in (0, 0.5]
    class_weights : "none", or "balanced" to give rare labels as much weight as common ones
    use_text : start from the labels' texts where the base pack can read them
    margin : accuracy that the new version may lose on the hold-out and still become active
    """

    task: Task = Task.CLASSIFY
    method: str = "probe"
    seed: int = 0
    model: str | None = None
    holdout: float = 0.2
    class_weights: str = "none"
    use_text: bool = True
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.task is not Task.CLASSIFY:
            raise UsageError(f"cannot train {self.task}; only classify is learnt", field="task")
        _one_of("method", self.method, METHODS)
        _one_of("class_weights", self.class_weights, CLASS_WEIGHTS)
        if not 0 < self.holdout <= 0.5:
            raise UsageError(f"expected a share in (0, 0.5], got {self.holdout}", field="holdout")
        if not 0 <= self.margin < 1:
            raise UsageError(f"expected a number in [0, 1), got {self.margin}", field="margin")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"expected 0 to 4294967295, got {self.seed}", field="seed")

    def to_json(self) -> dict[str, Json]:
        return {**dataclasses.asdict(self), "task": str(self.task)}

    @classmethod
    def from_json(cls, values: Mapping[str, Json]) -> TrainSettings:
        """Settings from a JSON object.

        Raises
        ------
        UsageError : an unknown key or a value out of range.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise UsageError(f"no such training setting; there are: {sorted(known)}", field=key)
        arguments = dict(values)
        try:
            arguments["task"] = Task(arguments.get("task", Task.CLASSIFY))
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(f"training settings are not valid: {error}") from error


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"expected one of {', '.join(choices)}, got {value!r}", field=name)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of the live curves.

    step : counts up over the whole training
    phase : "search" (a strength was tried, `validation` is its cross-validated accuracy)
        or "fit" (an iteration of the final fit, `validation` is None)
    train_loss : mean cross-entropy in nats
    """

    step: int
    train_loss: float
    validation: float | None
    phase: str


CurveCallback = Callable[[CurvePoint], None]


def no_curve(_point: CurvePoint) -> None:
    """The callback of a caller who draws no curve."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """`support`: how many of the hold-out carry the label. A ratio over nothing is 0."""

    label: str
    support: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How one model does on a hold-out.

    count, groups : items and groups in the hold-out
    confusion : rows are the true labels, columns the predicted ones, in the order of `labels`
    nll : mean negative log-likelihood in nats; ece : expected calibration error over 15 bins
    """

    model: str
    count: int
    groups: int
    accuracy: Interval
    balanced_accuracy: float
    macro_f1: Interval
    nll: float
    ece: float
    brier: float
    labels: tuple[str, ...]
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]

    def to_json(self) -> dict[str, Json]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Evaluation:
        return cls(
            **{
                **values,
                "accuracy": Interval(**values["accuracy"]),
                "macro_f1": Interval(**values["macro_f1"]),
                "labels": tuple(values["labels"]),
                "per_class": tuple(ClassMetrics(**c) for c in values["per_class"]),
                "confusion": tuple(tuple(row) for row in values["confusion"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Model B against model A on the same hold-out.

    difference : accuracy of B minus accuracy of A, with a paired bootstrap interval over groups
    only_a, only_b : items that only A, only B gets right
    p_value : two-sided exact McNemar test
    """

    model_a: str
    model_b: str
    count: int
    difference: Interval
    only_a: int
    only_b: int
    p_value: float

    def to_json(self) -> dict[str, Json]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Whether the new version may become the active one, and why."""

    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A base pack plus what training in this project added; immutable.

    path : the folder with the head and its card
    metrics : `accuracy`, `macro_f1`, `ece`, ... on the hold-out of its own training
    """

    number: int
    title: str
    pack: str
    pack_fingerprint: str
    method: str
    created_at: datetime
    active: bool
    path: Path
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the version is called on the command line: "v3"."""
        return f"v{self.number}"

    def to_json(self) -> dict[str, Json]:
        return {
            **dataclasses.asdict(self),
            "label": self.label,
            "created_at": self.created_at.isoformat(),
            "path": str(self.path),
            "metrics": dict(self.metrics),
        }


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training did.

    old : the model that was in use, on the same hold-out; None when there was none
    cross_validated : accuracy over the training side, for projects under 100 labels
    warnings : what was left out, and why
    """

    version: ModelVersion
    old: Evaluation | None
    new: Evaluation
    comparison: Comparison | None
    activated: bool
    reason: str
    train_count: int = 0
    cross_validated: float | None = None
    warnings: tuple[str, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Json]:
        return {
            "version": self.version.to_json(),
            "old": self.old.to_json() if self.old else None,
            "new": self.new.to_json(),
            "comparison": self.comparison.to_json() if self.comparison else None,
            "activated": self.activated,
            "reason": self.reason,
            "train_count": self.train_count,
            "cross_validated": self.cross_validated,
            "warnings": list(self.warnings),
            "curve": [dataclasses.asdict(point) for point in self.curve],
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Several models on the same hold-out; each is compared with the first."""

    evaluations: tuple[Evaluation, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        return {
            "evaluations": [e.to_json() for e in self.evaluations],
            "comparisons": [c.to_json() for c in self.comparisons],
            "warnings": list(self.warnings),
        }

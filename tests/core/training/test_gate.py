"""The gate and the records that travel."""

from __future__ import annotations

import numpy as np
import pytest

from vlmtool_core.errors import UsageError
from vlmtool_core.training.gate import judge
from vlmtool_core.training.metrics import compare, evaluate
from vlmtool_core.training.records import Comparison, Evaluation, TrainSettings
from vlmtool_core.training.snapshot import SnapshotRow, take_snapshot


def models(right_a: int, right_b: int, n: int = 100) -> tuple[Evaluation, Evaluation, Comparison]:
    """Two models on the same n items, right on the first so many."""
    truth = np.zeros(n, np.int64)
    truth[0] = 1
    correct = [np.arange(n) < right for right in (right_a, right_b)]
    groups = [str(i) for i in range(n)]
    evaluations = []
    for name, hit in zip(("v1", "v2"), correct, strict=True):
        predicted = np.where(hit, truth, 1 - truth)
        evaluations.append(evaluate(name, ["a", "b"], truth, np.eye(2)[predicted], groups))
    return (*evaluations, compare("v1", "v2", *correct, groups))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("old_right", "new_right", "margin", "passed"),
    [
        (80, 90, 0.0, True),
        (80, 80, 0.0, True),  # as good is not worse
        (80, 79, 0.0, False),
        (80, 79, 0.01, True),  # exactly the margin
        (80, 78, 0.01, False),
    ],
)
def test_only_what_is_not_worse_passes(
    old_right: int, new_right: int, margin: float, passed: bool
) -> None:
    decision = judge(*models(old_right, new_right), margin=margin)
    assert decision.passed is passed
    assert f"{old_right}.0 %" in decision.reason
    assert f"{new_right}.0 %" in decision.reason


def test_the_first_version_passes() -> None:
    _, new, _ = models(50, 60)
    assert judge(None, new, None).passed


def test_a_small_holdout_is_said_to_be_small() -> None:
    assert "only 12 items" in judge(*models(6, 8, 12)).reason
    assert "only" not in judge(*models(60, 80)).reason


def test_settings_survive_json() -> None:
    settings = TrainSettings(seed=3, class_weights="balanced", holdout=0.3, margin=0.01)
    assert TrainSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", "detect"),
        ("task", "sing"),
        ("method", "magic"),
        ("holdout", 0.0),
        ("holdout", 0.9),
        ("class_weights", "some"),
        ("margin", -0.1),
        ("seed", -1),
        ("seed", "x"),
        ("colour", "red"),
    ],
)
def test_wrong_settings_are_refused(key: str, value: object) -> None:
    with pytest.raises(UsageError):
        TrainSettings.from_json({key: value})


def test_a_snapshot_depends_on_every_field_and_not_on_the_order() -> None:
    rows = [SnapshotRow(i, i + 10, f"{i:064x}", "a", str(i), "train") for i in range(5)]
    sealed = take_snapshot(rows)
    assert take_snapshot(reversed(rows)) == sealed
    moved = [*rows[:4], SnapshotRow(4, 14, f"{4:064x}", "a", "4", "holdout")]
    assert take_snapshot(moved).digest != sealed.digest

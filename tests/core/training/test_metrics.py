"""Metrics against scikit-learn and scipy, and intervals that know about groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sk

from vlmtool_core.training import metrics
from vlmtool_core.training.records import Evaluation


def sample(n: int = 300, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, k, n)
    scores = generator.random((n, k)) + 0.7 * np.eye(k)[truth]
    return truth, scores / scores.sum(axis=1, keepdims=True)


def test_evaluation_agrees_with_scikit_learn() -> None:
    truth, probabilities = sample()
    names = ["a", "b", "c", "d"]
    result = metrics.evaluate("m", names, truth, probabilities, [str(i) for i in range(300)])
    predicted = probabilities.argmax(axis=1)
    assert result.accuracy.value == pytest.approx(sk.accuracy_score(truth, predicted))
    assert result.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
    assert result.macro_f1.value == pytest.approx(sk.f1_score(truth, predicted, average="macro"))
    assert result.nll == pytest.approx(sk.log_loss(truth, probabilities))
    assert np.array_equal(result.confusion, sk.confusion_matrix(truth, predicted))
    expected = sk.precision_recall_fscore_support(truth, predicted)
    for i, row in enumerate(result.per_class):
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(
            tuple(column[i] for column in expected)
        )
    assert Evaluation.from_json(result.to_json()) == result


def test_a_label_that_is_never_true_does_not_count_in_macro_f1() -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    matrix = metrics.confusion_matrix(truth, predicted, 3)
    assert metrics.macro_f1(matrix) == pytest.approx((2 / 3 + 1) / 2)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        correct = generator.random(200) < 0.8
        interval = metrics.accuracy_interval(correct, np.arange(200), seed=trial, resamples=400)
        covered += interval.low <= 0.8 <= interval.high
    assert 0.90 <= covered / 300 <= 0.99


def test_copies_within_a_group_do_not_narrow_the_interval() -> None:
    correct = np.random.default_rng(0).random(50) < 0.7
    single = metrics.accuracy_interval(correct, np.arange(50))
    copied = metrics.accuracy_interval(np.repeat(correct, 20), np.repeat(np.arange(50), 20))
    assert copied.value == pytest.approx(single.value)
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.05)


@pytest.mark.parametrize(("right", "low", "high"), [(True, 0.6915, 1.0), (False, 0.0, 0.3085)])
def test_all_right_or_all_wrong_is_not_certainty(right: bool, low: float, high: float) -> None:
    interval = metrics.accuracy_interval(np.full(10, right), np.arange(10))
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_of_macro_f1_agrees_with_drawing_one_by_one() -> None:
    truth, probabilities = sample(120, 3)
    predicted = probabilities.argmax(axis=1)
    interval = metrics.macro_f1_interval(truth, predicted, np.arange(120), 3)
    generator = np.random.default_rng(5)
    drawn = []
    for _ in range(500):
        rows = generator.integers(0, 120, 120)
        drawn.append(sk.f1_score(truth[rows], predicted[rows], average="macro"))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.02)


@given(st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None)
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    count = only_a + only_b
    expected = binomtest(min(only_a, only_b), count, 0.5).pvalue if count else 1.0
    assert metrics.mcnemar_p_value(only_a, only_b) == pytest.approx(expected)


def test_the_comparison_counts_who_alone_is_right() -> None:
    a = np.array([1, 1, 0, 0, 1, 0], bool)
    b = np.array([1, 0, 1, 1, 1, 1], bool)
    result = metrics.compare("old", "new", a, b, list("abcdef"))
    assert (result.only_a, result.only_b) == (1, 3)
    assert result.difference.value == pytest.approx(2 / 6)
    assert result.p_value == pytest.approx(binomtest(1, 4).pvalue)
    assert result.difference.low <= 2 / 6 <= result.difference.high


def test_a_model_does_not_differ_from_itself() -> None:
    a = np.random.default_rng(0).random(50) < 0.5
    result = metrics.compare("x", "x", a, a, [str(i) for i in range(50)])
    assert (result.difference.low, result.difference.high, result.p_value) == (0.0, 0.0, 1.0)


def test_columns_are_moved_by_name() -> None:
    aligned = metrics.align(np.array([[0.2, 0.8]]), ["b", "a"], ["a", "b", "c"])
    assert aligned.tolist() == [[0.8, 0.2, 0.0]]

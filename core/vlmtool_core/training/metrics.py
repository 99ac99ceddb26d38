"""How good a classifier is on a hold-out, and whether one is better than another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlmtool_core.training.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
)
from vlmtool_core.training.records import ClassMetrics, Comparison, Evaluation, Interval

RESAMPLES = 2000
CONFIDENCE = 0.95

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


def confusion_matrix(truth: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts (classes, classes): rows are true, columns predicted."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (truth, predicted), 1)
    return matrix


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def precision_recall_f1(
    confusion: NDArray[np.number],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1 per class (..., k) of matrices (..., k, k); 0 where undefined."""
    matrix = confusion.astype(np.float64)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).copy()
    predicted, true = matrix.sum(axis=-2), matrix.sum(axis=-1)
    return _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, predicted + true)


def macro_f1(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    """Mean F1 over the classes that occur in the truth, of matrices (..., k, k)."""
    _, _, f1 = precision_recall_f1(confusion)
    present = confusion.sum(axis=-1) > 0
    return (f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def group_index(groups: Sequence[str]) -> Ints:
    """Number (0 to g-1) of each sample's group."""
    return np.unique(np.asarray(groups, dtype=object), return_inverse=True)[1].astype(np.int64)


def _resampled_weights(groups: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """How often each group is drawn in each bootstrap sample: (resamples, groups)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(groups, np.full(groups, 1 / groups), resamples).astype(np.float64)


def _interval(value: float, samples: NDArray[np.float64]) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    # The percentile interval of a skewed statistic may miss the estimate itself.
    return Interval(value, float(min(low, value)), float(max(high, value)))


def _exact_bound(value: float, groups: int) -> Interval:
    """Clopper-Pearson over groups, for the case that all or none are right.

    The bootstrap would claim certainty there, however few the groups.
    """
    bound = ((1 - CONFIDENCE) / 2) ** (1 / groups)
    return Interval(value, bound, 1.0) if value == 1.0 else Interval(value, 0.0, 1.0 - bound)


def accuracy_interval(
    correct: NDArray[np.bool_], groups: Ints, *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Accuracy with a 95 % bootstrap interval that draws whole groups."""
    value = float(correct.mean())
    count = int(groups.max()) + 1
    if value in (0.0, 1.0):
        return _exact_bound(value, count)
    weights = _resampled_weights(count, seed, resamples)
    hits = np.bincount(groups, correct, count)
    sizes = np.bincount(groups, minlength=count)
    return _interval(value, (weights @ hits) / (weights @ sizes))


def macro_f1_interval(
    truth: Ints,
    predicted: Ints,
    groups: Ints,
    classes: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Macro-F1 with a 95 % bootstrap interval that draws whole groups."""
    value = float(macro_f1(confusion_matrix(truth, predicted, classes)))
    count = int(groups.max()) + 1
    if (truth == predicted).all():
        return _exact_bound(1.0, count)
    weights = _resampled_weights(count, seed, resamples)
    samples = np.empty(resamples)
    step = max(1, 4_000_000 // classes**2)
    pairs, cell = np.unique(truth * classes + predicted, return_inverse=True)
    per_group = np.zeros((count, pairs.size))
    np.add.at(per_group, (groups, cell), 1)
    for start in range(0, resamples, step):
        drawn = weights[start : start + step] @ per_group
        matrices = np.zeros((drawn.shape[0], classes * classes))
        matrices[:, pairs] = drawn
        samples[start : start + step] = macro_f1(matrices.reshape(-1, classes, classes))
    return _interval(value, samples)


def evaluate(
    model: str,
    labels: Sequence[str],
    truth: Ints,
    probabilities: Floats,
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> Evaluation:
    """Everything that is reported of a model on a hold-out.

    Parameters
    ----------
    labels : k names, the columns of `probabilities`
    truth : int (n,), column of the true label
    probabilities : float (n, k), rows sum to 1
    groups : n group names; confidence intervals draw whole groups
    """
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    numbers = group_index(groups)
    matrix = confusion_matrix(truth, predicted, len(labels))
    precision, recall, f1 = precision_recall_f1(matrix)
    support = matrix.sum(axis=1)
    return Evaluation(
        model=model,
        count=int(truth.size),
        groups=int(numbers.max()) + 1,
        accuracy=accuracy_interval(predicted == truth, numbers, seed=seed),
        balanced_accuracy=float(recall[support > 0].mean()),
        macro_f1=macro_f1_interval(truth, predicted, numbers, len(labels), seed=seed),
        nll=negative_log_likelihood(probabilities, truth),
        ece=expected_calibration_error(probabilities, truth),
        brier=brier_score(probabilities, truth),
        labels=tuple(labels),
        per_class=tuple(
            ClassMetrics(name, int(support[i]), float(precision[i]), float(recall[i]), float(f1[i]))
            for i, name in enumerate(labels)
        ),
        confusion=tuple(tuple(int(v) for v in row) for row in matrix),
    )


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """Two-sided exact McNemar test on the items that exactly one of two models gets right."""
    from scipy.special import bdtr

    if only_a + only_b == 0:
        return 1.0
    return float(min(1.0, 2 * bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def compare(
    model_a: str,
    model_b: str,
    correct_a: NDArray[np.bool_],
    correct_b: NDArray[np.bool_],
    groups: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Model B against model A, item by item on the same hold-out (bool (n,) each)."""
    numbers = group_index(groups)
    count = int(numbers.max()) + 1
    difference = correct_b.astype(np.float64) - correct_a
    weights = _resampled_weights(count, seed, resamples)
    sums = np.bincount(numbers, difference, count)
    sizes = np.bincount(numbers, minlength=count)
    only_a = int((correct_a & ~correct_b).sum())
    only_b = int((correct_b & ~correct_a).sum())
    return Comparison(
        model_a=model_a,
        model_b=model_b,
        count=int(difference.size),
        difference=_interval(float(difference.mean()), (weights @ sums) / (weights @ sizes)),
        only_a=only_a,
        only_b=only_b,
        p_value=mcnemar_p_value(only_a, only_b),
    )


def align(
    probabilities: Floats, labels: Sequence[str], target: Sequence[str]
) -> NDArray[np.float64]:
    """Columns of `probabilities` (n, k) moved to the order of `target`; unknown labels get 0.

    Every label must be in `target`.
    """
    position = {name: i for i, name in enumerate(target)}
    aligned = np.zeros((probabilities.shape[0], len(target)))
    aligned[:, [position[name] for name in labels]] = probabilities
    return aligned

"""Turns scores into probabilities that mean what they say: one temperature, fitted out of fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15
LOG_TEMPERATURE_BOUNDS = (-4.0, 4.0)
TINY = 1e-12

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Row-wise softmax of (n, k) in float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def log_loss(logits: Floats, truth: Ints) -> float:
    """Mean cross-entropy, in nats, of logits (n, k) against class indices (n,)."""
    z = np.asarray(logits, np.float64)
    z = z - z.max(axis=1, keepdims=True)
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(truth.size), truth]).mean())


def fit_temperature(logits: Floats, truth: Ints) -> float:
    """The temperature T > 0 for which softmax(logits / T) fits the truth best.

    The truth is smoothed by 1 / (n + 1) (Platt 1999), so that n logits without a single error
    do not claim more certainty than n samples can show. To be honest the logits must be of
    samples that the model was not fitted on. T stays between e^-4 and e^4.
    """
    from scipy.optimize import minimize_scalar

    z = np.asarray(logits, np.float64)
    smoothing = 1 / (truth.size + 1)
    aim = np.full(z.shape, smoothing / z.shape[1])
    aim[np.arange(truth.size), truth] += 1 - smoothing
    z = z - z.max(axis=1, keepdims=True)
    mean_aim = (z * aim).sum(axis=1).mean()

    def loss(log_t: float) -> float:
        t = np.exp(log_t)
        return float(np.log(np.exp(z / t).sum(axis=1)).mean() - mean_aim / t)

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURE_BOUNDS, method="bounded")
    return float(np.exp(found.x))


def negative_log_likelihood(probabilities: Floats, truth: Ints) -> float:
    """Mean -log of the probability given to the truth, in nats; probabilities clipped at 1e-12."""
    chosen = probabilities[np.arange(truth.size), truth]
    return float(-np.log(np.maximum(chosen, TINY)).mean())


def brier_score(probabilities: Floats, truth: Ints) -> float:
    """Mean squared distance, in [0, 2], between probabilities and the one-hot truth."""
    residual = np.array(probabilities, np.float64)
    residual[np.arange(truth.size), truth] -= 1
    return float((residual**2).sum(axis=1).mean())


def expected_calibration_error(probabilities: Floats, truth: Ints, *, bins: int = BINS) -> float:
    """|confidence - accuracy| of the top class, averaged over equal-width bins by their size."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    number = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(number, confidence - correct, bins)
    return float(np.abs(gap).sum() / truth.size)

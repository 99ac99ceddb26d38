"""How far the labels' texts are to be trusted as a start for a probe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmtool_core.training.calibration import log_loss

MAX_LOGIT_SCALE = 200.0

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


def fit_logit_scale(similarities: Floats, targets: Ints) -> float:
    """The scale s >= 0 for which softmax(s * similarities + bias) fits the targets best.

    Texts that say nothing about the pictures get s = 0, which is a start from zero: the gain in
    likelihood must pay for the parameter (Bayesian information criterion), as with few labels
    chance alone finds a scale.
    """
    from scipy.optimize import minimize

    n, k = similarities.shape
    one_hot = np.eye(k)[targets]

    def objective(x: Doubles) -> tuple[float, Doubles]:
        logits = x[0] * similarities + x[1:]
        logits = logits - logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        residual = (p - one_hot) / n
        penalty = 1e-3 * x[1:]
        gradient = np.concatenate([[(residual * similarities).sum()], residual.sum(0) + penalty])
        loss = log_loss(logits, targets) + 0.5 * float(penalty @ x[1:])
        return loss, gradient

    bounds = [(0.0, MAX_LOGIT_SCALE)] + [(None, None)] * k
    start = np.concatenate([[1.0], np.zeros(k)])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
    shares = np.bincount(targets, minlength=k) / n
    without = -float((shares * np.log(np.maximum(shares, 1e-12))).sum())
    worth_it = n * (without - found.fun) > max(1.0, 0.5 * np.log(n))
    return float(found.x[0]) if worth_it else 0.0

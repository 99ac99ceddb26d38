"""Multinomial logistic regression on cached features, pulled towards text weights, by L-BFGS.

The fit runs in the row space of the centred features (where the optimum lies, by the representer
theorem) with a diagonal preconditioner, so that it takes a few dozen cheap iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmtool_core.jobs import CancelToken
from vlmtool_core.training.calibration import fit_temperature, log_loss
from vlmtool_core.training.records import CurveCallback, CurvePoint, no_curve
from vlmtool_core.training.splits import group_folds
from vlmtool_core.training.text_scale import fit_logit_scale

# L2 strengths, of the mean loss: strong to weak, so that each fit warm-starts the next.
STRENGTHS = tuple(float(10.0**e) for e in np.arange(-1.0, -6.01, -0.5))
DEFAULT_STRENGTH = 1e-3
PATIENCE = 2
MAX_ITERATIONS = 300
TOLERANCE = 1e-5
SEARCH_TOLERANCE = 3e-4

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """Samples in the reduced space.

    rows : float32 or float64 (n, r), centred features times `basis` transposed
    offsets : (n, k), logits of the weights that the fit is pulled towards
    one_hot : (n, k); sample_weights : (n,), sum 1
    preconditioner : (r,), curvature of the mean loss along each direction, at probability 1/k
    """

    rows: Floats
    offsets: Floats
    one_hot: Floats
    sample_weights: Floats
    preconditioner: Doubles

    @property
    def classes(self) -> int:
        return int(self.one_hot.shape[1])

    def subset(self, keep: NDArray[np.bool_]) -> Problem:
        weights = self.sample_weights[keep]
        return Problem(
            np.ascontiguousarray(self.rows[keep]),
            self.offsets[keep],
            self.one_hot[keep],
            weights / weights.sum(),
            self.preconditioner,
        )

    def logits(self, delta: Floats, bias: Floats) -> Floats:
        """Logits (n, k) of weights `delta` (k, r) away from the centre, and `bias` (k,)."""
        return self.rows @ delta.T.astype(self.rows.dtype) + self.offsets + bias


@dataclass(frozen=True)
class Basis:
    """The row space of centred features: `mean` (d,), orthonormal `axes` (r, d)."""

    mean: Floats
    axes: Floats


@dataclass(frozen=True)
class StrengthPoint:
    """One strength tried. `score`: cross-validated log loss at its best temperature."""

    strength: float
    score: float
    accuracy: float


@dataclass(frozen=True)
class FittedProbe:
    """A linear classifier: logits = features @ weight.T + bias, divided by `temperature`.

    weight : float32 (k, d); bias : float32 (k,)
    logit_scale : what the unit-length text weights were multiplied with, 0 without text
    cross_validated : accuracy over the folds at the chosen strength, None without folds
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float
    strength: float
    logit_scale: float
    iterations: int
    train_loss: float
    search: tuple[StrengthPoint, ...] = ()
    cross_validated: float | None = None


def loss_and_gradient(theta: Doubles, problem: Problem, strength: float) -> tuple[float, Doubles]:
    """Weighted mean cross-entropy + strength / 2 * |delta|^2, and its gradient.

    Parameters
    ----------
    theta : (k * (r + 1),), delta (k, r) row by row, then the bias (k,), which is not penalised
    """
    k, r = problem.classes, problem.rows.shape[1]
    delta, bias = theta[: k * r].reshape(k, r), theta[k * r :]
    logits = problem.logits(delta, bias.astype(problem.rows.dtype))
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    total = exponentials.sum(axis=1, keepdims=True)
    losses = np.log(total[:, 0]) - (logits * problem.one_hot).sum(axis=1)
    loss = float(np.dot(problem.sample_weights, losses.astype(np.float64)))
    residual = (exponentials / total - problem.one_hot) * problem.sample_weights[:, None].astype(
        problem.rows.dtype
    )
    gradient = np.empty_like(theta)
    gradient[: k * r] = (residual.T @ problem.rows).ravel() + strength * delta.ravel()
    gradient[k * r :] = residual.sum(axis=0)
    return loss + 0.5 * strength * float(np.dot(delta.ravel(), delta.ravel())), gradient


def minimise(
    problem: Problem,
    strength: float,
    start: Doubles | None = None,
    *,
    on_step: Callable[[int, float], None] | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> tuple[Doubles, int, float]:
    """Minimise `loss_and_gradient` by L-BFGS; returns theta, iterations and the loss reached.

    Variables are scaled by the square root of the curvature, which makes the Hessian close to
    the identity at the start.
    """
    from scipy.optimize import minimize

    k, r = problem.classes, problem.rows.shape[1]
    scale = np.sqrt(problem.preconditioner + strength)
    scales = np.concatenate([np.tile(scale, k), np.full(k, np.sqrt((k - 1) / k**2))])
    theta = np.zeros(k * (r + 1)) if start is None else start

    def objective(x: Doubles) -> tuple[float, Doubles]:
        loss, gradient = loss_and_gradient(x / scales, problem, strength)
        return loss, gradient / scales

    steps = 0

    def callback(intermediate_result: object) -> None:
        nonlocal steps
        steps += 1
        if on_step is not None:
            on_step(steps, float(intermediate_result.fun))  # type: ignore[attr-defined]

    options = {"maxiter": max_iterations, "gtol": tolerance, "ftol": 1e-9, "maxcor": 5}
    found = minimize(
        objective, theta * scales, jac=True, method="L-BFGS-B", callback=callback, options=options
    )
    return found.x / scales, int(found.nit), float(found.fun)


def row_space(features: Floats) -> tuple[Basis, Floats, Doubles]:
    """Basis of the centred features (n, d), their coordinates (n, r) and variances (r,)."""
    from scipy.linalg import eigh

    mean = features.mean(axis=0, dtype=np.float64).astype(features.dtype)
    centred = features - mean
    n, d = centred.shape
    gram = centred @ centred.T if n <= d else centred.T @ centred
    values, vectors = eigh(gram.astype(np.float64), driver="evd")
    keep = values > max(float(values[-1]), 0.0) * 1e-7 + 1e-12
    values, vectors = values[keep], vectors[:, keep]
    if n <= d:
        axes = (vectors / np.sqrt(values)).T.astype(features.dtype) @ centred
    else:
        axes = np.ascontiguousarray(vectors.T).astype(features.dtype)
    return Basis(mean, axes), np.ascontiguousarray(centred @ axes.T), values / n


def sample_weights(targets: Ints, classes: int, scheme: str) -> Doubles:
    """Weights (n,) that sum to 1; "balanced" gives each class the same total."""
    if scheme == "balanced":
        counts = np.bincount(targets, minlength=classes)
        weights = 1.0 / np.maximum(counts, 1)[targets]
    else:
        weights = np.ones(targets.size)
    return weights / weights.sum()


def make_problem(
    features: Floats, targets: Ints, classes: int, centre: Floats | None, scheme: str
) -> tuple[Problem, Basis]:
    """Bring features (n, d) into the row space; `centre` (k, d) is what weights are pulled to."""
    basis, rows, variances = row_space(features)
    offsets = np.zeros((features.shape[0], classes), features.dtype)
    if centre is not None:
        offsets = (features - basis.mean) @ centre.T.astype(features.dtype)
    one_hot = np.eye(classes, dtype=features.dtype)[targets]
    curvature = variances * (classes - 1) / classes**2
    weights = sample_weights(targets, classes, scheme).astype(features.dtype)
    return Problem(rows, offsets, one_hot, weights, curvature), basis


@dataclass
class _Search:
    """Cross-validation along the strengths; keeps the best."""

    problem: Problem
    targets: Ints
    folds: Ints

    def __post_init__(self) -> None:
        self.count = int(self.folds.max()) + 1
        self.parts = [self.problem.subset(self.folds != f) for f in range(self.count)]
        self.starts: list[Doubles | None] = [None] * self.count
        self.best_logits: Floats | None = None

    def try_strength(self, strength: float) -> tuple[StrengthPoint, Floats, float]:
        """Fit every fold; returns the point, out-of-fold logits (n, k) and the train loss."""
        k, r = self.problem.classes, self.problem.rows.shape[1]
        logits = np.empty_like(self.problem.offsets)
        losses = []
        for fold, part in enumerate(self.parts):
            theta, _, loss = minimise(part, strength, self.starts[fold], tolerance=SEARCH_TOLERANCE)
            self.starts[fold] = theta
            losses.append(loss)
            out = self.folds == fold
            delta = theta[: k * r].reshape(k, r).astype(logits.dtype)
            bias = theta[k * r :].astype(logits.dtype)
            logits[out] = self.problem.rows[out] @ delta.T + self.problem.offsets[out] + bias
        score = log_loss(logits / fit_temperature(logits, self.targets), self.targets)
        accuracy = float((logits.argmax(axis=1) == self.targets).mean())
        return StrengthPoint(strength, score, accuracy), logits, float(np.mean(losses))


def search_strength(
    problem: Problem,
    targets: Ints,
    folds: Ints,
    strengths: Sequence[float],
    *,
    on_curve: CurveCallback = no_curve,
    cancel: CancelToken | None = None,
) -> tuple[StrengthPoint, tuple[StrengthPoint, ...], Floats]:
    """Try strengths from strong to weak; stop after `PATIENCE` that are no better.

    Returns the best point, all points, and the out-of-fold logits (n, k) of the best.
    """
    search = _Search(problem, targets, folds)
    points: list[StrengthPoint] = []
    best: tuple[StrengthPoint, Floats] | None = None
    since = 0
    for strength in sorted(strengths, reverse=True):
        if cancel is not None:
            cancel.check()
        point, logits, loss = search.try_strength(strength)
        points.append(point)
        on_curve(CurvePoint(len(points), loss, point.accuracy, "search"))
        if best is None or point.score < best[0].score:
            best, since = (point, logits), 0
        else:
            since += 1
            if since >= PATIENCE:
                break
    assert best is not None
    return best[0], tuple(points), best[1]


def fit_probe(
    features: Floats,
    targets: Ints,
    groups: Sequence[str],
    classes: int,
    *,
    text_weights: Floats | None = None,
    class_weights: str = "none",
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    on_curve: CurveCallback = no_curve,
    cancel: CancelToken | None = None,
) -> FittedProbe:
    """Choose the strength by cross-validation over groups, fit, and calibrate out of fold.

    Parameters
    ----------
    features : float32 (n, d), L2-normalised
    targets : int (n,), class index in 0 to `classes` - 1, every class present
    groups : n group names; folds keep groups whole
    text_weights : float32 (k, d), rows L2-normalised, or None to be pulled towards zero

    With a class of fewer than two groups there can be no folds: the strength is then
    `DEFAULT_STRENGTH` and the temperature 1.

    Raises
    ------
    CancelledError : the user stopped it.
    """
    from threadpoolctl import threadpool_limits

    # numpy and scipy bring a BLAS each; their waiting threads make these small products
    # several times slower on a few cores.
    with threadpool_limits(1, user_api="blas"):
        return _fit(
            _Data(features, targets, groups, classes, text_weights, class_weights),
            strengths,
            seed,
            on_curve,
            cancel,
        )


@dataclass(frozen=True)
class _Data:
    features: Floats
    targets: Ints
    groups: Sequence[str]
    classes: int
    text_weights: Floats | None
    class_weights: str


def _fit(
    data: _Data,
    strengths: Sequence[float],
    seed: int,
    on_curve: CurveCallback,
    cancel: CancelToken | None,
) -> FittedProbe:
    features, targets = data.features, data.targets
    scale, centre = 0.0, None
    if data.text_weights is not None:
        scale = fit_logit_scale((features @ data.text_weights.T).astype(np.float64), targets)
        centre = scale * data.text_weights
    problem, basis = make_problem(features, targets, data.classes, centre, data.class_weights)
    folds = group_folds(targets, data.groups, seed=seed)
    search: tuple[StrengthPoint, ...] = ()
    strength, temperature, accuracy = DEFAULT_STRENGTH, 1.0, None
    if folds is not None:
        best, search, logits = search_strength(
            problem, targets, folds, strengths, on_curve=on_curve, cancel=cancel
        )
        strength, accuracy = best.strength, best.accuracy
        temperature = fit_temperature(logits, targets)

    def on_step(step: int, loss: float) -> None:
        if cancel is not None:
            cancel.check()
        on_curve(CurvePoint(len(search) + step, loss, None, "fit"))

    theta, iterations, loss = minimise(problem, strength, on_step=on_step)
    weight, bias = _to_features(theta, basis, centre, data.classes)
    return FittedProbe(
        weight, bias, temperature, strength, scale, iterations, loss, search, accuracy
    )


def _to_features(
    theta: Doubles, basis: Basis, centre: Floats | None, classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (k, d) and bias (k,) for features as they come, neither centred nor reduced."""
    r = basis.axes.shape[0]
    weight = theta[: classes * r].reshape(classes, r) @ basis.axes.astype(np.float64)
    if centre is not None:
        weight = weight + centre
    bias = theta[classes * r :] - weight @ basis.mean.astype(np.float64)
    return weight.astype(np.float32), bias.astype(np.float32)

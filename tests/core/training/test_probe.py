"""The probe: its gradient, its agreement with scikit-learn, and what text and search bring."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import check_grad
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from vlmtool_core.errors import CancelledError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.training.calibration import softmax
from vlmtool_core.training.probe import (
    DEFAULT_STRENGTH,
    FittedProbe,
    fit_probe,
    loss_and_gradient,
    make_problem,
    minimise,
    row_space,
)
from vlmtool_core.training.records import CurvePoint
from vlmtool_core.training.text_scale import fit_logit_scale

Array = NDArray[np.float32]


def blobs(
    n: int, d: int, k: int, *, spread: float = 1.0, seed: int = 0
) -> tuple[Array, NDArray[np.int64], Array]:
    """L2-normalised features (n, d), targets, and the class directions (k, d)."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(k, d))
    targets = np.arange(n) % k
    features = centres[targets] + spread * generator.normal(size=(n, d)) + 2
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return features.astype(np.float32), targets, centres.astype(np.float32)


def predict(probe: FittedProbe, features: Array) -> NDArray[np.float64]:
    return softmax((features @ probe.weight.T + probe.bias) / probe.temperature)


def singles(n: int) -> list[str]:
    return [str(i) for i in range(n)]


@pytest.mark.parametrize("scheme", ["none", "balanced"])
@pytest.mark.parametrize("strength", [0.0, 1e-3, 1.0])
def test_the_gradient_is_that_of_the_loss(scheme: str, strength: float) -> None:
    features, targets, centres = blobs(40, 12, 3)
    targets[:15] = 0
    problem, _ = make_problem(features.astype(np.float64), targets, 3, 5.0 * centres, scheme)
    start = np.random.default_rng(1).normal(size=3 * (problem.rows.shape[1] + 1))
    error = check_grad(
        lambda t: loss_and_gradient(t, problem, strength)[0],
        lambda t: loss_and_gradient(t, problem, strength)[1],
        start,
    )
    assert error < 1e-5


@pytest.mark.parametrize(("n", "d"), [(120, 20), (60, 200)])
@pytest.mark.parametrize("c", [0.1, 10.0, 1000.0])
def test_the_optimum_is_that_of_scikit_learn(n: int, d: int, c: float) -> None:
    features, targets, _ = blobs(n, d, 4, spread=2.0)
    wide = features.astype(np.float64)
    problem, basis = make_problem(wide, targets, 4, None, "none")
    theta, _, _ = minimise(problem, 1 / (c * n), tolerance=1e-8, max_iterations=2000)
    r = basis.axes.shape[0]
    weight = theta[: 4 * r].reshape(4, r) @ basis.axes
    bias = theta[4 * r :] - weight @ basis.mean
    reference = LogisticRegression(C=c, tol=1e-10, max_iter=20_000).fit(wide, targets)
    assert np.abs(softmax(wide @ weight.T + bias) - reference.predict_proba(wide)).max() < 1e-3
    assert np.abs(weight - weight.mean(axis=0) - reference.coef_).max() < 1e-3 * (
        1 + np.abs(reference.coef_).max()
    )


def test_class_weights_are_those_of_scikit_learn() -> None:
    features, targets, _ = blobs(150, 10, 3, spread=3.0)
    keep = np.flatnonzero((targets == 0) | (np.arange(150) % 5 == 0))
    features, targets = features[keep].astype(np.float64), targets[keep]
    problem, basis = make_problem(features, targets, 3, None, "balanced")
    theta, _, _ = minimise(problem, 1 / (5.0 * keep.size), tolerance=1e-8, max_iterations=2000)
    r = basis.axes.shape[0]
    weight = theta[: 3 * r].reshape(3, r) @ basis.axes
    bias = theta[3 * r :] - weight @ basis.mean
    reference = LogisticRegression(C=5.0, tol=1e-10, max_iter=20_000, class_weight="balanced")
    expected = reference.fit(features, targets).predict_proba(features)
    assert np.abs(softmax(features @ weight.T + bias) - expected).max() < 1e-3


@pytest.mark.parametrize(("n", "d"), [(30, 80), (80, 30)])
def test_the_row_space_holds_the_centred_features(n: int, d: int) -> None:
    features, _, _ = blobs(n, d, 3)
    basis, rows, variances = row_space(features)
    assert np.allclose(rows @ basis.axes + basis.mean, features, atol=1e-4)
    assert np.allclose(basis.axes @ basis.axes.T, np.eye(len(variances)), atol=1e-3)


def test_identical_features_leave_only_the_bias() -> None:
    features = np.full((20, 8), 8**-0.5, np.float32)
    targets = np.array([0] * 15 + [1] * 5)
    probe = fit_probe(features, targets, singles(20), 2)
    assert np.isfinite(probe.weight).all()
    assert predict(probe, features)[0] == pytest.approx([0.75, 0.25], abs=0.02)


def digits(shots: int, seed: int) -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """`shots` per class to train on and the rest to test; L2-normalised pixels."""
    data, truth = load_digits(return_X_y=True)
    features = (data / np.linalg.norm(data, axis=1, keepdims=True)).astype(np.float32)
    generator = np.random.default_rng(seed)
    chosen = np.concatenate(
        [generator.choice(np.flatnonzero(truth == c), shots, replace=False) for c in range(10)]
    )
    rest = np.setdiff1d(np.arange(truth.size), chosen)
    return features[chosen], truth[chosen], features[rest], truth[rest]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_no_worse_than_scikit_learn_on_digits(seed: int) -> None:
    train, targets, test, truth = digits(16, seed)
    probe = fit_probe(train, targets, singles(len(train)), 10, seed=seed)
    reference = LogisticRegression(max_iter=5000).fit(train, targets).score(test, truth)
    assert (predict(probe, test).argmax(axis=1) == truth).mean() >= reference
    assert probe.cross_validated is not None
    assert probe.cross_validated > 0.85


def test_text_weights_help_when_labels_are_few() -> None:
    train, targets, centres = blobs(6, 200, 3, spread=3.0, seed=3)
    test, truth, _ = blobs(600, 200, 3, spread=3.0, seed=3)
    test, truth = test[6:], truth[6:]
    plain = fit_probe(train, targets, singles(6), 3)
    texted = fit_probe(train, targets, singles(6), 3, text_weights=centres)
    assert texted.logit_scale > 1
    assert (predict(texted, test).argmax(axis=1) == truth).mean() > (
        predict(plain, test).argmax(axis=1) == truth
    ).mean()


def test_texts_that_contradict_the_labels_are_ignored() -> None:
    features, targets, centres = blobs(90, 30, 3)
    similarities = (features @ np.roll(centres, 1, axis=0).T).astype(np.float64)
    assert fit_logit_scale(-(features @ centres.T).astype(np.float64), targets) == 0
    assert fit_logit_scale(similarities, targets) < fit_logit_scale(
        (features @ centres.T).astype(np.float64), targets
    )


def test_one_label_per_class_uses_no_search() -> None:
    features, targets, centres = blobs(3, 40, 3)
    probe = fit_probe(features, targets, singles(3), 3, text_weights=centres)
    assert probe.strength == DEFAULT_STRENGTH
    assert (probe.temperature, probe.search, probe.cross_validated) == (1.0, (), None)


def test_the_same_seed_gives_the_same_weights() -> None:
    features, targets, _ = blobs(80, 30, 4)
    first, second = (fit_probe(features, targets, singles(80), 4, seed=7) for _ in range(2))
    assert np.array_equal(first.weight, second.weight)
    assert first.temperature == second.temperature


def test_the_curve_shows_the_search_and_then_a_falling_loss() -> None:
    features, targets, _ = blobs(100, 30, 4, spread=2.0)
    points: list[CurvePoint] = []
    probe = fit_probe(features, targets, singles(100), 4, on_curve=points.append)
    assert [p.step for p in points] == list(range(1, len(points) + 1))
    search = [p for p in points if p.phase == "search"]
    fit = [p.train_loss for p in points if p.phase == "fit"]
    assert [p.validation for p in search] == [p.accuracy for p in probe.search]
    assert fit == sorted(fit, reverse=True)
    assert len(fit) == probe.iterations


def test_probabilities_out_of_fold_are_cooled_or_warmed() -> None:
    features, targets, _ = blobs(300, 60, 3, spread=6.0)
    probe = fit_probe(features, targets, singles(300), 3)
    assert probe.temperature != 1.0
    assert 0.01 < probe.temperature < 100


def test_it_can_be_cancelled() -> None:
    features, targets, _ = blobs(60, 20, 3)
    cancel = CancelToken()
    with pytest.raises(CancelledError):
        fit_probe(
            features, targets, singles(60), 3, on_curve=lambda _: cancel.cancel(), cancel=cancel
        )

"""Temperature and calibration error on cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss as sk_log_loss

from vlmtool_core.training.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    softmax,
)


def test_perfect_certainty_has_no_error() -> None:
    assert expected_calibration_error(np.eye(4), np.arange(4)) == 0


def test_certain_and_always_wrong_has_error_one() -> None:
    assert expected_calibration_error(np.eye(4), (np.arange(4) + 1) % 4) == 1


def test_the_error_of_two_bins() -> None:
    # Ten at 0.9 of which seven are right, ten at 0.6 of which six are right.
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    truth = np.array([0] * 7 + [1] * 3 + [0] * 6 + [1] * 4)
    expected = (10 * 0.2 + 10 * 0.0) / 20
    assert expected_calibration_error(probabilities, truth) == pytest.approx(expected)


def test_the_temperature_that_spoilt_the_logits_is_found() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 3)) * 2
    truth = np.array([generator.choice(3, p=p) for p in softmax(logits)])
    assert fit_temperature(logits * 4, truth) == pytest.approx(4, rel=0.05)
    assert expected_calibration_error(softmax(logits), truth) < 0.02
    assert expected_calibration_error(softmax(logits * 4), truth) > 0.1


@pytest.mark.parametrize(("count", "certainty"), [(3, 0.833), (99, 0.995)])
def test_flawless_logits_claim_no_more_than_their_number_shows(
    count: int, certainty: float
) -> None:
    truth = np.arange(count) % 3
    logits = np.eye(3)[truth] * 5
    top = softmax(logits / fit_temperature(logits, truth)).max(axis=1)
    assert top == pytest.approx(certainty, abs=0.002)


def test_log_loss_agrees_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    logits, truth = generator.normal(size=(50, 4)) * 3, generator.integers(0, 4, 50)
    expected = sk_log_loss(truth, softmax(logits), labels=range(4))
    assert log_loss(logits, truth) == pytest.approx(expected, rel=1e-6)


def test_brier_score_of_a_coin() -> None:
    assert brier_score(np.array([[0.5, 0.5]]), np.array([0])) == pytest.approx(0.5)

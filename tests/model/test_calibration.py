import numpy as np
import pytest

from model.calibration import (
    calibrate,
    calibration_error,
    divide_logits,
    fit_temperature,
    reliability,
    risk_coverage,
)
from model.datasets import Scaling
from model.layers import Array
from model.losses import Labels
from model.network import Network, build, softmax


def draw_labels(scores: Array, rng: np.random.Generator) -> Labels:
    """Draw labels (n,) by the probabilities of logits (n, 11)."""
    chance = rng.random((len(scores), 1), dtype=np.float32)
    labels = (softmax(scores).cumsum(axis=1) < chance).sum(axis=1).clip(0, 10)
    return labels.astype(np.uint8)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_fitted_temperature_is_the_factor_that_logits_were_scaled_by(factor: float) -> None:
    rng = np.random.default_rng(3)
    scores = 2 * rng.standard_normal((20_000, 11), dtype=np.float32)
    labels = draw_labels(scores, rng)
    result = fit_temperature(scores * np.float32(factor), labels)
    assert result == pytest.approx(factor, rel=0.03)


def test_the_temperature_is_bounded_where_there_is_no_error() -> None:
    scores = np.eye(11, dtype=np.float32)
    assert fit_temperature(scores, np.arange(11, dtype=np.uint8)) == pytest.approx(0.2, rel=1e-3)
    assert fit_temperature(scores, np.arange(11, dtype=np.uint8)[::-1]) == pytest.approx(
        5, rel=1e-3
    )


def test_a_perfectly_calibrated_set_has_almost_no_error() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.random(50_000, dtype=np.float32)
    right = rng.random(50_000, dtype=np.float32) < confidence
    assert calibration_error(confidence, right) < 0.01
    assert calibration_error(confidence, ~right) > 0.4


def test_error_is_the_distance_of_confidence_from_accuracy() -> None:
    confidence = np.full(10, 0.9, np.float32)
    right = np.array([True] * 6 + [False] * 4)
    assert calibration_error(confidence, right) == pytest.approx(0.3, abs=1e-6)
    assert calibration_error(confidence[:0], right[:0]) == 0


def test_bins_are_of_equal_width_and_hold_every_answer() -> None:
    confidence = np.array([0.0, 0.05, 1 / 3, 0.5, 0.99, 1.0], np.float32)
    bins = reliability(confidence, confidence > 0.4, bins=10)
    assert [(each.low, each.count) for each in bins] == [(0.0, 2), (0.3, 1), (0.4, 1), (0.9, 2)]
    assert bins[-1].high == 1
    assert bins[-1].accuracy == 1
    assert bins[-1].confidence == pytest.approx(0.995)


def test_risk_is_of_the_answers_that_are_given() -> None:
    confidence = np.array([0.6, 0.9, 0.8, 0.8], np.float32)
    coverage, error = risk_coverage(confidence, np.array([False, True, True, False]))
    np.testing.assert_allclose(coverage, [0.25, 0.75, 1])
    np.testing.assert_allclose(error, [0, 1 / 3, 0.5])
    assert coverage.dtype == error.dtype == np.float32
    assert risk_coverage(confidence[:0], np.zeros(0, np.bool_))[0].size == 0


def toy() -> Network:
    network = build([["dense", 784, 16], ["relu"], ["dense", 16, 11]], seed=1)
    network.layers[-1].parameters["weights"] *= np.float32(3)
    return network


def test_divided_logits_give_the_same_answers_and_another_confidence() -> None:
    x = np.random.default_rng(1).random((5, 784), dtype=np.float32)
    network = toy()
    before = network.weights.copy()
    np.testing.assert_allclose(
        divide_logits(network, 2.5).forward(x), network.forward(x) / 2.5, 1e-5
    )
    np.testing.assert_array_equal(network.weights, before)
    with pytest.raises(ValueError, match="a sigmoid layer gives no logits"):
        divide_logits(build([["dense", 784, 10], ["sigmoid"]]), 2)


def test_an_overconfident_network_is_calibrated() -> None:
    rng = np.random.default_rng(2)
    images = rng.integers(256, size=(4000, 784), dtype=np.uint8)
    network = toy()
    # The labels are drawn at twice the temperature.
    labels = draw_labels(divide_logits(network, 2).forward(Scaling()(images)), rng)
    result = calibrate(network, [(images[:999], labels[:999]), (images[999:], labels[999:])])
    assert result.temperature == pytest.approx(2, rel=0.1)
    assert result.after < result.before / 3


def test_without_pictures_the_network_stays_as_it_is() -> None:
    network = toy()
    result = calibrate(network, [])
    assert (result.temperature, result.before, result.after) == (1, 0, 0)
    np.testing.assert_array_equal(result.network.weights, network.weights)

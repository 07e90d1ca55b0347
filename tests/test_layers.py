"""Gradients against finite differences, float32 throughout."""

from collections.abc import Callable

import numpy as np
import pytest

from model.layers import Dense, Layer, ReLU, Sigmoid

RNG = np.random.default_rng(5)


def numeric(value: Callable[[], float], array: np.ndarray, step: float = 1e-2) -> np.ndarray:
    """Return d(value)/d(array) by central differences."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = value()
        array[index] = kept - step
        below = value()
        array[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


def a_dense() -> Dense:
    layer = Dense(5, 3)
    layer.initialise(np.random.default_rng(1), rectified=False)
    return layer


@pytest.mark.parametrize("layer", [a_dense(), ReLU(), Sigmoid()], ids=lambda layer: layer.kind)
def test_backward_agrees_with_finite_differences(layer: Layer) -> None:
    x = RNG.standard_normal((4, 5), dtype=np.float32)
    x += np.sign(x) * np.float32(0.1)  # away from ReLU's corner
    towards = RNG.standard_normal(layer.forward(x).shape, dtype=np.float32)

    def value() -> float:
        return float(np.vdot(layer.forward(x).astype(np.float64), towards))

    layer.forward(x, training=True)
    dx = layer.backward(towards)
    np.testing.assert_allclose(dx, numeric(value, x), rtol=2e-2, atol=2e-3)
    for name, parameter in layer.parameters.items():
        np.testing.assert_allclose(
            layer.gradients[name], numeric(value, parameter), rtol=2e-2, atol=2e-3
        )


@pytest.mark.parametrize("layer", [a_dense(), ReLU(), Sigmoid()], ids=lambda layer: layer.kind)
def test_everything_stays_float32(layer: Layer) -> None:
    y = layer.forward(np.ones((2, 5), np.float32), training=True)
    assert y.dtype == layer.backward(y).dtype == np.float32
    assert all(values.dtype == np.float32 for values in layer.gradients.values())


def test_sigmoid_overflows_for_no_input() -> None:
    y = Sigmoid().forward(np.array([[-1e30, -100, 0, 100, 1e30]], np.float32))
    np.testing.assert_allclose(y, [[0, 0, 0.5, 1, 1]], atol=1e-6)


@pytest.mark.parametrize(("rectified", "variance"), [(True, 2 / 400), (False, 2 / 700)])
def test_initial_weights_have_the_variance_of_he_and_glorot(
    rectified: bool, variance: float
) -> None:
    layer = Dense(400, 300)
    layer.initialise(np.random.default_rng(2), rectified=rectified)
    assert np.var(layer.parameters["weights"]) == pytest.approx(variance, rel=0.03)
    assert not layer.parameters["bias"].any()

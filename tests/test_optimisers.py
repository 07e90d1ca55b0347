import numpy as np
import pytest

from model.network import build
from model.optimisers import SGD, constant, cosine


def test_momentum_adds_up_past_gradients() -> None:
    network = build([["dense", 2, 1]])
    weights = network.layers[0].parameters["weights"]
    weights[...] = 0
    optimiser = SGD(network, momentum=0.5)
    network.layers[0].gradients["weights"][...] = 1
    for expected in (-0.1, -0.25, -0.425):
        optimiser.step(0.1)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.dtype == np.float32


def test_schedules_begin_at_one() -> None:
    assert constant(0) == constant(0.7) == cosine(0) == 1
    assert cosine(0.5) == pytest.approx(0.5)
    assert cosine(1) == pytest.approx(0)

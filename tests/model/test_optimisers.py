from typing import Any

import numpy as np
import pytest

from model.network import Network, build
from model.optimisers import OPTIMISERS, SCHEDULES, SGD, AdamW, constant, cosine, one_cycle


def one_weight(value: float) -> Network:
    network = build([["dense", 1, 1]], inputs=1)
    network.weights[...] = value
    return network


def test_momentum_adds_up_past_gradients() -> None:
    network = one_weight(0)
    optimiser = SGD(network, momentum=0.5)
    for expected in (-0.1, -0.25, -0.425):
        network.gradient[...] = 1
        optimiser.step(0.1)
        np.testing.assert_allclose(network.weights, expected, rtol=1e-6)
    assert network.weights.dtype == np.float32


def test_adams_first_step_is_of_its_size_whatever_the_gradient() -> None:
    for gradient in (1e-3, 1.0, 50.0):
        network = one_weight(0)
        network.gradient[...] = gradient
        AdamW(network).step(0.1)
        np.testing.assert_allclose(network.weights, -0.1, rtol=1e-4)


@pytest.mark.parametrize("optimiser", [SGD, AdamW])
def test_decay_shrinks_matrices_and_leaves_biases(optimiser: Any) -> None:
    network = one_weight(2)
    network.gradient[...] = 0
    optimiser(network, decay=0.1).step(0.5)
    assert network.layers[0].parameters["weights"][0, 0] == pytest.approx(2 * (1 - 0.05))
    assert network.layers[0].parameters["bias"][0] == 2


SETTINGS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("sgd", {}, "SGD", {}),
    ("sgd", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}),
    ("adamw", {}, "AdamW", {"weight_decay": 0.0}),
    ("adamw", {"square": 0.99, "decay": 0.1}, "AdamW", {"betas": (0.9, 0.99), "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("name", "own", "their_name", "theirs"), SETTINGS)
def test_steps_are_pytorchs(
    name: str, own: dict[str, Any], their_name: str, theirs: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    network = build([["dense", 6, 4, False]], inputs=6)
    weight = torch.nn.Parameter(torch.tensor(network.weights.copy()))
    optimiser = OPTIMISERS[name](network, **own)
    reference = getattr(torch.optim, their_name)([weight], lr=0.05, **theirs)
    rng = np.random.default_rng(1)
    for _ in range(20):
        gradient = rng.standard_normal(24, dtype=np.float32)
        network.gradient[...] = gradient
        weight.grad = torch.tensor(gradient)
        optimiser.step(0.05)
        reference.step()
    np.testing.assert_allclose(network.weights, weight.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_schedules_begin_and_end_where_they_should() -> None:
    assert constant(0) == constant(0.7) == cosine(0) == 1
    assert cosine(0.5) == pytest.approx(0.5)
    assert one_cycle(0) == pytest.approx(1 / 25)
    assert one_cycle(0.25) == pytest.approx(1)
    assert one_cycle(0.625) == pytest.approx(0.5)
    assert cosine(1) == pytest.approx(0, abs=1e-12)
    assert one_cycle(1) == pytest.approx(0, abs=1e-12)
    for schedule in SCHEDULES.values():
        assert all(0 <= schedule(i / 100) <= 1 for i in range(101))

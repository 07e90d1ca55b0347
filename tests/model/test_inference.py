"""Fast inference gives what the layers give."""

import threading
from typing import Any

import numpy as np
import pytest

from model.inference import OneDigit
from model.network import KINDS, build
from model.presets import PRESETS

IMAGE = ["image", 28, 28]
SPECS: dict[str, list[list[Any]]] = {
    "dense": [["dense", 784, 20], ["relu"], ["dense", 20, 10]],
    "sigmoids": [["dense", 784, 20, False], ["sigmoid"], ["book-output", 20, 10]],
    "tanh and dropout": [["dense", 784, 20], ["tanh"], ["dropout", 0.5], ["dense", 20, 10]],
    "units' batch-norm": [["dense", 784, 9], ["batch-norm", 9], ["relu"], ["dense", 9, 10]],
    "convolutions": [
        IMAGE,
        *(["conv", 1, 4, 5, 2, False], ["max-pool", 3], ["batch-norm", 4], ["relu"]),
        *(["conv", 4, 3, 3], ["average-pool", 2], ["batch-norm", 3], ["tanh"]),
        *(["flatten"], ["dense", 27, 10]),
    ],
    "a batch-norm that cannot be folded": [
        IMAGE,
        *(["average-pool", 4], ["relu"], ["batch-norm", 1], ["flatten"], ["dense", 49, 10]),
    ],
}


def with_statistics(spec: list[list[Any]]) -> Any:
    """Return a network whose batch-norms have statistics."""
    network = build(spec, seed=3)
    rng = np.random.default_rng(1)
    for _ in range(3):
        network.forward(rng.random((20, 784), dtype=np.float32), training=True)
    network.weights += rng.standard_normal(network.weights.shape, dtype=np.float32) * 0.01
    return network


def test_every_layer_is_among_them() -> None:
    assert set(KINDS) == {kind for spec in SPECS.values() for kind, *_ in spec}


@pytest.mark.parametrize("name", SPECS)
def test_one_digit_and_folding_give_what_the_layers_give(name: str) -> None:
    network = with_statistics(SPECS[name])
    x = np.random.default_rng(2).random((5, 784), dtype=np.float32)
    expected = network.probabilities(x)
    one = OneDigit(network)
    for pixels, shares in zip(x, expected, strict=True):
        np.testing.assert_allclose(one.probabilities(pixels), shares, rtol=2e-4, atol=1e-5)
    folded = network.fold()
    np.testing.assert_allclose(folded.probabilities(x), expected, rtol=2e-4, atol=1e-5)
    kinds = {layer.kind for layer in folded.layers}
    assert not kinds & {"dropout", "book-output"}
    if "cannot be folded" not in name:
        assert "batch-norm" not in kinds


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_fused_path_of_no_more_than_a_pi_zero_can(name: str) -> None:
    network = build(PRESETS[name].layers, seed=1)
    x = np.random.default_rng(2).random((1, 784), dtype=np.float32)
    np.testing.assert_allclose(
        OneDigit(network).probabilities(x[0]), network.probabilities(x)[0], atol=1e-5
    )
    assert network.fold().multiply_adds() == network.multiply_adds() <= 3_000_000


def test_the_network_that_ships_is_within_its_bounds() -> None:
    network = build(PRESETS["appliance"].layers).fold()
    assert network.parameter_count() <= 60_000
    assert network.multiply_adds() <= 3_000_000


def test_scaling_is_folded_into_the_first_layer() -> None:
    network = with_statistics(SPECS["sigmoids"])
    x = np.random.default_rng(2).random((4, 784), dtype=np.float32)
    seen = x * np.float32(0.99) + np.float32(0.01)
    folded = network.fold(0.99, 0.01)
    np.testing.assert_allclose(folded.forward(x), network.forward(seen), atol=1e-5)
    with pytest.raises(ValueError, match="image layer cannot hold"):
        with_statistics(SPECS["convolutions"]).fold(1.0, 0.01)


def test_threads_can_share_it() -> None:
    one = OneDigit(with_statistics(SPECS["convolutions"]))
    x = np.random.default_rng(2).random((4, 784), dtype=np.float32)
    alone = [one.probabilities(pixels) for pixels in x]
    wrong: list[int] = []

    def ask(which: int) -> None:
        answers = [one.probabilities(x[which]) for _ in range(300)]
        wrong.extend(which for answer in answers if not np.array_equal(answer, alone[which]))

    threads = [threading.Thread(target=ask, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong

from pathlib import Path

import numpy as np
import pytest

from model.books.backquery import backquery
from model.datasets import load_split
from model.errors import ModelError
from model.network import build
from model.presets import PRESETS
from model.train import train


@pytest.mark.slow
def test_a_trained_network_reads_its_own_pictures(tiny_mnist: Path) -> None:
    data = load_split(tiny_mnist, "train")
    recipe = PRESETS["scratch-200"]
    network = train(recipe, data, seed=1, epochs=8).network.fold()
    pictures = np.stack([backquery(network, digit) for digit in range(10)])
    assert pictures.shape == (10, 28, 28)
    assert pictures.dtype == np.float32
    assert pictures.min() == 0
    assert pictures.max() == pytest.approx(1, abs=1e-6)
    answers = network.forward(pictures.reshape(10, 784)).argmax(axis=1)
    assert (answers == np.arange(10)).sum() >= 8


def test_it_asks_the_books_output_layer_as_well_as_a_folded_network() -> None:
    spec = [["dense", 784, 20, False], ["sigmoid"], ["book-output", 20, 10]]
    network = build(spec, seed=1)
    np.testing.assert_allclose(
        backquery(network, 3), backquery(network.fold(), 3), rtol=1e-5, atol=1e-6
    )


def test_a_network_of_other_layers_is_refused() -> None:
    network = build(PRESETS["appliance"].layers)
    with pytest.raises(ModelError, match=r"flatten layer cannot be asked backwards: use a network"):
        backquery(network, 3)

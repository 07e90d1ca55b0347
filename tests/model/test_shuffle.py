from pathlib import Path

import numpy as np
import pytest

from model import weights
from model.datasets import Scaling, load_split
from model.shuffle import permutation, split_rows


@pytest.mark.parametrize("n", [0, 1, 2, 17, 9999])
def test_every_row_comes_once(n: int) -> None:
    rows = permutation(n, 1, 2)
    assert rows.dtype == np.int32
    assert sorted(rows.tolist()) == list(range(n))


def test_each_seed_gives_another_order_and_the_same_seed_the_same() -> None:
    orders = [permutation(1000, *seed) for seed in ((1, 1), (1, 2), (2, 1), (1, 1))]
    np.testing.assert_array_equal(orders[0], orders[3])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.mean(orders[one] == orders[other]) < 0.01


def test_every_numpy_gives_the_same_order() -> None:
    assert permutation(10, 1, 2).tolist() == [5, 6, 9, 3, 2, 1, 0, 8, 4, 7]


def test_neighbours_do_not_stay_together() -> None:
    rows = permutation(20_000, 3)
    for first, second in ((rows, np.arange(20_000)), (rows[1:], rows[:-1])):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


@pytest.mark.parametrize(("n", "count", "seed"), [(600, 100, 4), (60_000, 2000, 1)])
def test_each_row_is_either_held_out_or_learned_from(n: int, count: int, seed: int) -> None:
    held_out, learned = split_rows(n, count, seed)
    assert len(held_out) == count
    assert held_out.dtype == learned.dtype == np.int32
    assert sorted([*held_out, *learned]) == list(range(n))


def test_another_seed_holds_out_other_rows() -> None:
    assert set(split_rows(600, 100, 4)[0]) != set(split_rows(600, 100, 5)[0])


def test_the_shipped_network_has_not_learned_from_the_digits_of_seed_1(shared_mnist: Path) -> None:
    network, card = weights.load(weights.SHIPPED)
    images, labels = load_split(shared_mnist, "train").take(split_rows(60_000, 2000, 1)[0])
    right = np.mean(network.forward(Scaling()(images)).argmax(axis=1) == labels)
    # Of digits that it has learned from it reads 99.85 %.
    assert right == card["validation_accuracy"]

import tracemalloc

import numpy as np
import pytest

from model.shuffle import Division, Shuffled


@pytest.mark.parametrize("n", [0, 1, 2, 3, 16, 17, 100, 9999])
def test_every_row_comes_once(n: int) -> None:
    order = Shuffled(n, 1, 2)
    assert len(order) == n
    assert sorted(order[0:n].tolist()) == list(range(n))


def test_a_slice_is_part_of_the_whole() -> None:
    order = Shuffled(1000, 7)
    whole = order[0:1000]
    np.testing.assert_array_equal(order[300:420], whole[300:420])
    np.testing.assert_array_equal(order.at(np.array([5, 999, 0])), whole[[5, 999, 0]])


def test_each_key_gives_another_order_and_the_same_key_the_same() -> None:
    orders = [Shuffled(1000, *key)[0:1000] for key in ((1, 1), (1, 2), (2, 1), (1, 1))]
    np.testing.assert_array_equal(orders[0], orders[3])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.mean(orders[one] == orders[other]) < 0.01


def test_neighbours_do_not_stay_together() -> None:
    rows = Shuffled(20_000, 3)[0:20_000]
    for first, second in ((rows, np.arange(20_000)), (rows[1:], rows[:-1])):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_it_takes_no_memory_of_the_data_sets_size() -> None:
    tracemalloc.start()
    Shuffled(10**9, 1)[5 * 10**8 : 5 * 10**8 + 64]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000


def test_a_division_holds_out_what_it_never_gives_to_learn_from() -> None:
    division = Division(600, 100, seed=4)
    held_out, learned = division.held_out(), division.learned(np.arange(500))
    assert division.learned_count == 500
    assert sorted([*held_out, *learned]) == list(range(600))
    assert held_out.tolist() != Division(600, 100, seed=5).held_out().tolist()

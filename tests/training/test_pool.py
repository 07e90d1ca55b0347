"""The results of map_blocks work come in turn, whoever did it."""

import os

from appliance.training.pool import map_blocks


def squared(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def test_the_results_come_in_the_order_of_the_blocks() -> None:
    found = list(map_blocks(squared, ((number,) for number in range(12)), processes=2))
    assert [square for square, _ in found] == [number * number for number in range(12)]
    assert os.getpid() not in {maker for _, maker in found}


def test_one_process_or_one_block_is_this_process() -> None:
    own = {os.getpid()}
    assert {maker for _, maker in map_blocks(squared, [(1,), (2,)], processes=1)} == own
    assert {maker for _, maker in map_blocks(squared, [(1,)], processes=2)} == own
    assert list(map_blocks(squared, [], processes=2)) == []

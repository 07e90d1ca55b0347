"""Examples through the camera are made of what is learned from, the same whoever makes them."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from appliance.training.examples import BLOCK_SIZE, make_examples
from model.datasets import Split
from model.errors import DatasetError
from model.layers import Array
from model.network import NOT_A_DIGIT
from model.presets import PRESETS
from model.shuffle import Rows

RECIPE = replace(PRESETS["appliance"].for_camera(), photographs=9 * BLOCK_SIZE - 10)


def numbered(count: int) -> Split:
    """Return pictures each of which tells its own row in its first two pixels."""
    images = np.zeros((count, 784), np.uint8)
    images[:, 0], images[:, 1] = np.divmod(np.arange(count), 256)
    return Split(images, (np.arange(count) % 10).astype(np.uint8))


def copying(scan: Any, rng: np.random.Generator) -> tuple[Array, int] | None:
    """Stand in for the camera: finds nothing at times, no digit at times, or a scan as it was."""
    kind = rng.random()
    if kind < 0.2:
        return None
    glyph, label = scan(rng)
    assert glyph.dtype == np.float32
    return glyph, NOT_A_DIGIT if kind > 0.9 else label


def blind(scan: Any, rng: np.random.Generator) -> None:
    return None


def whose(scan: Any, rng: np.random.Generator) -> tuple[Array, int]:
    """Stand in for the camera: an example that tells which process made it."""
    return np.full((28, 28), (os.getpid() % 256) / 255, np.float32), 0


def rows_of(made: Split) -> Rows:
    images = made.take(np.arange(len(made)))[0].astype(np.int64)
    return 256 * images[:, 0] + images[:, 1]


def test_they_are_of_the_digits_that_are_learned_from() -> None:
    data = numbered(600)
    made = make_examples(RECIPE, data, 7, camera=copying, processes=1)
    assert len(made) == 9 * BLOCK_SIZE - 10
    rows = rows_of(made)
    _, learned = RECIPE.split_rows(600, 7)
    assert set(rows) <= set(learned)
    assert len(set(rows)) > 250
    digits = made.labels != NOT_A_DIGIT
    assert 0.8 < digits.mean() < 0.95
    np.testing.assert_array_equal(made.labels[digits], rows[digits] % 10)


def test_one_seed_gives_the_same_however_many_processes_share_the_work() -> None:
    data = numbered(600)
    alone = make_examples(RECIPE, data, 7, camera=copying, processes=1)
    shared = make_examples(RECIPE, data, 7, camera=copying, processes=2)
    other = make_examples(RECIPE, data, 8, camera=copying, processes=1)
    np.testing.assert_array_equal(alone.images, shared.images)
    np.testing.assert_array_equal(alone.labels, shared.labels)
    assert not np.array_equal(alone.images, other.images)


def test_several_processes_make_them_or_this_one_alone() -> None:
    def makers(processes: int) -> set[int]:
        made = make_examples(RECIPE, numbered(600), 7, camera=whose, processes=processes)
        return set(made.images[:, 0].tolist())

    own = os.getpid() % 256
    assert makers(1) == {own}
    assert own not in makers(2) or len(makers(2)) > 1


@pytest.mark.parametrize("processes", [1, 2])
def test_a_camera_that_finds_nothing_is_a_sentence(processes: int) -> None:
    with pytest.raises(DatasetError, match="through the camera nothing is found"):
        make_examples(RECIPE, numbered(600), 7, camera=blind, processes=processes)


def test_a_small_data_set_has_fewer() -> None:
    recipe = PRESETS["appliance"]
    assert [recipe.photograph_count(n) for n in (60_000, 600, 1)] == [384_000, 3840, 7]
    assert PRESETS["sgd-30"].photograph_count(60_000) == 0

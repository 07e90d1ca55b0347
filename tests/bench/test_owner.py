"""The simulated owner of `python -m tests.bench owner`, without the night."""

from pathlib import Path

import numpy as np
import pytest

from appliance.captures.store import Captures
from appliance.networks.vault import Vault
from appliance.reader.reader import Reader
from tests.bench import owner


def test_the_leaning_hand_is_read_and_the_mirrored_digits_of_the_child_are_not(
    reader: Reader,
) -> None:
    assert owner._count_right(reader, owner.hand(), 1, seed=1) >= 9
    assert owner._count_right(reader, owner.hand(mirrors="347"), 1, seed=1) <= 7


@pytest.mark.parametrize(("mislabelled", "least", "most"), [(0.0, 20, 20), (0.5, 5, 15)])
def test_the_owner_corrects_through_the_page(
    reader: Reader, tmp_path: Path, mislabelled: float, least: int, most: int
) -> None:
    captures = Captures(tmp_path / "captures.db")
    with owner._open_page(reader, Vault(tmp_path / "networks"), captures, tmp_path) as page:
        stored = owner._correct(page, owner.hand(mirrors="3"), 2, 1, mislabelled)
    listed = captures.list_newest(limit=50)[::-1]
    captures.close()
    assert stored == len(listed) == 20
    right = sum(each.label == place // 2 for place, each in enumerate(listed))
    assert least <= right <= most


def test_one_seed_gives_one_sheet() -> None:
    one, two, other = (
        owner.sheet(owner.hand()[7], np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()

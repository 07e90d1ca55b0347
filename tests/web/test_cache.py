"""A value is made once for each stamp, and the values that were used last are kept."""

import pytest

from appliance.web.cache import Cache


@pytest.mark.parametrize(
    ("size", "stamps", "made"),
    [
        (1, [1, 1, 2, 2, 1], [1, 2, 1]),
        (2, [1, 2, 1, 3, 1, 2], [1, 2, 3, 2]),
    ],
)
def test_the_values_used_last_are_not_made_again(
    size: int, stamps: list[int], made: list[int]
) -> None:
    cache, calls = Cache[int](size), []

    def get(stamp: int) -> int:
        return cache.get(stamp, lambda: calls.append(stamp) or stamp)

    assert [get(stamp) for stamp in stamps] == stamps
    assert calls == made


def test_a_value_that_could_not_be_made_is_tried_again() -> None:
    cache = Cache[int]()

    def fail() -> int:
        raise OSError("not now")

    with pytest.raises(OSError, match="not now"):
        cache.get("stamp", fail)
    assert cache.get("stamp", lambda: 7) == 7

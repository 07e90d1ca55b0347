"""Regions of numpy alone, held against scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from appliance.vision.components import regions


def check(mask: np.ndarray) -> None:
    labels, places = regions(mask)
    wanted, count = ndimage.label(mask, np.ones((3, 3)))
    assert labels.dtype == np.int32
    assert np.array_equal(labels, wanted)
    assert places == ndimage.find_objects(wanted)
    assert len(places) == count


@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.sampled_from([0, 0.7, 1.5, 3]),
)
def test_numbers_and_boxes_are_those_of_scipy(
    shape: tuple[int, int], seed: int, share: float, blurred: float
) -> None:
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, blurred)
    check(noise > np.quantile(noise, share))


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (5, 7)])
def test_nothing_and_everything(shape: tuple[int, int], value: bool) -> None:
    labels, places = regions(np.full(shape, value))
    assert len(places) == (value and labels.size > 0)
    assert np.all(labels == value)


def test_what_winds_through_the_whole_picture_is_one_region() -> None:
    mask = np.zeros((41, 41), bool)
    mask[::2] = True
    mask[1::4, -1] = mask[3::4, 0] = True
    check(mask)
    check(mask.T)
    check(~mask)


def test_corners_touch_and_the_ends_of_rows_do_not() -> None:
    mask = np.zeros((3, 4), bool)
    mask[0, 3] = mask[1, 0] = mask[2, 1] = True
    labels, places = regions(mask)
    assert labels.tolist() == [[0, 0, 0, 1], [2, 0, 0, 0], [0, 2, 0, 0]]
    assert places == [(slice(0, 1), slice(3, 4)), (slice(1, 3), slice(0, 2))]

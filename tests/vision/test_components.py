"""The connected components of numpy alone are those of scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from appliance.vision.components import label_components


def assert_as_scipy(mask: np.ndarray) -> None:
    labels, boxes = label_components(mask)
    wanted, count = ndimage.label(mask, np.ones((3, 3)))
    assert labels.dtype == np.int32
    assert np.array_equal(labels, wanted)
    assert boxes == ndimage.find_objects(wanted)
    assert len(boxes) == count


@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.sampled_from([0, 0.7, 1.5, 3]),
)
def test_labels_and_boxes_are_those_of_scipy(
    shape: tuple[int, int], seed: int, share: float, blurred: float
) -> None:
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, blurred)
    assert_as_scipy(noise > np.quantile(noise, share))


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (5, 7)])
def test_an_empty_and_a_full_mask(shape: tuple[int, int], value: bool) -> None:
    labels, boxes = label_components(np.full(shape, value))
    assert len(boxes) == (value and labels.size > 0)
    assert np.all(labels == value)


def test_a_winding_line_is_one_component() -> None:
    mask = np.zeros((41, 41), bool)
    mask[::2] = True
    mask[1::4, -1] = mask[3::4, 0] = True
    assert_as_scipy(mask)
    assert_as_scipy(mask.T)
    assert_as_scipy(~mask)


def test_pixels_that_touch_at_corners_are_connected_and_ends_of_rows_are_not() -> None:
    mask = np.zeros((3, 4), bool)
    mask[0, 3] = mask[1, 0] = mask[2, 1] = True
    labels, boxes = label_components(mask)
    assert labels.tolist() == [[0, 0, 0, 1], [2, 0, 0, 0], [0, 2, 0, 0]]
    assert boxes == [(slice(0, 1), slice(3, 4)), (slice(1, 3), slice(0, 2))]

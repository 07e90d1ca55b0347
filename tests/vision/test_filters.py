"""The filters of numpy alone give what scipy's give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from appliance.vision.filters import (
    closing,
    dilate,
    dilate_disc,
    erode,
    erode_disc,
    gaussian,
    median,
    opening,
)

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
SEEDS = st.integers(0, 2**32 - 1)


def picture(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return noise of few greys, so that many are equal, 0 among them."""
    return (np.random.default_rng(seed).integers(0, 12, shape) / 11).astype(np.float32)


@given(SHAPES, SEEDS, st.integers(0, 30))
def test_dilation_and_erosion_are_those_of_scipy(
    shape: tuple[int, int], seed: int, reach: int
) -> None:
    values, size = picture(shape, seed), 2 * reach + 1
    assert np.array_equal(
        dilate(values, size), ndimage.maximum_filter(values, size, mode="constant")
    )
    least = ndimage.minimum_filter(values, size, mode="constant", cval=2)
    assert np.array_equal(erode(values, size), least)


@given(SHAPES, SEEDS, st.integers(0, 8))
def test_dilation_and_erosion_of_masks_are_those_of_scipy(
    shape: tuple[int, int], seed: int, reach: int
) -> None:
    mask, square = picture(shape, seed) > 0.9, np.ones((2 * reach + 1,) * 2, bool)
    dilated = dilate(mask, 2 * reach + 1)
    assert dilated.dtype == bool
    assert np.array_equal(dilated, ndimage.binary_dilation(mask, square))
    eroded = erode(mask, 2 * reach + 1)
    assert np.array_equal(eroded, ndimage.binary_erosion(mask, square, border_value=1))


@given(SHAPES, SEEDS, st.integers(0, 30))
def test_closing_and_opening_are_those_of_scipy_with_the_edge_repeated(
    shape: tuple[int, int], seed: int, reach: int
) -> None:
    values, size = picture(shape, seed), 2 * reach + 1
    inner = slice(size, -size), slice(size, -size)
    wide = np.pad(values, size, mode="edge")
    assert np.array_equal(closing(values, size), ndimage.grey_closing(wide, (size, size))[inner])
    opened = ndimage.grey_opening(wide, (size, size))[inner]
    assert np.array_equal(opening(values, size), opened)


@given(SHAPES, SEEDS, st.floats(0.3, 3))
def test_a_gaussian_is_that_of_scipy(shape: tuple[int, int], seed: int, sigma: float) -> None:
    values = picture(shape, seed)
    wanted = ndimage.gaussian_filter(values, sigma, mode="nearest")
    got = gaussian(values, sigma)
    assert got.dtype == np.float32
    assert np.abs(got - wanted).max() < 1e-6


@pytest.mark.parametrize("radius", [0, 1, 1.5, 2, 2.5, 3, 4.5, 7])
@given(SHAPES, SEEDS)
def test_discs_are_those_of_scipy(radius: float, shape: tuple[int, int], seed: int) -> None:
    values = picture(shape, seed)
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disc = x * x + y * y <= radius * radius
    wanted = ndimage.grey_dilation(values, footprint=disc, mode="constant")
    assert np.array_equal(dilate_disc(values, radius), wanted)
    assert np.array_equal(
        dilate_disc(values > 0.9, radius), ndimage.binary_dilation(values > 0.9, disc)
    )
    wanted = ndimage.grey_erosion(values, footprint=disc, mode="constant")
    assert np.array_equal(erode_disc(values, radius), wanted)


@given(SHAPES, SEEDS, st.integers(0, 6))
def test_the_median_is_that_of_scipy(shape: tuple[int, int], seed: int, reach: int) -> None:
    values, size = picture(shape, seed), 2 * reach + 1
    wanted = ndimage.median_filter(values, size, mode="nearest")
    assert np.array_equal(median(values, size), wanted)

import numpy as np
import pytest

from model.augment import Augment
from model.presets import PRESETS
from tests.conftest import digits_in_mnist_form

STILL = Augment(degrees=0, shear=0, scale=0, shift=0, stroke=0)


@pytest.fixture(scope="module")
def glyphs() -> np.ndarray:
    images, _ = digits_in_mnist_form(40, seed=3)
    return images.reshape(40, 784).astype(np.float32) / np.float32(255)


def test_no_change_gives_the_same_glyphs(glyphs: np.ndarray) -> None:
    np.testing.assert_allclose(STILL(glyphs, np.random.default_rng(1)), glyphs, atol=1e-5)


def test_changed_glyphs_are_float32_in_range_and_of_one_seed(glyphs: np.ndarray) -> None:
    augment = PRESETS["appliance"].augment
    assert augment is not None
    one, two = (augment(glyphs, np.random.default_rng(seed)) for seed in (1, 1))
    np.testing.assert_array_equal(one, two)
    assert one.dtype == np.float32
    assert one.shape == glyphs.shape
    assert 0 <= one.min() <= one.max() <= 1
    assert np.abs(one - glyphs).mean() > 0.01


def test_a_shift_moves_the_ink_by_at_most_its_pixels(glyphs: np.ndarray) -> None:
    moved = Augment(degrees=0, shear=0, scale=0, shift=2, stroke=0)(
        glyphs, np.random.default_rng(1)
    )

    def middles(pictures: np.ndarray) -> np.ndarray:
        columns = pictures.reshape(-1, 28, 28).sum(axis=1)
        return columns @ np.arange(28) / columns.sum(axis=1)

    distance = np.abs(middles(moved) - middles(glyphs))
    assert 0.5 < distance.max() <= 2.01


def test_strokes_become_thinner_and_thicker(glyphs: np.ndarray) -> None:
    changed = Augment(degrees=0, shear=0, scale=0, shift=0, stroke=1)(
        glyphs, np.random.default_rng(1)
    )
    ratio = changed.sum(axis=1) / glyphs.sum(axis=1)
    assert ratio.min() < 0.8
    assert ratio.max() > 1.3


def test_ink_that_leaves_the_picture_does_not_come_in_again() -> None:
    edge = np.zeros((1, 28, 28), np.float32)
    edge[:, :, 27] = 1
    far = Augment(degrees=0, shear=0, scale=0, shift=40, stroke=0)
    for seed in range(20):
        assert far(edge.reshape(1, 784), np.random.default_rng(seed)).sum() <= 28.01

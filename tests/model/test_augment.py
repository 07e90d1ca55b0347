import numpy as np
import pytest

from model.augment import Augment, rotate
from tests.conftest import digits_in_mnist_form

STILL = Augment(degrees=0, shear=0, scale=0, shift=0, stroke=0)


@pytest.fixture(scope="module")
def glyphs() -> np.ndarray:
    images, _ = digits_in_mnist_form(40, seed=3)
    return images.reshape(40, 784).astype(np.float32) / np.float32(255)


def test_no_change_gives_the_same_glyphs(glyphs: np.ndarray) -> None:
    np.testing.assert_allclose(STILL(glyphs, np.random.default_rng(1)), glyphs, atol=1e-5)


def test_changed_glyphs_are_float32_in_range_and_of_one_seed(glyphs: np.ndarray) -> None:
    augment = Augment(
        degrees=15, shear=0.3, scale=0.15, shift=1.5, elastic=1, stroke=0.5, noise=0.2, erase=0.5
    )
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


def test_each_glyph_is_changed_as_strongly_as_it_is_to_be(glyphs: np.ndarray) -> None:
    augment = Augment(degrees=15, shear=0.3, scale=0.15, shift=2, elastic=1, stroke=0.5)
    strength = np.zeros(40, np.float32)
    strength[10:20], strength[20:] = 0.3, 1
    changed = np.abs(augment(glyphs, np.random.default_rng(1), strength) - glyphs).mean(axis=1)
    assert changed[:10].max() < 1e-5
    assert 0 < changed[10:20].mean() < 0.7 * changed[20:].mean()
    np.testing.assert_array_equal(
        augment(glyphs, np.random.default_rng(1)),
        augment(glyphs, np.random.default_rng(1), np.ones(40, np.float32)),
    )


def test_a_moved_glyph_is_soft_and_sharpened_again(glyphs: np.ndarray) -> None:
    def sharpness(pictures: np.ndarray) -> float:
        return float(np.abs(np.diff(pictures.reshape(-1, 28, 28), axis=2)).max(axis=(1, 2)).mean())

    soft = Augment(shift=2)(glyphs, np.random.default_rng(1))
    sharp = Augment(shift=2, sharpen=1.5)(glyphs, np.random.default_rng(1))
    assert sharpness(soft) < 0.95 * sharpness(glyphs)
    assert sharpness(sharp) > 1.05 * sharpness(soft)
    assert 0 <= sharp.min() <= sharp.max() <= 1
    # A picture of one grey has nothing to sharpen, but for its border: beyond it is dark.
    even = np.full((1, 784), 0.5, np.float32)
    same = Augment(sharpen=1.5)(even, np.random.default_rng(1)).reshape(28, 28)
    np.testing.assert_array_equal(same[1:-1, 1:-1], 0.5)


def test_ink_that_leaves_the_picture_does_not_come_in_again() -> None:
    edge = np.zeros((1, 28, 28), np.float32)
    edge[:, :, 27] = 1
    far = Augment(degrees=0, shear=0, scale=0, shift=40, stroke=0)
    for seed in range(20):
        assert far(edge.reshape(1, 784), np.random.default_rng(seed)).sum() <= 28.01


def test_an_elastic_field_moves_neighbours_together_and_by_its_pixels(glyphs: np.ndarray) -> None:
    # Ramps across and down show where each pixel came from.
    y, x = np.mgrid[0:28, 0:28].astype(np.float32)
    ramps = np.repeat(np.stack([x, y]).reshape(2, 784) / np.float32(27), 200, axis=0)
    moved = Augment(elastic=1.4)(ramps, np.random.default_rng(1)).reshape(2, 200, 28, 28) * 27
    right = (moved[0] - x)[:, 8:20, 8:20]
    down = (moved[1] - y)[:, 8:20, 8:20]
    for field in (right, down):
        assert np.sqrt(np.mean(field**2)) == pytest.approx(1.4, rel=0.1)
        # Smooth with a deviation of 4 pixels: neighbours go almost the same way.
        assert np.abs(np.diff(field, axis=2)).mean() < 0.4


def test_noise_is_of_its_deviation_and_stays_in_range() -> None:
    grey = np.full((300, 784), 0.5, np.float32)
    noisy = Augment(noise=0.1)(grey, np.random.default_rng(1))
    deviations = noisy.std(axis=1)
    assert 0 <= deviations.min() < 0.01
    assert 0.09 < deviations.max() < 0.11
    assert Augment(noise=5)(grey, np.random.default_rng(1)).min() >= 0


def test_erasing_takes_one_rectangle_from_its_share_of_glyphs() -> None:
    white = np.ones((1000, 784), np.float32)
    erased = Augment(erase=0.4)(white, np.random.default_rng(1)).reshape(-1, 28, 28) == 0
    hit = erased.any(axis=(1, 2))
    assert hit.mean() == pytest.approx(0.4, abs=0.06)
    for picture in erased[hit]:
        rows, columns = picture.any(axis=1), picture.any(axis=0)
        assert picture.sum() == rows.sum() * columns.sum()
        assert max(rows.sum(), columns.sum()) <= 10


def test_rotated_copies_are_the_books(glyphs: np.ndarray) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    seen = glyphs * np.float32(0.99) + np.float32(0.01)
    turned = rotate(seen, 10, 0.01)
    expected = ndimage.rotate(seen[3].reshape(28, 28), 10, cval=0.01, order=1, reshape=False)
    np.testing.assert_allclose(turned[3].reshape(28, 28), expected, atol=1e-6)
    assert turned.dtype == np.float32

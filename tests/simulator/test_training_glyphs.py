import numpy as np
import pytest

from appliance.simulator.training_glyphs import simulate_example
from model.network import NOT_A_DIGIT
from tests.conftest import digits_in_mnist_form

IMAGES, LABELS = digits_in_mnist_form(40, seed=5)


def scan(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    row = int(rng.integers(len(IMAGES)))
    return IMAGES[row].astype(np.float32) / np.float32(255), int(LABELS[row])


@pytest.fixture(scope="module")
def examples() -> list[tuple[np.ndarray, int] | None]:
    rng = np.random.default_rng(1)
    return [simulate_example(scan, rng) for _ in range(250)]


@pytest.mark.slow
def test_examples_are_glyphs_of_digits_and_of_no_digits(
    examples: list[tuple[np.ndarray, int] | None],
) -> None:
    found = [example for example in examples if example is not None]
    assert len(found) > 0.8 * len(examples)
    for glyph, label in found:
        assert (glyph.shape, glyph.dtype) == ((28, 28), np.float32)
        assert 0 <= glyph.min() < glyph.max() <= 1
        assert 0 <= label <= NOT_A_DIGIT
    labels = np.bincount([label for _, label in found], minlength=11)
    assert labels.min() > 0
    assert 0.4 < labels[NOT_A_DIGIT] / len(found) < 0.65


def test_a_photographed_digit_still_looks_like_its_kind(
    examples: list[tuple[np.ndarray, int] | None],
) -> None:
    """The nearest class mean of the scans, blurred, is right far more often than chance."""
    from scipy import ndimage

    means = np.stack([IMAGES[d == LABELS].mean(axis=0) for d in range(10)])
    means = ndimage.gaussian_filter(means, (0, 1, 1)).reshape(10, -1)
    right = [
        int(np.argmax([np.corrcoef(mean, glyph.ravel())[0, 1] for mean in means])) == label
        for glyph, label in (example for example in examples if example is not None)
        if label != NOT_A_DIGIT
    ]
    assert np.mean(right) > 0.5


def test_one_seed_gives_the_same_examples(
    examples: list[tuple[np.ndarray, int] | None],
) -> None:
    rng = np.random.default_rng(1)
    for before in examples[:20]:
        again = simulate_example(scan, rng)
        assert (before is None) == (again is None)
        if before is not None and again is not None:
            np.testing.assert_array_equal(before[0], again[0])
            assert before[1] == again[1]


def test_a_blank_scan_is_no_example_of_a_digit() -> None:
    rng = np.random.default_rng(2)
    blank = np.zeros((28, 28), np.float32)
    found = [simulate_example(lambda rng: (blank, 99), rng) for _ in range(60)]
    assert not [example for example in found if example is not None and example[1] == 99]

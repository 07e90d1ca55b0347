import numpy as np
import pytest

from appliance.commands.parts import photographs
from appliance.vision.glyph import glyph as to_glyph
from appliance.vision.photograph import photograph
from model.datasets import Split
from tests.conftest import digits_in_mnist_form


@pytest.fixture(scope="module")
def scans() -> Split:
    images, labels = digits_in_mnist_form(24, seed=5)
    return Split(images.reshape(24, 784), labels)


def test_a_photographed_digit_is_a_glyph_that_still_looks_like_its_scan(scans: Split) -> None:
    rng = np.random.default_rng(1)
    alike = []
    for image in scans.images:
        scan = image.reshape(28, 28).astype(np.float32) / np.float32(255)
        glyph = photograph(scan, rng)
        assert glyph is not None
        assert (glyph.shape, glyph.dtype) == ((28, 28), np.float32)
        assert 0 <= glyph.min() <= glyph.max() <= 1
        assert not np.array_equal(glyph, scan)
        # The scan's own ink, cut out, in the same convention.
        rows, columns = (np.flatnonzero(scan.max(axis=axis) > 0.1) for axis in (1, 0))
        alone = scan[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        alike.append(np.corrcoef(glyph.ravel(), to_glyph(alone).ravel())[0, 1])
    assert np.median(alike) > 0.85
    assert min(alike) > 0.6


def test_a_blank_scan_gives_no_glyph() -> None:
    assert photograph(np.zeros((28, 28), np.float32), np.random.default_rng(1)) is None


def test_one_seed_gives_the_same_photographs_and_a_blank_stays_as_scanned(scans: Split) -> None:
    scans.images[2] = 0
    one, two, other = (photographs(scans, 6, seed) for seed in (1, 1, 2))
    assert one is not None
    assert two is not None
    assert other is not None
    assert one.shape == (6, 784)
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert not one[2].any()
    assert photographs(scans, 0, 1) is None
    many = photographs(scans, 1000, 1)
    assert many is not None
    assert len(many) == 24

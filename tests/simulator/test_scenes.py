from itertools import combinations

import numpy as np
import pytest

from appliance.simulator.handwriting import PLAIN, render_handwriting
from appliance.simulator.paper import Conditions, random_conditions
from appliance.simulator.scenes import (
    NO_DIGIT_KINDS,
    enlarge_scan,
    join_inks,
    render_digit,
    render_no_digit,
    render_sheet,
)
from tests.conftest import digits_in_mnist_form

CLEAN = Conditions()


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    images, _ = digits_in_mnist_form(1, seed=4)
    return images[0].astype(np.float32) / np.float32(255)


def dark_box(grey: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(grey < 120)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("tilt", [0.0, 0.8])
def test_the_box_of_one_digit_is_tight_around_its_ink(scan: np.ndarray, tilt: float) -> None:
    for writing in (PLAIN[4], scan):
        conditions = Conditions(tilt=tilt, perspective=tilt)
        scene = render_digit(4, writing, conditions, np.random.default_rng(2))
        assert (scene.grey.shape, scene.grey.dtype) == ((480, 640), np.uint8)
        assert scene.digits == (4,)
        np.testing.assert_allclose(scene.boxes[0], dark_box(scene.grey), atol=4)


@pytest.mark.parametrize(("factor", "share"), [("small", 1 / 20), ("large", 9 / 10)])
def test_small_and_large_are_shares_of_the_frame(
    scan: np.ndarray, factor: str, share: float
) -> None:
    for writing in (PLAIN[2], scan):
        scene = render_digit(2, writing, Conditions(**{factor: 1.0}), np.random.default_rng(1))
        _, y0, _, y1 = scene.boxes[0]
        assert (y1 - y0) / 480 == pytest.approx(share, rel=0.25)


@pytest.mark.parametrize("count", range(2, 13))
def test_neighbours_on_a_sheet_do_not_overlap_and_are_in_reading_order(count: int) -> None:
    for seed in range(5):
        rng = np.random.default_rng([count, seed])
        digits = [int(digit) for digit in rng.integers(0, 10, count)]
        scene = render_sheet(digits, [PLAIN[digit] for digit in digits], CLEAN, rng)
        assert scene.digits == tuple(digits)
        assert len(scene.boxes) == count
        for a, b in combinations(scene.boxes, 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        for a, b in zip(scene.boxes, scene.boxes[1:], strict=False):
            assert b[0] > a[0] or b[1] > (a[1] + a[3]) / 2
        for x0, y0, x1, y1 in scene.boxes:
            assert 0 <= x0 < x1 <= 640
            assert 0 <= y0 < y1 <= 480


@pytest.mark.parametrize("count", [1, 13])
def test_another_number_of_digits_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="from 2 to 12"):
        render_sheet([1] * count, [PLAIN[1]] * count, CLEAN, np.random.default_rng(1))


@pytest.mark.parametrize("kind", NO_DIGIT_KINDS)
def test_a_picture_of_any_kind_has_no_digit_and_is_reproducible(kind: str) -> None:
    conditions = random_conditions(np.random.default_rng(1))
    a, b = (
        render_no_digit(kind, conditions, np.random.default_rng(5), (120, 160)) for _ in range(2)
    )
    assert (a.digits, a.boxes) == ((), ())
    assert (a.grey.shape, a.grey.dtype) == ((120, 160), np.uint8)
    np.testing.assert_array_equal(a.grey, b.grey)
    assert kind == "blank" or a.grey.std() > 1


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind 'cat': one of blank"):
        render_no_digit("cat", CLEAN, np.random.default_rng(1))


def test_an_enlarged_scan_has_strokes_of_the_given_weight(scan: np.ndarray) -> None:
    rng = np.random.default_rng
    usual, thick, thin = (
        enlarge_scan(scan, rng(1), 100, weight).mean() for weight in (0, 0.8, -0.8)
    )
    assert thin < 0.8 * usual
    assert thick > 1.2 * usual
    assert enlarge_scan(np.zeros((28, 28), np.float32), rng(1), 100).shape == (1, 1)


def test_joined_letters_touch() -> None:
    from scipy import ndimage

    inks = [
        render_handwriting(PLAIN[d], np.random.default_rng(d), height=50, pen=5) for d in (8, 0, 6)
    ]
    word = join_inks(inks, 2)
    assert word.shape[1] < sum(ink.shape[1] for ink in inks)
    assert ndimage.label(word > 0.5, np.ones((3, 3)))[1] == 1

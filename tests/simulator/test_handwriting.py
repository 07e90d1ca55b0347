import numpy as np
import pytest

from appliance.simulator.handwriting import (
    HANDS,
    LETTERS,
    PLAIN,
    SCRIBBLE,
    SIGNS,
    render_handwriting,
    render_strokes,
)


@pytest.mark.parametrize("digit", range(10))
def test_every_variant_is_cropped_and_has_the_given_height(digit: int) -> None:
    rng = np.random.default_rng(digit)
    for strokes in HANDS[digit].values():
        cover = render_handwriting(strokes, rng, height=100, pen=8)
        assert cover.dtype == np.float32
        assert 0 <= cover.min() < cover.max() <= 1
        assert 90 < len(cover) < 140
        ink = cover > 0.5
        assert ink.any()
        for edge in (cover[:3], cover[-3:], cover[:, :3], cover[:, -3:]):
            assert edge.any()


def test_there_are_the_variants_that_mnist_lacks() -> None:
    assert {"long", "long-foot", "bar", "flag"} <= set(HANDS[1])
    assert {"plain", "crossed", "serif", "curved"} <= set(HANDS[7])
    assert {"slashed", "open"} <= set(HANDS[0])
    assert {"open", "closed"} <= set(HANDS[4])
    assert {"two-strokes", "floating-bar", "one-stroke"} <= set(HANDS[5])
    assert {"straight", "curved"} <= set(HANDS[9])


def test_no_letter_looks_like_a_digit() -> None:
    assert not set("OoIlijJ|ZzSsBbGgqQD") & set(LETTERS)
    rng = np.random.default_rng(1)
    for strokes in [*LETTERS.values(), *SIGNS.values(), SCRIBBLE]:
        assert render_handwriting(strokes, rng, height=40, pen=3).max() == 1


def test_one_seed_gives_one_handwriting() -> None:
    one, two, other = (
        render_handwriting(PLAIN[3], np.random.default_rng(seed), height=60, pen=5)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_a_thicker_pen_covers_more_and_strokes_that_meet_stay_one_piece() -> None:
    from scipy import ndimage

    thin, thick = (
        render_handwriting(PLAIN[8], np.random.default_rng(1), height=80, pen=pen).sum()
        for pen in (3, 9)
    )
    assert 2 < thick / thin < 4
    for seed in range(20):
        seven = render_handwriting(PLAIN[7], np.random.default_rng(seed), height=80, pen=7)
        assert ndimage.label(seven > 0.5, np.ones((3, 3)))[1] == 1


def test_strokes_are_rendered_at_their_place_with_the_exact_width() -> None:
    cover = render_strokes([[(0, 0), (0, 1)]], (120, 60), centre=(30, 60), height=80, width=8)
    assert cover.shape == (120, 60)
    np.testing.assert_allclose(cover[60].sum(), 8, atol=0.5)
    rows = np.flatnonzero(cover[:, 30] > 0.5)
    assert abs(rows[0] - 16) <= 1
    assert abs(rows[-1] - 104) <= 1
    assert not render_strokes(PLAIN[4], (20, 20), centre=(200, 200), height=20, width=2).any()

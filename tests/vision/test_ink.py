import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from appliance.simulator.handwriting import PLAIN, render_strokes
from appliance.simulator.paper import Conditions, render_photograph
from appliance.vision.ink import (
    LONGEST_SIDE,
    NARROW_STROKE,
    downsample,
    find_ink,
    find_polarity,
    reduction_factors,
    refine_ink,
)

SHAPE = 240, 320
COVER = render_strokes(PLAIN[2], SHAPE, centre=(160, 120), height=120, width=8)


def photograph(sheet: Conditions, cover: np.ndarray = COVER, seed: int = 1) -> np.ndarray:
    grey = render_photograph(cover, sheet, np.random.default_rng(seed), unit=120)
    return downsample(grey, reduction_factors(grey.shape))


def overlap(ink: np.ndarray, cover: np.ndarray) -> float:
    """Return what ink and cover share of what they cover together."""
    found, there = ink > 0.5, cover > 0.5
    return float(np.count_nonzero(found & there) / max(1, np.count_nonzero(found | there)))


SHEETS = {
    "pen on white paper": Conditions(),
    "chalk on a board": Conditions(board=0.2),
    "pencil": Conditions(faint=0.5),
    "a hard light from one side": Conditions(light=0.8),
    "a shadow over one side": Conditions(shadow=0.6),
    "a noisy camera": Conditions(noise=0.4),
    "out of focus": Conditions(defocus=0.25),
    "dark paper": Conditions(colour=0.8),
    "dark corners": Conditions(vignette=0.8),
    "too short a shot": Conditions(exposure=0.5),
    "light and shadow on coloured paper": Conditions(light=0.5, shadow=0.5, colour=0.4),
}


@pytest.mark.parametrize("name", SHEETS)
def test_ink_is_found_where_the_pen_was(name: str) -> None:
    maps = find_ink(photograph(SHEETS[name]))
    assert not maps.blank
    assert maps.ink.dtype == np.float32
    assert overlap(maps.ink, COVER) > 0.6


@pytest.mark.parametrize("name", SHEETS)
def test_a_blank_sheet_has_no_ink_where_a_digit_would_be(name: str) -> None:
    maps = find_ink(photograph(SHEETS[name], np.zeros_like(COVER)))
    if "shadow" in name:
        # The hard edge of a shadow may stand out at the border: never over the middle.
        assert np.count_nonzero(maps.ink[60:180, 80:240]) == 0
    else:
        assert maps.blank
        assert not maps.ink.any()


def test_a_stroke_that_fades_is_ink_to_its_end() -> None:
    picture = np.full(SHAPE, 0.8, np.float32)
    strong = np.linspace(0.7, 0.25, 120, dtype=np.float32)
    picture[60:180, 156:164] *= 1 - strong[:, None]
    ink = find_ink(picture).ink
    assert ink[62:178, 158:162].min() > 0.6
    # What is no stroke at all does not become one.
    assert not ink[:, :140].any()


def test_a_narrow_window_follows_the_shadow_of_a_finger() -> None:
    picture = np.full(SHAPE, 0.8, np.float32)
    picture[:, 100:150] *= 0.6
    assert find_ink(picture, dark=True).ink[120, 125] > 0.9
    assert find_ink(picture, dark=True, widest_stroke=NARROW_STROKE).blank


@pytest.mark.parametrize("edge", [0.3, 0.5, 0.8])
def test_the_hard_edge_of_a_shadow_over_the_digit_is_no_ink(edge: float) -> None:
    sheet = np.full(SHAPE, 0.9, np.float32) * (1 - 0.8 * COVER)
    sheet[:, int(edge * SHAPE[1]) :] *= 0.4
    assert overlap(find_ink(sheet).ink, COVER) > 0.8


def test_faint_pencil_beside_a_thick_marker_is_ink() -> None:
    marker = render_strokes(PLAIN[8], SHAPE, centre=(90, 120), height=130, width=16)
    pencil = render_strokes(PLAIN[5], SHAPE, centre=(230, 120), height=110, width=4)
    noise = np.random.default_rng(5).normal(0, 0.01, SHAPE)
    sheet = 0.9 * (1 - 0.85 * marker) * (1 - 0.18 * pencil) + noise
    maps = find_ink(sheet.astype(np.float32))
    assert overlap(maps.ink[:, :160], marker[:, :160]) > 0.8
    assert overlap(maps.ink[:, 160:], pencil[:, 160:]) > 0.6
    # Each has its own strength.
    strong, faint = (maps.strength[cover > 0.9].mean() for cover in (marker, pencil))
    assert strong > 0.75
    assert faint == pytest.approx(0.15, abs=0.06)


def test_ink_is_as_bright_in_the_shadow_as_in_the_sun() -> None:
    half = np.linspace(1, 0.25, SHAPE[1], dtype=np.float32)
    sheet = (0.9 * (1 - 0.6 * COVER) * half).astype(np.float32)
    ink = find_ink(sheet).ink
    stroke = (COVER == 1) & (np.arange(SHAPE[1]) < 160)
    shaded = (COVER == 1) & (np.arange(SHAPE[1]) >= 160)
    assert ink[stroke].mean() == pytest.approx(ink[shaded].mean(), abs=0.08)


def test_there_is_ink_only_where_strokes_are() -> None:
    maps = find_ink(photograph(Conditions(noise=0.3)))
    assert not maps.ink[maps.strength == 0].any()
    assert not maps.strength[COVER.shape[0] - 20 :].any()


@pytest.mark.parametrize("light", ["light", "shadow", "vignette", "noise"])
def test_the_polarity_is_that_of_the_strokes(light: str) -> None:
    for seed in range(4):
        # A shadow's edge may leave a doubt, but no wrong certainty.
        dark, sure = find_polarity(photograph(Conditions(**{light: 0.6}), seed=seed))
        assert dark or not sure
        dark, sure = find_polarity(photograph(Conditions(**{"board": 0.3, light: 0.4}), seed=seed))
        assert not (dark and sure)


@pytest.mark.slow
@pytest.mark.parametrize("height", [24, 48, 100])
def test_the_polarity_is_that_of_a_small_digits_strokes(height: int) -> None:
    for digit in range(10):
        cover = render_strokes(
            PLAIN[digit], (480, 640), centre=(250, 220), height=height, width=height / 12
        )
        rng = np.random.default_rng(digit)
        for sheet, dark in ((Conditions(noise=0.2), True), (Conditions(board=0.2), False)):
            grey = render_photograph(cover, sheet, rng, unit=height)
            assert find_polarity(downsample(grey, (2, 2)))[0] == dark


def test_a_known_polarity_is_used() -> None:
    chalk = (0.2 + 0.7 * COVER).astype(np.float32)
    assert not find_ink(chalk).dark
    assert overlap(find_ink(chalk, dark=False).ink, COVER) > 0.8
    wrong = find_ink(chalk, dark=True)
    assert wrong.dark
    assert overlap(wrong.ink, COVER) < 0.1


def test_refined_ink_of_a_small_digit_has_the_frames_full_resolution() -> None:
    shape = 960, 1280
    cover = render_strokes(PLAIN[5], shape, centre=(400, 300), height=60, width=5)
    grey = render_photograph(cover, Conditions(light=0.4), np.random.default_rng(2), unit=60)
    factors = reduction_factors(shape)
    assert factors == (4, 4)
    maps = find_ink(downsample(grey, factors))
    box = 88, 60, 112, 90
    refined = refine_ink(maps, grey, box, factors)
    assert refined.shape == (30 * 4, 24 * 4)
    assert refined.dtype == np.float32
    assert 0 <= refined.min() < refined.max() == 1
    there = cover[60 * 4 : 90 * 4, 88 * 4 : 112 * 4]
    blown_up = maps.ink[60:90, 88:112].repeat(4, 0).repeat(4, 1)
    assert overlap(refined, there) > 0.75
    assert overlap(refined, there) > overlap(blown_up, there) + 0.1


def test_refined_ink_of_light_strokes_on_dark() -> None:
    cover = render_strokes(PLAIN[3], (480, 640), centre=(300, 200), height=50, width=5)
    grey = np.rint(40 + 190 * cover).astype(np.uint8)
    maps = find_ink(downsample(grey, (2, 2)), dark=False)
    refined = refine_ink(maps, grey, (130, 80, 170, 120), (2, 2))
    assert overlap(refined, cover[160:240, 260:340]) > 0.75


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.integers(1, 60)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_any_picture_gives_ink_of_its_shape_from_0_to_1(picture: np.ndarray) -> None:
    maps = find_ink(picture)
    assert maps.ink.shape == maps.strength.shape == maps.contrast.shape == picture.shape
    assert maps.ink.dtype == np.float32
    assert np.isfinite(maps.ink).all()
    assert 0 <= maps.ink.min() <= maps.ink.max() <= 1
    assert maps.blank == (not maps.ink.any())


@pytest.mark.parametrize("shape", [(2, 2), (480, 640), (3, 5000), (1999, 1501), (1, 1), (5000, 1)])
def test_a_reduced_frame_keeps_its_mean_and_is_never_too_long(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    picture = downsample(grey, reduction_factors(shape))
    assert max(picture.shape) <= LONGEST_SIDE
    assert min(picture.shape) >= 1
    assert picture.dtype == np.float32
    assert picture.mean() == pytest.approx(grey.mean() / 255, abs=0.02)


def test_a_small_frame_is_not_reduced() -> None:
    grey = np.arange(28 * 28, dtype=np.uint32).reshape(28, 28).astype(np.uint8)
    np.testing.assert_allclose(
        downsample(grey, reduction_factors(grey.shape)), grey / 255, atol=1e-6
    )

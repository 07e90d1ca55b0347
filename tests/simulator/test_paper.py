from dataclasses import fields, replace

import numpy as np
import pytest

from appliance.simulator.handwriting import PLAIN, render_strokes
from appliance.simulator.paper import (
    FACTORS,
    Conditions,
    choose_viewpoint,
    ink_box,
    project_points,
    random_conditions,
    render_photograph,
    warp_cover,
)

SHAPE = 120, 160
COVER = render_strokes(PLAIN[5], SHAPE, centre=(80, 60), height=60, width=6)
WRITERS = {"thin", "thick", "small", "large"}


def photograph(seed: int = 1, cover: np.ndarray = COVER, **factors: float) -> np.ndarray:
    conditions = Conditions(**factors)
    return render_photograph(cover, conditions, np.random.default_rng(seed), unit=60)


def test_every_factor_has_its_description() -> None:
    assert [field.name for field in fields(Conditions)] == list(FACTORS)
    assert all(sentence and not sentence.endswith(".") for sentence in FACTORS.values())


def test_a_clean_sheet_shows_the_pen_dark_on_bright_paper() -> None:
    grey = photograph()
    assert (grey.shape, grey.dtype) == (SHAPE, np.uint8)
    assert grey[COVER < 0.01].mean() > 180
    assert grey[COVER > 0.99].mean() < 110


@pytest.mark.parametrize("name", sorted(set(FACTORS) - WRITERS - {"board"}))
def test_a_stronger_factor_changes_the_picture_more(name: str) -> None:
    clean = photograph().astype(float)
    weak, strong = (
        np.mean([np.abs(photograph(seed, **{name: s}) - clean).mean() for seed in range(8)])
        for s in (0.1, 1.0)
    )
    assert strong > weak > 0


@pytest.mark.parametrize("name", ["colour", "faint"])
def test_contrast_fades_and_chalk_is_lighter_than_its_board(name: str) -> None:
    def contrast(grey: np.ndarray) -> float:
        paper = grey[COVER < 0.01].mean()
        return float(paper - grey[COVER > 0.99].mean()) / paper

    assert contrast(photograph(**{name: 1.0})) < 0.6 * contrast(photograph())
    assert contrast(photograph(board=0.5)) < -0.3


def test_a_tilted_sheet_keeps_its_digit_in_the_picture() -> None:
    corner = render_strokes(PLAIN[7], SHAPE, centre=(30, 40), height=70, width=5)
    for seed in range(20):
        conditions = Conditions(tilt=1, slant=1, perspective=1)
        view = choose_viewpoint(corner, conditions, np.random.default_rng(seed))
        seen = warp_cover(corner, view)
        box = ink_box(seen)
        assert box is not None
        assert box[0] > 0
        assert box[1] > 0
        assert box[2] < SHAPE[1]
        assert box[3] < SHAPE[0]
        rows, columns = np.nonzero(corner > 0.9)
        x, y = project_points(view, (columns.astype(float), rows.astype(float)))
        assert abs(x.min() - box[0]) < 3
        assert abs(y.max() - box[3]) < 3
    assert choose_viewpoint(corner, Conditions(light=1), np.random.default_rng(1)) is None


def test_clutter_never_lies_on_the_digit() -> None:
    for seed in range(20):
        grey = photograph(seed, clutter=1.0)
        dark = grey < 110
        assert dark[COVER > 0.99].mean() > 0.95
        box = ink_box(COVER)
        assert box is not None
        x0, y0, x1, y1 = box
        inside = grey[y0:y1, x0:x1][COVER[y0:y1, x0:x1] < 0.01]
        assert np.median(inside) > 170


def test_one_seed_gives_one_photograph() -> None:
    conditions = random_conditions(np.random.default_rng(3), 1.0)
    one, two, other = (
        render_photograph(COVER, conditions, np.random.default_rng(seed), unit=60)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_random_conditions_are_few_compatible_and_within_their_hardness() -> None:
    rng = np.random.default_rng(1)
    mixes = [random_conditions(rng, 0.5) for _ in range(300)]
    strengths = np.array([[getattr(mix, name) for name in FACTORS] for mix in mixes])
    assert 0 < strengths.max() <= 0.5
    assert 3 < (strengths > 0).sum(axis=1).mean() < 12
    assert (strengths > 0).any(axis=0).all()
    for mix in mixes:
        assert not (mix.thin and mix.thick)
        assert not (mix.small and mix.large)
        assert sum(bool(s) for s in (mix.ruled, mix.squared, mix.dotted, mix.board)) <= 1
    assert random_conditions(rng, 0.0) == Conditions()


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused_by_its_name(strength: float) -> None:
    with pytest.raises(ValueError, match="a strength is from 0 to 1"):
        replace(Conditions(), glare=strength)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (17, 9)])
def test_a_picture_of_any_shape_is_taken(shape: tuple[int, int]) -> None:
    everything = Conditions(**dict.fromkeys(FACTORS, 1.0))
    for cover in (np.zeros(shape, np.float32), np.ones(shape, np.float32)):
        assert (
            render_photograph(cover, everything, np.random.default_rng(1), unit=20).shape == shape
        )

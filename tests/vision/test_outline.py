"""The ground around a mark."""

import numpy as np
import pytest

from appliance.vision.ink import find_ink
from appliance.vision.marks import Mark, find_marks
from appliance.vision.outline import is_near_border, outline_fraction

SHAPE = 120, 160


def bar(picture: np.ndarray, x: int = 80) -> np.ndarray:
    picture[40:80, x - 3 : x + 3] = 0.2
    return picture


def the_mark(picture: np.ndarray) -> Mark:
    (mark,) = find_marks(find_ink(picture, dark=True))
    return mark


def fraction_of(picture: np.ndarray, mark: Mark | None = None) -> float:
    maps = find_ink(picture, dark=True)
    return outline_fraction(the_mark(picture) if mark is None else mark, maps, picture)


def test_around_a_stroke_on_even_paper_the_ground_begins_everywhere() -> None:
    assert fraction_of(bar(np.full(SHAPE, 0.8, np.float32))) == 1


@pytest.mark.parametrize("light", [0.9, 0.6, 0.45])
def test_a_shadow_across_a_stroke_leaves_it_its_outline(light: float) -> None:
    picture = bar(np.full(SHAPE, 0.8, np.float32))
    mark = the_mark(picture)
    # It falls on ground and stroke alike, aslant.
    rows, columns = np.indices(SHAPE)
    picture[columns - 80 > rows - 60] *= light
    assert fraction_of(picture, mark) > 0.97


def test_light_strokes_on_a_dark_ground_have_an_outline_too() -> None:
    picture = 1 - bar(np.full(SHAPE, 0.8, np.float32))
    maps = find_ink(picture, dark=False)
    (mark,) = find_marks(maps)
    assert outline_fraction(mark, maps, picture) == 1


def test_a_stroke_that_fades_keeps_its_outline() -> None:
    picture = np.full(SHAPE, 0.8, np.float32)
    strong = np.linspace(0.9, 0.2, 80, dtype=np.float32)
    picture[20:100, 77:83] *= 1 - strong[:, None]
    assert fraction_of(picture) > 0.97


@pytest.mark.parametrize("side", [slice(None, 80), slice(83, None)])
def test_the_edge_of_something_borders_on_ground_on_one_side_alone(side: slice) -> None:
    flat = bar(np.full(SHAPE, 0.8, np.float32))
    picture = flat.copy()
    # What is on one side of the bar is as dark as the bar.
    picture[:, side] = 0.2
    assert outline_fraction(the_mark(flat), find_ink(flat, dark=True), picture) < 0.7


def test_a_finger_has_no_outline_where_the_hand_begins() -> None:
    picture = np.full(SHAPE, 0.8, np.float32)
    picture[40:80, 70:90] = 0.4
    flat = picture.copy()
    picture[78:, 20:] = 0.4
    maps = find_ink(flat, dark=True)
    assert outline_fraction(the_mark(flat), maps, flat) == 1
    assert outline_fraction(the_mark(flat), maps, picture) < 0.9


def test_the_outline_leaves_out_what_is_near_other_ink() -> None:
    alone = bar(np.full(SHAPE, 0.8, np.float32))
    both = bar(alone.copy(), 87)
    mark = the_mark(alone)
    assert outline_fraction(mark, find_ink(both, dark=True), both) == 1
    assert outline_fraction(mark, find_ink(alone, dark=True), both) < 0.7


@pytest.mark.parametrize(("x", "near"), [(20, True), (80, False), (45, False), (140, True)])
def test_the_border_is_a_quarter_of_the_picture(x: int, near: bool) -> None:
    picture = bar(np.full(SHAPE, 0.8, np.float32), x)
    assert is_near_border(the_mark(picture), SHAPE) is near

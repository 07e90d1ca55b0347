"""What lies around a mark."""

import numpy as np
import pytest

from appliance.vision.around import beside, clutter, covered, step
from appliance.vision.ink import find_ink
from appliance.vision.marks import Mark, find_marks

SHAPE = 120, 160


def bar(picture: np.ndarray, x: int = 80) -> np.ndarray:
    picture[40:80, x - 3 : x + 3] = 0.2
    return picture


def the_mark(picture: np.ndarray) -> Mark:
    (mark,) = find_marks(find_ink(picture, dark=True))
    return mark


def test_a_bar_on_even_paper_has_the_same_ground_on_both_sides() -> None:
    picture = bar(np.full(SHAPE, 0.8, np.float32))
    assert step(the_mark(picture), picture) < 0.05


@pytest.mark.parametrize("turned", [False, True])
def test_the_step_is_the_difference_as_a_share_of_the_lesser_contrast(turned: bool) -> None:
    flat = bar(np.full(SHAPE, 0.8, np.float32))
    picture = flat.copy()
    picture[:, 83:] = 0.5
    mark = the_mark(flat)
    if turned:
        x0, y0, x1, y1 = mark.box
        mark = Mark(mark.ink.T.copy(), (y0, x0, y1, x1), 1.0, 0.7, False)
        picture = picture.T.copy()
    assert step(mark, picture) == pytest.approx(0.3 / 0.3, abs=0.1)


def test_a_bar_at_the_edge_has_no_other_side() -> None:
    picture = np.full(SHAPE, 0.8, np.float32)
    picture[20:100, :6] = 0.2
    mark = Mark(np.ones((80, 6), np.float32), (0, 20, 6, 100), 1.0, 0.7, True)
    assert step(mark, picture) == 0


@pytest.mark.parametrize(("x", "aside"), [(20, True), (80, False), (45, False), (140, True)])
def test_beside_is_within_a_quarter_of_the_border(x: int, aside: bool) -> None:
    picture = bar(np.full(SHAPE, 0.8, np.float32), x)
    assert beside(the_mark(picture), SHAPE) is aside


def test_clutter_is_what_stands_out_around_a_mark_but_not_what_is_written() -> None:
    picture = bar(np.full(SHAPE, 0.8, np.float32))
    other = picture.copy()
    other[40:80, 86:92] = 0.2
    bare, seen = find_ink(picture, dark=True), find_ink(other, dark=True)
    mark = the_mark(picture)
    neighbours = find_marks(seen)
    assert clutter(mark, bare, covered([mark], bare)) < 0.1
    assert clutter(mark, seen, covered([mark], seen)) > 0.5
    assert clutter(mark, seen, covered(neighbours, seen)) < 0.1

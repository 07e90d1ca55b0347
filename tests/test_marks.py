import numpy as np
import pytest

from appliance.vision.marks import Mark, find_mark, implausible
from appliance.vision.paper import SCRIBBLE, STROKES, drawn

SHAPE = 240, 320


def ink(digit: int, **place: object) -> np.ndarray:
    return drawn(
        STROKES[digit], SHAPE, **{"centre": (160, 120), "height": 120, "width": 8, **place}
    )


def test_nothing_is_no_mark() -> None:
    assert find_mark(np.zeros(SHAPE, np.float32)) == "no mark"
    assert find_mark(np.full(SHAPE, 0.4, np.float32)) == "no mark"


def test_dirt_is_no_mark() -> None:
    dirt = np.zeros(SHAPE, np.float32)
    dirt[100:105, 100:105] = 1
    assert find_mark(dirt) == "no mark"


def test_a_texture_is_no_mark() -> None:
    pepper = np.random.default_rng(3).random(SHAPE) < 0.05
    assert find_mark(pepper.astype(np.float32)) in ("no mark", "not a digit")


@pytest.mark.parametrize("digit", range(10))
def test_the_box_holds_the_strokes_and_little_more(digit: int) -> None:
    picture = ink(digit)
    mark = find_mark(picture)
    assert isinstance(mark, Mark)
    ys, xs = np.nonzero(picture > 0.5)
    expected = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    np.testing.assert_allclose(mark.box, expected, atol=2)
    assert mark.ink.shape == (mark.box[3] - mark.box[1], mark.box[2] - mark.box[0])


def test_a_floating_bar_belongs_to_its_five() -> None:
    five = drawn(STROKES[5][:2], SHAPE, centre=(160, 130), height=110, width=7)
    bar = drawn([[(0.0, 0.0), (0.4, 0.0)]], SHAPE, centre=(175, 66), height=100, width=7)
    mark = find_mark(np.maximum(five, bar))
    assert isinstance(mark, Mark)
    assert mark.box[1] < 66


def test_specks_and_a_distant_neighbour_do_not_belong_to_it() -> None:
    picture = ink(8)
    alone = find_mark(picture)
    picture = np.maximum(picture, ink(1, centre=(290, 120)))
    picture[20:24, 20:24] = 1
    mark = find_mark(picture)
    assert isinstance(mark, Mark)
    assert isinstance(alone, Mark)
    assert mark.box == alone.box


def test_the_middle_mark_is_preferred_to_one_that_the_edge_cuts() -> None:
    picture = np.maximum(ink(3), ink(8, centre=(5, 120), height=170, width=10))
    mark = find_mark(picture)
    assert isinstance(mark, Mark)
    assert mark.box[0] > 100


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("width", [3, 8, 18])
def test_digits_are_plausible(digit: int, width: float) -> None:
    mark = find_mark(ink(digit, width=width, degrees=10))
    assert isinstance(mark, Mark)
    assert not implausible(mark)


def a_word() -> np.ndarray:
    wave = [(x / 4, 0.2 * (x % 2)) for x in range(12)]
    return drawn([wave], SHAPE, centre=(160, 120), height=90, width=6)


def a_blot() -> np.ndarray:
    y, x = np.mgrid[0:240, 0:320]
    return (np.hypot(x - 160, y - 120) < 60).astype(np.float32)


def a_grid() -> np.ndarray:
    lines = [[(k / 5, 0.0), (k / 5, 1.0)] for k in range(6)]
    lines += [[(0.0, k / 5), (1.0, k / 5)] for k in range(6)]
    return drawn(lines, SHAPE, centre=(160, 120), height=150, width=4)


def a_scribble() -> np.ndarray:
    return drawn(SCRIBBLE, SHAPE, centre=(160, 120), height=130, width=5)


@pytest.mark.parametrize("thing", [a_word, a_blot, a_grid, a_scribble])
def test_what_no_digit_looks_like_is_implausible(thing) -> None:  # type: ignore[no-untyped-def]
    mark = find_mark(thing())
    assert isinstance(mark, Mark)
    assert implausible(mark)

import numpy as np
import pytest

from appliance.simulator.handwriting import PLAIN, render_strokes
from appliance.simulator.paper import Conditions, render_photograph
from appliance.vision.components import label_components
from appliance.vision.ink import downsample, find_ink
from appliance.vision.marks import find_marks
from appliance.vision.ruled_lines import remove_ruled_lines

SHAPE = 240, 320
DIGIT, LINE = np.float32(0.8), np.float32(0.3)


def draw(digit: int, **place: object) -> np.ndarray:
    return render_strokes(
        PLAIN[digit], SHAPE, **{"centre": (160, 120), "height": 120, "width": 8, **place}
    )


def draw_lines(
    spacing: float,
    degrees: float = 0.0,
    *,
    squared: bool = False,
    fan: float = 0.0,
    bend: float = 0.0,
    width: float = 2.0,
) -> np.ndarray:
    """Return how much of each pixel the lines cover; `fan` and `bend` are a view at an angle.

    Lines are `spacing` pixels apart, turned by `degrees`; they lean apart by `fan` across the
    picture's height and are bent by `bend` pixels in the middle.
    """
    y, x = (side.astype(np.float32) for side in np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]])
    x, y = x - SHAPE[1] / 2, y - SHAPE[0] / 2
    angle = np.deg2rad(degrees)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    v = v / (1 + fan * u / SHAPE[1]) + bend * (2 * u / SHAPE[1]) ** 2
    sides = (v, u) if squared else (v,)
    off = [np.abs((side + 11) / spacing - np.rint((side + 11) / spacing)) * spacing
           for side in sides]  # fmt: skip
    return np.clip(width / 2 + 0.5 - np.minimum.reduce(off), 0, 1).astype(np.float32)


def remove_lines(cover: np.ndarray, lines: np.ndarray) -> np.ndarray:
    contrast = np.maximum(DIGIT * cover, LINE * lines)
    return remove_ruled_lines(contrast, *label_components(contrast > 0.05))


SHEETS = {
    "ruled": draw_lines(40),
    "ruled closely": draw_lines(18),
    "squared": draw_lines(30, squared=True),
    "ruled and turned by 20°": draw_lines(40, 20),
    "ruled and turned the other way": draw_lines(40, -20),
    "squared and turned by 20°": draw_lines(30, 20, squared=True),
    "upright lines": draw_lines(40, 90),
    "ruled, seen at an angle": draw_lines(40, 4, fan=0.4),
    "squared, seen at an angle": draw_lines(36, -5, squared=True, fan=0.3),
    "ruled paper that does not lie flat": draw_lines(40, 3, bend=9),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHEETS)
def test_lines_go_and_the_strokes_over_them_stay(name: str) -> None:
    lines = SHEETS[name]
    # A 1 along an upright line has a test of its own.
    for digit in range(10) if name != "upright lines" else (0, *range(2, 10)):
        cover = draw(digit)
        left = remove_lines(cover, lines)
        stroke = cover > 0.5
        assert np.count_nonzero(left[stroke] >= 0.5 * DIGIT) > 0.96 * np.count_nonzero(stroke)
        # What is left of a line is near the digit, or cut short by a corner of the picture.
        beside = (lines > 0.5) & (cover == 0)
        beside[:, :60] = beside[:, -60:] = beside[:30] = beside[-30:] = False
        assert np.count_nonzero(left[beside] > 0.1) < 0.07 * np.count_nonzero(beside)


@pytest.mark.parametrize("name", SHEETS)
def test_an_empty_ruled_sheet_has_nothing_on_it_but_at_its_corners(name: str) -> None:
    left = remove_lines(np.zeros(SHAPE, np.float32), SHEETS[name])
    assert np.count_nonzero(left[30:-30, 60:-60] > 0.1) == 0


@pytest.mark.parametrize("tilt", [0.0, 0.8])
@pytest.mark.parametrize("kind", ["ruled", "squared"])
@pytest.mark.parametrize("digit", [2, 5, 8])
def test_a_photographed_digit_on_lines_is_the_one_on_a_blank_sheet(
    kind: str, tilt: float, digit: int
) -> None:
    cover = render_strokes(PLAIN[digit], (480, 640), centre=(320, 240), height=190, width=14)

    def seen(sheet: Conditions) -> np.ndarray:
        grey = render_photograph(cover, sheet, np.random.default_rng(3), unit=190)
        seen = find_ink(downsample(grey, (2, 2)))
        mark = max(find_marks(seen), key=lambda mark: mark.prominence)
        ink = np.zeros_like(seen.ink)
        x0, y0, x1, y1 = mark.box
        ink[y0:y1, x0:x1] = mark.ink
        return ink > 0.5

    plain, over = seen(Conditions(tilt=tilt)), seen(Conditions(tilt=tilt, **{kind: 0.6}))
    assert np.count_nonzero(plain & over) > 0.93 * np.count_nonzero(plain | over)


@pytest.mark.parametrize("height", [150, 200, 228])
@pytest.mark.parametrize("digit", [1, 4, 7])
def test_the_straight_strokes_of_a_large_digit_are_no_lines(digit: int, height: int) -> None:
    contrast = DIGIT * draw(digit, height=height)
    assert remove_ruled_lines(contrast, *label_components(contrast > 0.05)) is contrast


@pytest.mark.parametrize("height", [110, 145, 180, 215])
@pytest.mark.parametrize("places", [(120, 200), (80, 160, 240)], ids=["11", "111"])
def test_ones_side_by_side_are_no_lines(places: tuple[int, ...], height: int) -> None:
    contrast = DIGIT * np.maximum.reduce([draw(1, centre=(x, 120), height=height) for x in places])
    assert remove_ruled_lines(contrast, *label_components(contrast > 0.05)) is contrast


@pytest.mark.parametrize("x", [152, 167, 173])
def test_a_one_along_an_upright_line_stays(x: int) -> None:
    cover = draw(1, centre=(x, 120))
    left = remove_lines(cover, draw_lines(40, 90))
    assert np.count_nonzero(left[cover > 0.5] >= 0.5 * DIGIT) > 0.9 * np.count_nonzero(cover > 0.5)


@pytest.mark.parametrize("digit", range(10))
def test_a_picture_without_lines_is_returned_itself(digit: int) -> None:
    contrast = DIGIT * draw(digit)
    assert remove_ruled_lines(contrast, *label_components(contrast > 0.05)) is contrast


def test_a_texture_and_nothing_at_all_are_returned_themselves() -> None:
    pepper = np.random.default_rng(0).random(SHAPE, np.float32) ** 8
    for contrast in (np.zeros(SHAPE, np.float32), pepper):
        assert remove_ruled_lines(contrast, *label_components(contrast > 0.5)) is contrast


def test_the_input_is_left_unchanged() -> None:
    contrast = np.maximum(DIGIT * draw(3), LINE * SHEETS["ruled"])
    before = contrast.copy()
    assert remove_ruled_lines(contrast, *label_components(contrast > 0.05)) is not contrast
    np.testing.assert_array_equal(contrast, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (12, 400)])
def test_even_the_narrowest_picture_may_be_all_drawn(shape: tuple[int, int]) -> None:
    for contrast in (np.ones(shape, np.float32), np.eye(*shape, dtype=np.float32)):
        left = remove_ruled_lines(contrast, *label_components(contrast > 0.5))
        assert left.shape == shape
        assert left.dtype == np.float32


@pytest.mark.usefixtures("narrow_counts")
def test_lines_are_found_on_a_board_of_32_bits() -> None:
    test_lines_go_and_the_strokes_over_them_stay("ruled")

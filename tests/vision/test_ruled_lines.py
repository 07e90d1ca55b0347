import numpy as np
import pytest

from appliance.simulator.handwriting import PLAIN, drawn
from appliance.simulator.paper import Conditions, photographed
from appliance.vision.components import regions
from appliance.vision.ink import find_ink, reduced
from appliance.vision.marks import find_marks
from appliance.vision.ruled_lines import without_rules

SHAPE = 240, 320
DIGIT, RULE = np.float32(0.8), np.float32(0.3)


def written(digit: int, **place: object) -> np.ndarray:
    return drawn(PLAIN[digit], SHAPE, **{"centre": (160, 120), "height": 120, "width": 8, **place})


def lines(
    spacing: float,
    degrees: float = 0.0,
    *,
    squared: bool = False,
    fan: float = 0.0,
    bend: float = 0.0,
    width: float = 2.0,
) -> np.ndarray:
    """Return how much of each pixel the rules cover; `fan` and `bend` are of a sheet seen aslant.

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


def cleared(cover: np.ndarray, rules: np.ndarray) -> np.ndarray:
    depth = np.maximum(DIGIT * cover, RULE * rules)
    return without_rules(depth, *regions(depth > 0.05))


SHEETS = {
    "ruled": lines(40),
    "ruled closely": lines(18),
    "squared": lines(30, squared=True),
    "ruled and turned by 20°": lines(40, 20),
    "ruled and turned the other way": lines(40, -20),
    "squared and turned by 20°": lines(30, 20, squared=True),
    "upright rules": lines(40, 90),
    "ruled, seen from the side": lines(40, 4, fan=0.4),
    "squared, seen from the side": lines(36, -5, squared=True, fan=0.3),
    "ruled paper that does not lie flat": lines(40, 3, bend=9),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHEETS)
def test_rules_go_and_the_strokes_over_them_stay(name: str) -> None:
    rules = SHEETS[name]
    # A 1 along an upright rule has a test of its own.
    for digit in range(10) if name != "upright rules" else (0, *range(2, 10)):
        cover = written(digit)
        left = cleared(cover, rules)
        stroke = cover > 0.5
        assert np.count_nonzero(left[stroke] >= 0.5 * DIGIT) > 0.96 * np.count_nonzero(stroke)
        # What is left of a rule is near the digit, or cut short by a corner of the picture.
        beside = (rules > 0.5) & (cover == 0)
        beside[:, :60] = beside[:, -60:] = beside[:30] = beside[-30:] = False
        assert np.count_nonzero(left[beside] > 0.1) < 0.07 * np.count_nonzero(beside)


@pytest.mark.parametrize("name", SHEETS)
def test_an_empty_ruled_sheet_has_nothing_on_it_but_at_its_corners(name: str) -> None:
    left = cleared(np.zeros(SHAPE, np.float32), SHEETS[name])
    assert np.count_nonzero(left[30:-30, 60:-60] > 0.1) == 0


@pytest.mark.parametrize("tilt", [0.0, 0.8])
@pytest.mark.parametrize("kind", ["ruled", "squared"])
@pytest.mark.parametrize("digit", [2, 5, 8])
def test_a_photographed_digit_on_rules_is_the_one_that_the_blank_sheet_shows(
    kind: str, tilt: float, digit: int
) -> None:
    cover = drawn(PLAIN[digit], (480, 640), centre=(320, 240), height=190, width=14)

    def seen(sheet: Conditions) -> np.ndarray:
        grey = photographed(cover, sheet, np.random.default_rng(3), unit=190)
        seen = find_ink(reduced(grey, (2, 2)))
        mark = max(find_marks(seen), key=lambda mark: mark.prominence)
        ink = np.zeros_like(seen.ink)
        x0, y0, x1, y1 = mark.box
        ink[y0:y1, x0:x1] = mark.ink
        return ink > 0.5

    plain, over = seen(Conditions(tilt=tilt)), seen(Conditions(tilt=tilt, **{kind: 0.6}))
    assert np.count_nonzero(plain & over) > 0.93 * np.count_nonzero(plain | over)


@pytest.mark.parametrize("height", [150, 200, 228])
@pytest.mark.parametrize("digit", [1, 4, 7])
def test_the_straight_strokes_of_a_large_digit_are_no_rules(digit: int, height: int) -> None:
    depth = DIGIT * written(digit, height=height)
    assert without_rules(depth, *regions(depth > 0.05)) is depth


@pytest.mark.parametrize("height", [110, 145, 180, 215])
@pytest.mark.parametrize("places", [(120, 200), (80, 160, 240)], ids=["11", "111"])
def test_ones_side_by_side_are_no_rules(places: tuple[int, ...], height: int) -> None:
    depth = DIGIT * np.maximum.reduce([written(1, centre=(x, 120), height=height) for x in places])
    assert without_rules(depth, *regions(depth > 0.05)) is depth


@pytest.mark.parametrize("x", [152, 167, 173])
def test_a_one_along_an_upright_rule_stays(x: int) -> None:
    cover = written(1, centre=(x, 120))
    left = cleared(cover, lines(40, 90))
    assert np.count_nonzero(left[cover > 0.5] >= 0.5 * DIGIT) > 0.9 * np.count_nonzero(cover > 0.5)


@pytest.mark.parametrize("digit", range(10))
def test_a_picture_without_rules_is_returned_itself(digit: int) -> None:
    depth = DIGIT * written(digit)
    assert without_rules(depth, *regions(depth > 0.05)) is depth


def test_a_texture_and_nothing_at_all_are_returned_themselves() -> None:
    pepper = np.random.default_rng(0).random(SHAPE, np.float32) ** 8
    for depth in (np.zeros(SHAPE, np.float32), pepper):
        assert without_rules(depth, *regions(depth > 0.5)) is depth


def test_the_depths_that_are_handed_in_are_left_alone() -> None:
    depth = np.maximum(DIGIT * written(3), RULE * SHEETS["ruled"])
    before = depth.copy()
    assert without_rules(depth, *regions(depth > 0.05)) is not depth
    np.testing.assert_array_equal(depth, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (12, 400)])
def test_even_the_narrowest_picture_may_be_all_drawn(shape: tuple[int, int]) -> None:
    for depth in (np.ones(shape, np.float32), np.eye(*shape, dtype=np.float32)):
        left = without_rules(depth, *regions(depth > 0.5))
        assert left.shape == shape
        assert left.dtype == np.float32


@pytest.mark.usefixtures("narrow_counts")
def test_rules_are_found_on_a_board_of_32_bits() -> None:
    test_rules_go_and_the_strokes_over_them_stay("ruled")

import numpy as np
import pytest

from appliance.simulator.handwriting import HANDS, PLAIN, SCRIBBLE, Stroke, render_strokes
from appliance.vision.ink import InkMaps, find_ink
from appliance.vision.marks import (
    Mark,
    are_stacked,
    find_marks,
    find_splits,
    join_marks,
    sort_in_reading_order,
)

SHAPE = 240, 320
BAR: list[Stroke] = [[(0.0, 0.0), (0.0, 1.0)]]


def draw(strokes: int | list[Stroke], **place: object) -> np.ndarray:
    """Return the cover of a plain digit, or of strokes, in the middle unless told otherwise."""
    strokes = PLAIN[strokes] if isinstance(strokes, int) else strokes
    return render_strokes(
        strokes, SHAPE, **{"centre": (160, 120), "height": 120, "width": 8, **place}
    )


def ink_of(*covers: np.ndarray, strengths: tuple[float, ...] = ()) -> InkMaps:
    """Return the ink of white paper with covers drawn on it, each with its strength."""
    sheet = np.full(SHAPE, 0.9, np.float32)
    for cover, strength in zip(covers, strengths or [0.8] * len(covers), strict=True):
        sheet *= 1 - np.float32(strength) * cover
    return find_ink(sheet, dark=True)


def marks(*covers: np.ndarray, strengths: tuple[float, ...] = ()) -> list[Mark]:
    return find_marks(ink_of(*covers, strengths=strengths))


def box(cover: np.ndarray) -> tuple[int, ...]:
    ys, xs = np.nonzero(cover > 0.5)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def assert_boxes(found: list[Mark], covers: list[np.ndarray]) -> None:
    np.testing.assert_allclose([mark.box for mark in found], [box(c) for c in covers], atol=3)


def test_a_blank_sheet_and_dirt_have_no_mark() -> None:
    assert marks() == []
    dirt = np.zeros(SHAPE, np.float32)
    dirt[100:104, 100:104] = 1
    assert marks(dirt) == []


@pytest.mark.parametrize("width", [3, 8, 18])
@pytest.mark.parametrize("digit", range(10))
def test_a_digit_is_one_mark_in_its_tight_box(digit: int, width: int) -> None:
    cover = draw(digit, width=width)
    (mark,) = marks(cover)
    assert_boxes([mark], [cover])
    assert mark.ink.shape == (mark.box[3] - mark.box[1], mark.box[2] - mark.box[0])
    assert mark.ink.dtype == np.float32
    assert not mark.cut


def in_rows(
    digits: str,
    columns: int,
    *,
    height: float,
    top: float = 55,
    slope: float = 0.0,
    pitch: float = 62,
) -> list[np.ndarray]:
    """Return a cover for each digit, in rows that fall by `slope` to the right."""
    return [
        draw(
            int(digit),
            centre=(45 + pitch * (i % columns), top + 105 * (i // columns)
                    + slope * pitch * (i % columns)),
            height=height,
            width=0.08 * height,
            degrees=np.rad2deg(np.arctan(slope)),
        )
        for i, digit in enumerate(digits)
    ]  # fmt: skip


@pytest.mark.parametrize("slope", [-0.2, 0.0, 0.2, 0.36])
def test_a_row_is_read_from_the_left_however_it_slopes(slope: float) -> None:
    top = 120 - 2 * 56 * slope
    covers = in_rows("31425", 5, height=50, top=top, slope=slope, pitch=56)
    assert_boxes(marks(*covers), covers)


@pytest.mark.parametrize("slope", [0.0, 0.15])
def test_rows_are_read_from_the_top(slope: float) -> None:
    covers = in_rows("30425986", 4, height=62, slope=slope)
    assert_boxes(marks(*covers), covers)


@pytest.mark.parametrize(("gap", "count"), [(3, 1), (14, 2)])
def test_a_small_stroke_belongs_to_a_long_bar_only_if_it_is_very_near(gap: int, count: int) -> None:
    bar = draw(BAR, centre=(160, 120), height=190, width=10)
    small = draw(2, centre=(160 - 5 - gap - 22, 60), height=60, width=6)
    right = box(small)[2]
    small = np.roll(small, 155 - gap - right, axis=1)
    assert len(marks(bar, small)) == count


def test_a_speck_between_two_digits_does_not_break_their_row() -> None:
    covers = in_rows("3142", 4, height=60, top=120, slope=-0.2)
    x = (box(covers[1])[2] + box(covers[2])[0]) / 2
    speck = draw(BAR, centre=(x, box(covers[1])[3] + 1), height=10, width=8)
    found = [mark for mark in marks(*covers, speck) if mark.box[3] - mark.box[1] > 30]
    assert_boxes(found, covers)


def test_a_fading_mark_is_as_strong_upside_down() -> None:
    fading = np.linspace(1, 0.4, SHAPE[0], dtype=np.float32)[:, None]
    (upright,) = marks(draw(BAR, height=190, width=10) * fading)
    (turned,) = marks((draw(BAR, height=190, width=10) * fading)[::-1])
    assert upright.strength == pytest.approx(turned.strength, rel=0.02)


@pytest.mark.parametrize(("down", "yes"), [(70, True), (40, False), (0, False)])
def test_stacked_marks_hardly_overlap_in_height(down: int, yes: bool) -> None:
    upper, lower = (Mark(np.ones((60, 10), np.float32), (x, y, x + 10, y + 60), 1.0, 1.0, False)
                    for x, y in ((50, 20), (66, 20 + down)))  # fmt: skip
    assert are_stacked(upper, lower) is are_stacked(lower, upper) is yes


@pytest.mark.parametrize(("down", "order"), [(42, [0, 1]), (48, [1, 0])])
def test_neighbours_that_overlap_by_a_quarter_are_a_row(down: int, order: list[int]) -> None:
    # The one on the left is the lower one: it is read first only where both are one row.
    both = [
        Mark(np.ones((60, 30), np.float32), (x, y, x + 30, y + 60), 1.0, 1.0, False)
        for x, y in ((20, 60 + down), (70, 60))
    ]
    assert sort_in_reading_order(both) == [both[place] for place in order]


def test_a_low_and_a_high_digit_stand_in_one_row() -> None:
    covers = [
        draw(9, centre=(70, 135), height=80),
        draw(2, centre=(150, 110), height=50, width=5),
        draw(6, centre=(240, 100), height=90),
    ]
    assert_boxes(marks(*covers), covers)


@pytest.mark.parametrize("width", [4, 7, 12])
def test_a_floating_bar_belongs_to_its_five(width: int) -> None:
    cover = draw(HANDS[5]["floating-bar"], width=width)
    (mark,) = marks(cover)
    assert_boxes([mark], [cover])


@pytest.mark.parametrize("gap", [3, 5])
def test_a_broken_three_is_one_mark(gap: int) -> None:
    cover = draw(3, height=190, width=10)
    whole = box(cover)
    cover[118 : 118 + gap] = 0
    (mark,) = marks(cover)
    np.testing.assert_allclose(mark.box, whole, atol=3)
    upper, lower = sorted(mark.parts, key=lambda part: part.box[1])
    assert upper.box[3] - 2 <= lower.box[1] + 2
    for part in (upper, lower):
        assert part.ink.shape[0] < 0.7 * mark.ink.shape[0]


def test_a_four_in_two_strokes_that_do_not_meet_is_one_mark() -> None:
    (mark,) = marks(
        np.maximum(draw(PLAIN[4][:2], centre=(150, 100), height=90),
                   draw([[(0.0, 0.0), (-0.02, 0.6)]], centre=(160, 145), height=130))
    )  # fmt: skip
    assert mark.box[3] > 170
    assert mark.box[0] < 130


def test_a_digit_in_one_stroke_has_no_parts() -> None:
    assert marks(draw(8))[0].parts == ()


@pytest.mark.parametrize("pair", [(3, 8), (1, 1), (0, 6), (4, 7)])
def test_neighbours_with_a_gap_are_apart(pair: tuple[int, int]) -> None:
    covers = [draw(pair[0], centre=(110, 120), height=100)]
    left = draw(pair[1], centre=(200, 120), height=100)
    # Set so near that a quarter of their height is between them.
    covers.append(np.roll(left, box(covers[0])[2] + 25 - box(left)[0], axis=1))
    assert_boxes(marks(*covers), covers)


def test_specks_beside_a_digit_are_neither_marks_nor_part_of_it() -> None:
    cover = draw(8)
    (alone,) = marks(cover)
    specked = cover.copy()
    for y, x in ((20, 20), (120, 60), (200, 280)):
        specked[y : y + 4, x : x + 4] = 1
    (mark,) = marks(specked)
    assert mark.box == alone.box


def test_a_mark_cut_by_the_edge_is_dropped_beside_a_whole_digit() -> None:
    whole = draw(3)
    (mark,) = marks(whole, draw(8, centre=(5, 120), height=170, width=10))
    assert_boxes([mark], [whole])
    assert not mark.cut


@pytest.mark.parametrize("centre", [(5, 120), (315, 120), (160, 0), (160, 235)])
def test_a_mark_cut_by_the_edge_is_kept_if_it_is_the_only_one(centre: tuple[int, int]) -> None:
    (mark,) = marks(draw(8, centre=centre))
    assert mark.cut


def test_a_crease_beside_a_pen_stroke_is_no_part_of_the_digit() -> None:
    digit = draw(3)
    crease = draw(BAR, centre=(206, 120), height=60, width=4)
    as_strong, faint = marks(digit, crease), marks(digit, crease, strengths=(0.8, 0.25))
    # Drawn as strongly, and this near, it could be a stroke of the same sign.
    assert max(mark.box[2] for mark in as_strong) > 200
    primary = max(faint, key=lambda mark: mark.prominence)
    np.testing.assert_allclose(primary.box, box(digit), atol=3)


def test_central_and_large_marks_are_more_prominent() -> None:
    middle, corner = marks(
        draw(3, centre=(160, 120), height=70, width=6),
        draw(3, centre=(60, 190), height=70, width=6),
    )
    assert middle.prominence > corner.prominence
    small, large = marks(
        draw(5, centre=(90, 120), height=60, width=6),
        draw(5, centre=(230, 120), height=110, width=6),
    )
    assert large.prominence > small.prominence


def test_a_strong_mark_is_more_prominent_than_a_faint_one() -> None:
    covers = [draw(6, centre=(x, 120), height=90) for x in (90, 230)]
    strong, faint = marks(*covers, strengths=(0.8, 0.25))
    assert strong.prominence > 2 * faint.prominence
    assert strong.strength == pytest.approx(0.8, abs=0.08)
    assert faint.strength == pytest.approx(0.25, abs=0.06)


def a_mark(x0: int, y0: int, x1: int, y1: int, *, strength: float = 0.8, cut: bool = False) -> Mark:
    ink = np.full((y1 - y0, x1 - x0), 0.7, np.float32)
    return Mark(ink=ink, box=(x0, y0, x1, y1), prominence=2.0, strength=strength, cut=cut)


def test_joined_marks_have_both_inks_in_one_box() -> None:
    both = join_marks(a_mark(10, 20, 40, 120), a_mark(46, 60, 60, 130, cut=True))
    assert both is not None
    assert (both.box, both.cut, both.prominence) == ((10, 20, 60, 130), True, 4.0)
    assert both.ink.shape == (110, 50)
    assert both.ink[:40, :30].min() == pytest.approx(0.7)
    assert both.ink[40:, 36:].min() == pytest.approx(0.7)
    assert not both.ink[:, 31:36].any()


@pytest.mark.parametrize("gap", [-30, 0, 10])
def test_marks_are_joined_in_either_direction(gap: int) -> None:
    one = a_mark(50, 50, 80, 150)
    assert join_marks(one, a_mark(80 + gap, 60, 140, 140)) is not None
    assert join_marks(a_mark(20, 60, 50 - gap, 140), one) is not None
    assert join_marks(one, a_mark(50, 150 + gap, 80, 220)) is not None


def test_marks_too_far_apart_are_not_joined() -> None:
    assert join_marks(a_mark(10, 20, 40, 120), a_mark(60, 20, 90, 120)) is None
    assert join_marks(a_mark(10, 20, 40, 120), a_mark(10, 140, 40, 200)) is None


def test_marks_of_different_strength_are_not_joined() -> None:
    pen = a_mark(10, 20, 40, 120)
    assert join_marks(pen, a_mark(44, 20, 70, 120, strength=0.7)) is not None
    assert join_marks(pen, a_mark(44, 20, 70, 120, strength=0.2)) is None
    assert join_marks(a_mark(44, 20, 70, 120, strength=0.2), pen) is None


def touching(left: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two digits of which the strokes just meet."""
    first = draw(left, centre=(90, 120))
    second = draw(right, centre=(130, 120))
    # From the place where their boxes meet there are few steps to where their strokes part.
    start = 130 + box(first)[2] - box(second)[0] - 8
    touched = second
    for x in range(start, start + 30):
        second = draw(right, centre=(x, 120))
        if len(marks(first, second)) > 1:
            break
        touched = second
    return first, touched


def share(part: Mark, cover: np.ndarray) -> float:
    """Return how much of a cover's strokes a part of a mark has."""
    x0, y0, x1, y1 = part.box
    there = np.count_nonzero((cover[y0:y1, x0:x1] > 0.5) & (part.ink > 0.3))
    return there / np.count_nonzero(cover > 0.5)


# One stroke's end meets the other digit, or one bow of each the other's.
@pytest.mark.parametrize("pair", ["25", "44", "23", "38", "00", "56"])
def test_two_digits_that_just_touch_have_a_clear_cut(pair: str) -> None:
    first, second = touching(*map(int, pair))
    (mark,) = marks(first, second)
    parts = find_splits(mark)
    assert any(share(a, first) > 0.93 and share(b, second) > 0.93 for a, b in parts)
    for left, right in parts:
        assert left.ink.sum() + right.ink.sum() <= 1.001 * mark.ink.sum()
        assert left.prominence + right.prominence <= 1.001 * mark.prominence
        for part in (left, right):
            assert part.ink.shape == (part.box[3] - part.box[1], part.box[2] - part.box[0])


def test_the_clearest_cut_comes_first_and_there_are_few() -> None:
    first, second = touching(4, 4)
    parts = find_splits(marks(first, second)[0])
    assert 1 < len(parts) <= 4
    assert share(parts[0][0], first) > 0.93
    assert share(parts[0][1], second) > 0.93


@pytest.mark.parametrize("degrees", [-20, 0, 20])
@pytest.mark.parametrize("variant", ["flag", "bar", "long"])
def test_a_single_one_has_no_cut(variant: str, degrees: int) -> None:
    for mark in marks(draw(HANDS[1][variant], degrees=degrees, width=6)):
        assert find_splits(mark) == []


@pytest.mark.parametrize("digit", [0, 3, 6, 8])
def test_a_round_digit_has_no_cut(digit: int) -> None:
    assert find_splits(marks(draw(digit))[0]) == []


def test_a_scribble_is_one_mark() -> None:
    cover = draw(SCRIBBLE, width=5)
    (mark,) = marks(cover)
    assert_boxes([mark], [cover])

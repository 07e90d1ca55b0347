"""What is written on a sheet, and what is scenery."""

import numpy as np
import pytest

from appliance.reader.decision import Candidate, accept_among_digits
from appliance.reader.reader import Reader
from appliance.reading import Answer, make_frame
from appliance.simulator import scenes
from appliance.simulator.handwriting import LETTERS, PLAIN, Stroke, render_strokes
from appliance.simulator.paper import Conditions
from appliance.vision.marks import Mark
from tests.drawing import SHAPE, draw, one_line, photograph

BAR: list[Stroke] = [[(0, 0), (0.02, 1)]]


def a_one(x: int, y: int = 240, height: int = 200) -> np.ndarray:
    return draw(BAR, centre=(x, y), height=height)


def test_a_fence_is_no_row_of_ones(reader: Reader) -> None:
    bars = [draw(BAR, centre=(30 + 40 * i, 240), height=260, width=12) for i in range(15)]
    reading = reader.read(photograph(np.maximum.reduce(bars)))
    assert reading.digit is None
    assert {mark.digit for mark in reading.marks} <= {None}


@pytest.mark.parametrize(("ones", "seen"), [(1, "1"), (2, "11"), (3, "111"), (4, "????")])
def test_a_few_ones_are_ones_and_more_are_a_tally(reader: Reader, ones: int, seen: str) -> None:
    row = [a_one(320 + 90 * i - 45 * (ones - 1)) for i in range(ones)]
    assert one_line(reader.read(photograph(np.maximum.reduce(row)))) == seen


def test_many_ones_beside_another_digit_are_ones(reader: Reader) -> None:
    row = [*(a_one(100 + 90 * i) for i in range(4)), draw(6, centre=(520, 240))]
    assert one_line(reader.read(photograph(np.maximum.reduce(row)))) == "11116"


@pytest.mark.parametrize("place", [(60, 240), (590, 200)])
def test_a_bar_beside_an_empty_sheet_is_a_pen(reader: Reader, place: tuple[int, int]) -> None:
    reading = reader.read(photograph(a_one(*place)))
    assert (reading.digit, reading.reason) == (None, "not a digit")


def test_a_one_at_the_border_beside_another_digit_is_a_one(reader: Reader) -> None:
    sheet = np.maximum(a_one(60), draw(2, centre=(320, 240)))
    assert one_line(reader.read(photograph(sheet))) == "12"


def test_a_stripe_across_the_picture_is_no_one(reader: Reader) -> None:
    stripe = render_strokes(BAR, SHAPE, centre=(320, 240), height=600, width=20)
    reading = reader.read(photograph(stripe))
    assert reading.digit is None


@pytest.mark.parametrize(("below", "digit"), [(20, None), (90, 1)])
def test_a_bar_that_stands_on_something_is_no_one(
    reader: Reader, below: int, digit: int | None
) -> None:
    grey = photograph(a_one(320, y=130, height=160)).grey.copy()
    # A table as dark as the bar, and far wider than a stroke.
    grey[210 + below :] = grey.min()
    assert reader.read(make_frame(grey, 0)).digit == digit


@pytest.mark.parametrize("darker", [0.1, 0.3, 0.5])
def test_a_shadow_that_a_one_stands_in_leaves_it_a_one(reader: Reader, darker: float) -> None:
    grey = photograph(a_one(320)).grey.astype(np.float32)
    # Its edge runs through the 1, which is as much darker in it as the sheet.
    rows, columns = np.indices(grey.shape)
    grey[columns - 320 > (rows - 240) // 2] *= 1 - darker
    assert reader.read(make_frame(grey.astype(np.uint8), 0)).digit == 1


@pytest.mark.parametrize("seed", [4, 16, 41, 82, 122, 153])
def test_the_shadow_of_a_hand_is_no_digit(reader: Reader, seed: int) -> None:
    # Fingers that look like a 2, 3, 4, 5, 6 and 7.
    rng = np.random.default_rng(seed)
    hand = scenes.render_no_digit("blank", Conditions(shadow=0.6), rng, (240, 320))
    reading = reader.read(make_frame(hand.grey, 0))
    assert (reading.digit, {mark.digit for mark in reading.marks} <= {None}) == (None, True)


@pytest.mark.parametrize("seed", [20, 35, 123, 140, 152])
def test_digits_in_the_shadow_of_fingers_are_read(reader: Reader, seed: int) -> None:
    digits = [3, 5, 2, 6, 8]
    rng = np.random.default_rng(seed)
    sheet = scenes.render_sheet(digits, [PLAIN[d] for d in digits], Conditions(shadow=0.6), rng)
    answers = [mark.digit for mark in reader.read(make_frame(sheet.grey, 0)).marks]
    assert [digit for digit in answers if digit is not None] == digits


@pytest.mark.parametrize("gap", [8, 12, 18])
def test_two_ones_close_beside_each_other_are_two(reader: Reader, gap: int) -> None:
    sheet = np.maximum(a_one(320), a_one(332 + gap))
    assert one_line(reader.read(photograph(sheet))) == "11"


def test_a_pen_beside_digits_is_no_one_but_a_one_is(reader: Reader) -> None:
    digits = np.maximum(
        draw(2, centre=(250, 240), height=110), draw(5, centre=(380, 240), height=110)
    )
    assert one_line(reader.read(photograph(np.maximum(digits, a_one(590, height=110))))) == "251"
    assert one_line(reader.read(photograph(np.maximum(digits, a_one(590, height=260))))) == "25?"


@pytest.mark.parametrize("letter", ["A", "M"])
def test_a_bar_among_letters_is_no_one(reader: Reader, letter: str) -> None:
    sheet = np.maximum(draw(LETTERS[letter], centre=(220, 240)), a_one(420))
    assert reader.read(photograph(sheet)).digit is None


def test_a_stripe_from_corner_to_corner_is_no_one(reader: Reader) -> None:
    stripe = render_strokes([[(0, 1), (1.4, 0)]], SHAPE, centre=(320, 240), height=640, width=24)
    reading = reader.read(photograph(stripe))
    assert reading.digit is None


@pytest.mark.parametrize("letter", ["n", "m", "h", "H", "arch"])
def test_a_letter_is_not_split_into_a_one_and_the_rest(reader: Reader, letter: str) -> None:
    reading = reader.read(photograph(draw(LETTERS[letter])))
    assert (reading.digit, one_line(reading)) == (None, "?")


def doubtful(digit: int, probability: float, none: float, height: int = 60) -> Candidate:
    """Return a mark that is refused, though it may be a digit."""
    probabilities = np.full(10, (1 - probability - none) / 9)
    probabilities[digit] = probability
    ink = np.zeros((height, 40), np.float32)
    ink[:, 17:23] = 1
    box = (0, 0, 40, height)
    answer = Answer(
        None, "not a digit", probability, tuple(probabilities), box, ink, np.zeros((28, 28))
    )
    return Candidate(Mark(ink, box, 1.0, 0.8, False), answer)


def certain(digit: int) -> Candidate:
    each = doubtful(digit, 0.99, 0.0)
    return each._replace(answer=each.answer._replace(digit=digit, reason=None))


ROW = [certain(digit) for digit in (3, 5, 8)]


def accepted(candidates: list[Candidate]) -> list[int | None]:
    return [each.answer.digit for each in accept_among_digits(candidates, 0.7)]


def test_among_digits_a_doubtful_digit_is_accepted() -> None:
    assert accepted([*ROW, doubtful(4, 0.3, 0.68)]) == [3, 5, 8, 4]
    answer = accept_among_digits([*ROW, doubtful(4, 0.3, 0.68)], 0.7)[-1].answer
    # 0.3 of 0.32 and a tenth of 0.68.
    assert answer.confidence == max(answer.probabilities) == pytest.approx(0.3 / 0.388)
    assert answer.reason is None


@pytest.mark.parametrize(
    "last",
    [
        doubtful(4, 0.01, 0.985),
        doubtful(4, 0.5, 0.0),
        doubtful(4, 0.3, 0.68, height=30),
        doubtful(4, 0.3, 0.68, height=120),
    ],
    ids=["a letter", "unsure between two", "a speck", "a pen"],
)
def test_among_digits_what_is_no_digit_stays_refused(last: Candidate) -> None:
    assert accepted([*ROW, last]) == [3, 5, 8, None]


@pytest.mark.parametrize("reason", ["blurred", "touches the edge"])
def test_among_digits_another_reason_stays(reason: str) -> None:
    each = doubtful(4, 0.3, 0.68)
    assert accepted([*ROW, each._replace(answer=each.answer._replace(reason=reason))])[-1] is None


def test_what_is_likelier_no_digit_is_refused_at_any_least_confidence() -> None:
    candidates = accept_among_digits([*ROW, doubtful(4, 0.04, 0.955)], 0.1)
    assert candidates[-1].answer.digit is None


@pytest.mark.parametrize("height", [160, 180, 260])
def test_a_pen_beside_three_digits_is_no_one(reader: Reader, height: int) -> None:
    digits = [draw(d, centre=(200 + 120 * i, 240), height=110) for i, d in enumerate((2, 5, 3))]
    sheet = np.maximum.reduce([*digits, a_one(590, height=height)])
    assert one_line(reader.read(photograph(sheet))) == "253?"


def test_two_digits_are_no_row_nor_are_three_in_a_crowd() -> None:
    maybe = doubtful(4, 0.3, 0.68)
    assert accepted([*ROW[1:], maybe]) == [5, 8, None]
    assert accepted([*ROW, maybe, maybe, maybe]) == [3, 5, 8, None, None, None]


def test_a_shadow_among_digits_is_no_digit() -> None:
    assert accepted([*ROW, doubtful(4, 0.3, 0.68)._replace(outlined=False)])[-1] is None

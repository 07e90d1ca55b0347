"""What is meant on a sheet, and what is in a scene."""

import numpy as np
import pytest

from appliance.reader import Reader
from appliance.reading import frame
from appliance.vision.strokes import LETTERS, Stroke, drawn
from tests.drawing import SHAPE, one_line, photograph, written

BAR: list[Stroke] = [[(0, 0), (0.02, 1)]]


def a_one(x: int, y: int = 240, height: int = 200) -> np.ndarray:
    return written(BAR, centre=(x, y), height=height)


def test_a_fence_is_no_row_of_ones(reader: Reader) -> None:
    bars = [drawn([[(0, 0), (0.02, 1)]], SHAPE, centre=(30 + 40 * i, 240), height=260, width=12)
            for i in range(15)]  # fmt: skip
    reading = reader.read(photograph(np.maximum.reduce(bars)))
    assert reading.digit is None
    assert {mark.digit for mark in reading.marks} <= {None}


@pytest.mark.parametrize(("ones", "seen"), [(1, "1"), (2, "11"), (3, "111"), (4, "????")])
def test_a_few_ones_are_ones_and_more_are_a_tally(reader: Reader, ones: int, seen: str) -> None:
    row = [a_one(320 + 90 * i - 45 * (ones - 1)) for i in range(ones)]
    assert one_line(reader.read(photograph(np.maximum.reduce(row)))) == seen


def test_many_ones_beside_another_digit_are_ones(reader: Reader) -> None:
    row = [*(a_one(100 + 90 * i) for i in range(4)), written(6, centre=(520, 240))]
    assert one_line(reader.read(photograph(np.maximum.reduce(row)))) == "11116"


@pytest.mark.parametrize("place", [(60, 240), (590, 200)])
def test_a_bar_beside_an_empty_sheet_is_a_pen(reader: Reader, place: tuple[int, int]) -> None:
    reading = reader.read(photograph(a_one(*place)))
    assert (reading.digit, reading.reason) == (None, "not a digit")


def test_a_one_at_the_border_beside_another_digit_is_a_one(reader: Reader) -> None:
    sheet = np.maximum(a_one(60), written(2, centre=(320, 240)))
    assert one_line(reader.read(photograph(sheet))) == "12"


def test_a_stripe_across_the_picture_is_no_one(reader: Reader) -> None:
    stripe = drawn(BAR, SHAPE, centre=(320, 240), height=600, width=20)
    reading = reader.read(photograph(stripe))
    assert reading.digit is None


@pytest.mark.parametrize(("darker", "digit"), [(0.1, 1), (0.45, None), (0.6, None)])
def test_an_edge_between_two_grounds_is_no_one(
    reader: Reader, darker: float, digit: int | None
) -> None:
    sheet = photograph(a_one(320))
    assert reader.read(sheet).digit == 1
    grey = sheet.grey.astype(np.float32)
    grey[80:400, 326:500] *= 1 - darker
    assert reader.read(frame(grey.astype(np.uint8), 0)).digit == digit


@pytest.mark.parametrize("letter", ["n", "m", "h", "H"])
def test_a_letter_is_not_split_into_a_one_and_the_rest(reader: Reader, letter: str) -> None:
    reading = reader.read(photograph(written(LETTERS[letter])))
    assert (reading.digit, one_line(reading)) == (None, "?")

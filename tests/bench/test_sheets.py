"""The marks of a sheet against its digits."""

from pathlib import Path

import numpy as np
import pytest

from appliance.reading import Answer, Box
from tests.bench.sheets import compare_marks, read_photographs

BOXES: list[Box] = [(0, 0, 10, 20), (20, 0, 30, 20), (40, 0, 50, 20)]
NOTHING = np.zeros((1, 1), np.float32)


def answer(digit: int | None, box: Box, confidence: float = 0.9) -> Answer:
    reason = "not a digit" if digit is None else None
    return Answer(digit, reason, confidence, (0.0,) * 10, box, NOTHING, NOTHING)


def test_a_sheet_with_every_digit_right_and_in_order_is_whole() -> None:
    sheet = compare_marks([1, 2, 3], BOXES, [answer(n + 1, box) for n, box in enumerate(BOXES)])
    assert (sheet.found, sheet.right, sheet.in_order, sheet.whole) == (3, 3, True, True)
    assert sheet.answers == ((0.9, True),) * 3


def test_a_refused_mark_is_found_and_not_right_and_no_answer() -> None:
    marks = [answer(1, BOXES[0]), answer(None, BOXES[1]), answer(3, BOXES[2])]
    sheet = compare_marks([1, 2, 3], BOXES, marks)
    assert (sheet.found, sheet.right, sheet.whole, len(sheet.answers)) == (3, 2, False, 2)


def test_dirt_that_is_refused_leaves_a_sheet_whole_and_dirt_that_is_answered_does_not() -> None:
    marks = [answer(n + 1, box) for n, box in enumerate(BOXES)]
    dirt: Box = (60, 0, 64, 4)
    assert compare_marks([1, 2, 3], BOXES, [*marks, answer(None, dirt)]).whole
    answered = compare_marks([1, 2, 3], BOXES, [*marks, answer(1, dirt, 0.7)])
    assert (answered.whole, answered.right) == (False, 3)
    assert answered.answers[-1] == (0.7, False)


def test_a_digit_that_is_read_as_two_is_not_right() -> None:
    halves = [answer(1, (0, 0, 5, 20)), answer(7, (5, 0, 10, 20))]
    assert compare_marks([1], BOXES[:1], halves).right == 0


def test_marks_out_of_order_are_recognised() -> None:
    marks = [answer(2, BOXES[1]), answer(1, BOXES[0])]
    sheet = compare_marks([1, 2, 3], BOXES, marks)
    assert (sheet.in_order, sheet.right, sheet.found) == (False, 2, 2)


def test_where_boxes_overlap_the_nearest_centre_counts() -> None:
    boxes: list[Box] = [(0, 0, 20, 20), (10, 0, 30, 20)]
    sheet = compare_marks([4, 5], boxes, [answer(4, (8, 0, 16, 20)), answer(5, (14, 0, 30, 20))])
    assert sheet.right == 2


def test_a_malformed_list_of_sheets_gives_its_line(tmp_path: Path) -> None:
    (tmp_path / "sheets.tsv").write_text("file\tbox\tlabel\na.png\t1,2,3\t4\n")
    with pytest.raises(ValueError, match="line 2: not a file, x0,y0,x1,y1 and a label"):
        read_photographs(tmp_path / "sheets", (None, None))

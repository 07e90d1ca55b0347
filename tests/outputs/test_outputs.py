"""The two small outputs: the newest reading, and the journal."""

import logging
from typing import Any

import numpy as np
import pytest

from appliance.outputs.journal import Journal
from appliance.outputs.latest import Latest, Recent
from appliance.reading import Answer, Frame, Reading


def test_latest_counts_readings_and_keeps_the_newest() -> None:
    latest = Latest()
    assert latest.newest() == (0, None)
    for digit in (1, 2):
        latest.show(Reading(at=0, digit=digit))
    number, reading = latest.newest()
    assert number == 2
    assert reading is not None
    assert reading.digit == 2


def test_latest_knows_how_long_ago_it_was() -> None:
    now = 100.0
    latest = Latest(clock=lambda: now)
    assert latest.seconds_since() is None
    latest.show(Reading(at=0, digit=1))
    now = 104.0
    assert latest.seconds_since() == 4.0


def test_the_journal_has_a_line_a_change(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    journal = Journal()
    for settled in (None, 4, 4, None):
        journal.show(
            Reading(at=0, settled=settled, confidence=0.98, reason=None if settled else "blank")
        )
    assert caplog.messages == ["reads 4 (98 %)", "no digit: blank"]
    journal.show(Reading(at=0, settled=4, confidence=0.98))
    journal.show(Reading(at=0, digit=7, confidence=0.9))
    assert caplog.messages[-1] == "no digit: not yet sure that it is 7"


def of_a_panorama() -> Reading:
    """Return a reading as large as one can be, with every array that it has."""
    grey = np.full((1600, 9350), 220, np.uint8)
    grey[400:1200, 4000:4600] = 30
    # The frame's own pixels are twice as many a side.
    box, ink = (8000, 800, 9200, 2400), np.ones((69, 400), np.float32)
    mark, glyph = np.ones((35, 27), np.float32), np.ones((28, 28), np.float32)
    answer = Answer(7, None, 0.9, (0.1,) * 10, box, mark, glyph)
    return Reading(
        at=5.0, digit=7, box=box, marks=(answer,), frame=Frame(grey, 5.0, (18_700, 3200)),
        ink=ink, mark=mark, glyph=glyph, confidence=0.9, network="0" * 64,
    )  # fmt: skip


def arrays_in(value: Any) -> list[np.ndarray]:
    """Return every array that a reading holds, and those that its views keep alive."""
    if isinstance(value, np.ndarray):
        return [value, *arrays_in(value.base)]
    if isinstance(value, Frame):
        return arrays_in(value.grey)
    return [each for part in value for each in arrays_in(part)] if isinstance(value, tuple) else []


def test_the_last_readings_keep_no_large_array() -> None:
    recent = Recent()
    for number in range(12):
        recent.keep(number, of_a_panorama())
    kept = recent.newest(100)
    assert [number for number, _ in kept] == list(range(11, 3, -1))
    for _, reading in kept:
        arrays = arrays_in(tuple(reading))
        assert arrays
        assert sum(each.nbytes for each in arrays) < 640 * 640
        # What a label and the view Inside need.
        assert (reading.digit, reading.confidence, reading.network) == (7, 0.9, "0" * 64)
        assert reading.glyph is not None


def test_what_is_kept_of_a_frame_is_around_its_mark() -> None:
    recent = Recent()
    recent.keep(1, of_a_panorama())
    kept = recent.of(1)
    assert kept is not None
    assert kept.frame is not None
    grey = kept.frame.grey
    assert 320 <= max(grey.shape) < 640
    height, width = grey.shape
    assert grey[0, 0] == grey[-1, -1] == 220
    assert grey[height // 2, width // 2] == 30
    # 800 of 1,440 rows and 600 of 1,240 columns are the mark's.
    assert abs((grey < 125).mean() - 800 * 600 / (1440 * 1240)) < 0.02


def test_a_mark_at_the_frames_border_and_one_on_a_frame_of_a_few_pixels_are_kept() -> None:
    for shape in ((3, 2000), (2000, 3), (1, 1)):
        box = (0, 0, shape[1], shape[0])
        glyph = np.ones((28, 28), np.float32)
        frame = Frame(np.zeros(shape, np.uint8), 0.0, shape[::-1])
        recent = Recent()
        recent.keep(1, Reading(at=0, frame=frame, box=box, glyph=glyph))
        kept = recent.of(1)
        assert kept is not None
        assert kept.frame is not None
        assert max(kept.frame.grey.shape) < 640


def test_recent_readings_keep_no_large_arrays_and_none_without_a_mark(a_seven: Reading) -> None:
    recent = Recent(size=2)
    for number in range(5):
        recent.keep(number, a_seven)
    recent.keep(5, Reading(at=0, reason="blank"))
    assert [number for number in range(6) if recent.of(number)] == [3, 4]
    reading = recent.of(4)
    assert reading is not None
    assert (reading.ink, reading.mark, reading.marks) == (None, None, ())

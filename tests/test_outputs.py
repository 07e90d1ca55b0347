"""The two small outputs: the newest reading, and the journal."""

import logging

import pytest

from appliance.outputs.journal import Journal
from appliance.outputs.latest import Latest
from appliance.reading import Reading


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

"""When a night begins by itself: by a clock that can be believed, else by the hours since boot."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.captures.store import Captures
from appliance.device import machine
from appliance.settings.schema import RetrainSettings
from appliance.training.records import append_night
from appliance.training.schedule import find_deadline, reason_to_wait
from tests.owner import correct, hand

OVER_MIDNIGHT = RetrainSettings(hour=22, until=5)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture
def owned(captures: Captures) -> Captures:
    correct(captures, *(part[:60] for part in hand()))
    return captures


def why_not(state: Path, captures: Captures, now: str, **others: Any) -> str | None:
    parts = {"settings": RetrainSettings(hour=1, until=6), "clock_is_set": True, **others}
    return reason_to_wait(state, captures=captures, now=at(now), **parts)


def ended(state: Path, when: str, **others: Any) -> None:
    record = {"at": at(when), "outcome": "kept", "finished": True, "boot": machine.boot()}
    append_night(state, {**record, **others})


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-23 00:59:59", False),
        ("2026-11-23 01:00:00", True),
        ("2026-11-23 05:59:59", True),
        ("2026-11-23 06:00:00", False),
        ("2026-11-23 14:00:00", False),
    ],
)
def test_it_begins_only_between_its_hours(
    tmp_path: Path, owned: Captures, now: str, due: bool
) -> None:
    why = why_not(tmp_path, owned, now)
    assert why == (None if due else "it is not between 1:00 and 6:00")


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-22 21:59:00", False),
        ("2026-11-22 22:00:00", True),
        ("2026-11-23 00:30:00", True),
        ("2026-11-23 04:59:00", True),
        ("2026-11-23 05:00:00", False),
    ],
)
def test_its_hours_may_lie_on_both_sides_of_midnight(
    tmp_path: Path, owned: Captures, now: str, due: bool
) -> None:
    why = why_not(tmp_path, owned, now, settings=OVER_MIDNIGHT)
    assert (why is None) == due


def test_once_a_night_is_enough(tmp_path: Path, owned: Captures) -> None:
    ended(tmp_path, "2026-11-22 23:30:00")
    done = "this night's training is done"
    assert why_not(tmp_path, owned, "2026-11-23 04:00:00", settings=OVER_MIDNIGHT) == done
    assert why_not(tmp_path, owned, "2026-11-23 22:00:00", settings=OVER_MIDNIGHT) is None


def test_a_training_by_day_does_not_count_for_the_night(tmp_path: Path, owned: Captures) -> None:
    ended(tmp_path, "2026-11-22 15:00:00")
    assert why_not(tmp_path, owned, "2026-11-23 01:00:00") is None


def test_one_that_was_told_to_end_goes_on_in_the_same_night(
    tmp_path: Path, owned: Captures
) -> None:
    ended(tmp_path, "2026-11-23 01:30:00", outcome="left", finished=False, told=True)
    assert why_not(tmp_path, owned, "2026-11-23 02:00:00") is None


def test_one_whose_time_was_over_goes_on_the_next_night(tmp_path: Path, owned: Captures) -> None:
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "plan.json").write_text("{}")
    ended(tmp_path, "2026-11-23 01:30:00", outcome="left", finished=False, told=False)
    assert why_not(tmp_path, owned, "2026-11-23 02:00:00") == "this night's training is done"
    assert why_not(tmp_path, owned, "2026-11-24 01:00:00") is None


def test_a_record_of_the_future_of_a_clock_that_was_set_back_holds_nothing_up(
    tmp_path: Path, owned: Captures
) -> None:
    ended(tmp_path, "2027-11-23 01:30:00")
    assert why_not(tmp_path, owned, "2026-11-23 02:00:00") is None


def test_with_nothing_new_to_learn_it_does_not_begin(tmp_path: Path, owned: Captures) -> None:
    ended(tmp_path, "2026-11-22 01:30:00", change=owned.count_changes())
    nothing = "there is nothing new to learn since the last training"
    assert why_not(tmp_path, owned, "2026-11-23 01:00:00") == nothing
    owned.relabel(1, 9)
    assert why_not(tmp_path, owned, "2026-11-23 01:00:00") is None


def test_what_is_unfinished_goes_on_also_with_nothing_new(tmp_path: Path, owned: Captures) -> None:
    ended(tmp_path, "2026-11-22 01:30:00", change=owned.count_changes())
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "plan.json").write_text("{}")
    assert why_not(tmp_path, owned, "2026-11-23 01:00:00") is None


def test_too_few_captures_are_told_with_what_is_missing(tmp_path: Path, captures: Captures) -> None:
    correct(captures, *(part[:4] for part in hand()))
    why = why_not(tmp_path, captures, "2026-11-23 01:00:00")
    assert why is not None
    assert why.startswith("There are not enough captures for a night yet")


def test_without_a_clock_it_waits_until_the_machine_has_run_for_hours(
    tmp_path: Path, owned: Captures
) -> None:
    noon = "2025-01-01 12:00:00"
    why = why_not(tmp_path, owned, noon, clock_is_set=False, uptime=3600.0)
    assert why is not None
    assert why.startswith("the clock is not set: it waits for the time")
    assert why_not(tmp_path, owned, noon, clock_is_set=False, uptime=3 * 3600.0) is None


def test_by_a_clock_that_is_weeks_behind_it_goes_by_the_hours_since_the_start(
    tmp_path: Path, owned: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_SYNCHRONISED", tmp_path / "no-timesync" / "synchronized")
    then, night = at("2026-11-20 12:00:00"), "2026-11-01 02:00:00"
    file = tmp_path / "owner.json"
    file.touch()
    monkeypatch.setattr(machine, "_STAMPS", ())
    for each in (file, *tmp_path.rglob("*"), tmp_path):
        os.utime(each, (then, then))
    why = why_not(tmp_path, owned, night, clock_is_set=None, uptime=3600.0)
    assert why is not None
    assert why.startswith("the clock is not set: it waits for the time")
    assert find_deadline(tmp_path, OVER_MIDNIGHT, at(night)) is None
    # By the right time it is not.
    assert why_not(tmp_path, owned, "2026-11-21 02:00:00", clock_is_set=None) is None


def test_without_a_clock_it_begins_again_after_most_of_a_day(
    tmp_path: Path, owned: Captures
) -> None:
    noon = "2025-01-01 12:00:00"
    ended(tmp_path, noon, uptime=4 * 3600.0)
    why = why_not(tmp_path, owned, noon, clock_is_set=False, uptime=20 * 3600.0)
    assert why == "the clock is not set, and there was a training since the start of the machine"
    assert why_not(tmp_path, owned, noon, clock_is_set=False, uptime=25 * 3600.0) is None


def test_a_training_before_the_last_start_of_the_machine_does_not_count_without_a_clock(
    tmp_path: Path, owned: Captures
) -> None:
    noon = "2025-01-01 12:00:00"
    ended(tmp_path, noon, uptime=4 * 3600.0, boot="another")
    assert why_not(tmp_path, owned, noon, clock_is_set=False, uptime=4 * 3600.0) is None


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-11-22 23:00:00", "2026-11-23 05:00:00"),
        ("2026-11-23 04:59:00", "2026-11-23 05:00:00"),
        ("2026-11-23 12:00:00", None),
    ],
)
def test_it_must_end_by_its_hour(
    monkeypatch: pytest.MonkeyPatch, now: str, then: str | None
) -> None:
    monkeypatch.setattr(machine, "clock_is_set", lambda *_: True)
    assert find_deadline(Path(), OVER_MIDNIGHT, at(now)) == (then and at(then))


def test_a_clock_that_is_not_set_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "clock_is_set", lambda *_: False)
    assert find_deadline(Path(), OVER_MIDNIGHT, at("2026-11-23 04:00:00")) is None


def test_the_same_hour_twice_is_a_whole_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "clock_is_set", lambda *_: True)
    all_day = RetrainSettings(hour=3, until=3)
    assert find_deadline(Path(), all_day, at("2026-11-23 02:00:00")) == at("2026-11-23 03:00:00")


def test_in_the_night_of_summer_time_it_ends_by_the_clock_on_the_wall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import time

    monkeypatch.setattr(machine, "clock_is_set", lambda *_: True)
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        # Of the five hours from 1 to 6 one is left out.
        begun = at("2026-03-29 01:00:00")
        assert find_deadline(Path(), RetrainSettings(hour=1, until=6), begun) == begun + 4 * 3600
    finally:
        monkeypatch.undo()
        time.tzset()

"""A fault is logged when it begins, hourly while it lasts, and when it has ended."""

import logging

import pytest

from appliance.outputs.fault_log import HOUR, SETTLED, FaultLog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def faults(clock: Clock, caplog: pytest.LogCaptureFixture) -> FaultLog:
    caplog.set_level(logging.INFO)
    return FaultLog(logging.getLogger("test"), clock)


def test_a_fault_that_lasts_is_logged_hourly(
    faults: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2 * 360 + 1):
        faults.report("camera", "no camera found")
        clock.now += 10
    assert caplog.messages == [
        "no camera found",
        "no camera found (for 1 hour, 361 times)",
        "no camera found (for 2 hours, 721 times)",
    ]


def test_its_end_is_logged_once_it_has_settled(
    faults: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    faults.report("camera", "it stalled")
    faults.clear("camera", "it works")
    clock.now += SETTLED - 1
    faults.clear("camera", "it works")
    assert caplog.messages == ["it stalled"]
    clock.now += 1
    for _ in range(3):
        faults.clear("camera", "it works")
    assert caplog.messages == ["it stalled", "it works"]


def test_what_never_failed_is_not_logged(
    faults: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    faults.clear("camera", "it works")
    clock.now += HOUR
    faults.clear("camera", "it works")
    assert caplog.messages == []


@pytest.mark.parametrize("works", [0.25, 30.0, 70.0, 600.0])
def test_a_day_of_coming_and_going_takes_few_lines(
    faults: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture, works: float
) -> None:
    while clock.now < 24 * HOUR:
        faults.report("camera", "it stalled")
        clock.now += 10
        until = clock.now + works
        while clock.now < until:
            faults.clear("camera", "it works")
            clock.now += 0.25 if works < 60 else 5
        faults.clear("camera", "it works")
    assert 24 <= len(caplog.messages) <= 24 + 2 * 7


def test_sentences_that_differ_each_time_are_bounded(
    faults: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3 * 360):
        faults.report("camera", f"error number {number}")
        clock.now += 10
    assert len(caplog.messages) <= 3 * 10


def test_a_fault_that_returns_the_next_day_is_new(
    faults: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        faults.report("camera", "it stalled")
        faults.clear("camera", "it works")
        clock.now += SETTLED
        faults.clear("camera", "it works")
        clock.now += 24 * HOUR
    assert caplog.messages == ["it stalled", "it works"] * 2


def test_parts_do_not_hide_one_another(
    faults: FaultLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    faults.report("camera", "it stalled")
    faults.report("History", "the card is full")
    faults.clear("camera", "it works")
    clock.now += SETTLED
    faults.clear("camera", "it works")
    faults.report("History", "the card is full")
    assert caplog.messages == ["it stalled", "the card is full", "it works"]


def test_a_defect_has_its_traceback_once(
    faults: FaultLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        try:
            raise ZeroDivisionError("a defect")
        except ZeroDivisionError as error:
            faults.report("reader", "a frame could not be read", error)
    assert caplog.text.count("Traceback") == 1

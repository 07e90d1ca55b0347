"""The progress of a night and the records of those before it survive power cuts and damage."""

import json
import os
import threading
from pathlib import Path

import pytest

from appliance.errors import StateError
from appliance.training.records import (
    KEPT_NIGHTS,
    Progress,
    Rate,
    append_night,
    count_written_bytes,
    load_nights,
    load_progress,
    progress_path,
)
from tests.owner import Clock


def test_the_newest_night_is_the_first(tmp_path: Path) -> None:
    for at in (3.0, 1.0, 2.0):
        append_night(tmp_path, {"at": at})
    assert [each["at"] for each in load_nights(tmp_path)] == [2.0, 1.0, 3.0]
    assert [each["at"] for each in load_nights(tmp_path, most=1)] == [2.0]
    assert load_nights(tmp_path / "none") == []


def test_half_a_line_that_a_power_cut_left_spoils_no_other(tmp_path: Path) -> None:
    append_night(tmp_path, {"at": 1.0})
    with open(tmp_path / "nights.jsonl", "ab") as file:
        file.write(b'{"at": 2.0, "outc')
    assert [each["at"] for each in load_nights(tmp_path)] == [1.0]
    append_night(tmp_path, {"at": 3.0})
    assert [each["at"] for each in load_nights(tmp_path)] == [3.0, 1.0]


def test_the_records_of_long_ago_go(tmp_path: Path) -> None:
    for at in range(5 * KEPT_NIGHTS):
        append_night(tmp_path, {"at": float(at)})
        lines = (tmp_path / "nights.jsonl").read_bytes().count(b"\n")
        assert min(at + 1, KEPT_NIGHTS) <= lines < 2 * KEPT_NIGHTS
    assert load_nights(tmp_path, most=1) == [{"at": 5.0 * KEPT_NIGHTS - 1}]
    assert len(load_nights(tmp_path, most=KEPT_NIGHTS)) == KEPT_NIGHTS


@pytest.mark.parametrize("line", [b"\xff\xfe\x00", b"[]", b"null", b'{"at": "x"}', b"[" * 99999])
def test_a_line_that_is_no_night_is_passed_over(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "nights.jsonl").write_bytes(line + b"\n")
    append_night(tmp_path, {"at": 1.0})
    assert [each["at"] for each in load_nights(tmp_path)] == [1.0]


def test_a_record_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "nights.jsonl").mkdir()
    with pytest.raises(StateError, match=r"the night's outcome cannot be written .*check the disk"):
        append_night(tmp_path, {"at": 1.0})


# ---- the progress ----


@pytest.mark.slow
def test_the_progress_is_whole_at_any_time(tmp_path: Path) -> None:
    told = Progress(progress_path(tmp_path))
    over, torn = threading.Event(), []

    def look() -> None:
        while not over.is_set():
            try:
                json.loads(progress_path(tmp_path).read_text("utf-8"))
            except ValueError as error:
                torn.append(error)

    told.save()
    looking = threading.Thread(target=look)
    looking.start()
    for number in range(300):
        told.curve.append((number / 300, 1.0))
        told.save()
    over.set()
    looking.join()
    assert torn == []


@pytest.mark.parametrize("content", ["", "[1]", '{"state": "tr', "7"])
def test_a_progress_that_is_damaged_is_none(tmp_path: Path, content: str) -> None:
    progress_path(tmp_path).write_text(content)
    assert load_progress(tmp_path) is None


def test_a_disk_that_refuses_the_progress_ends_nothing(tmp_path: Path) -> None:
    Progress(tmp_path / "none" / "retrain.json").save()


def test_it_tells_how_much_was_written(tmp_path: Path) -> None:
    before = count_written_bytes()
    with open(tmp_path / "large", "wb") as file:
        file.write(bytes(1_000_000))
        file.flush()
        os.fsync(file.fileno())
    # In RAM nothing is written to storage.
    assert count_written_bytes() - before in (0, *range(1_000_000, 10_000_000))


def test_the_rate_is_that_of_the_last_minute_or_so() -> None:
    clock = Clock(0)
    rate = Rate(clock)
    assert rate.per_second() is None
    for pictures in [10] * 600 + [100] * 600:
        clock.now += 1
        rate.count(pictures)
    assert rate.per_second() == pytest.approx(100, rel=0.05)

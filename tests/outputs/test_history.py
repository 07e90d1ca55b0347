import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import StateError
from appliance.outputs.history import BATCH_ROWS, BATCH_SECONDS, History
from appliance.reading import Reading
from appliance.storage import database
from appliance.storage.database import request_commit
from tests.faults.test_promotion import no_file_larger_than
from tests.owner import Clock


def shown(digit: int | None, at: float = 0.0) -> Reading:
    reason = "blank" if digit is None else None
    return Reading(at=at, digit=digit, settled=digit, reason=reason, confidence=0.9)


def test_only_changes_are_written(history: History) -> None:
    for at, digit in enumerate([None, 7, 7, 7, None, None, 3]):
        history.show(shown(digit, float(at)))
    entries = history.list_newest(10)
    assert [(entry.at, entry.digit) for entry in entries] == [(6, 3), (4, None), (1, 7)]
    assert entries[1].reason == "blank"


def test_an_entry_keeps_the_glyph(history: History, a_seven: Reading) -> None:
    history.show(a_seven._replace(settled=7))
    (entry,) = history.list_newest(1)
    assert a_seven.glyph is not None
    assert entry.glyph is not None
    np.testing.assert_allclose(entry.glyph / 255, a_seven.glyph, atol=1 / 255)
    assert (entry.digit, entry.at) == (7, 1000.0)
    assert entry.confidence == pytest.approx(a_seven.confidence)


def test_a_fault_is_the_reason_that_is_kept(history: History) -> None:
    history.show(shown(5))
    history.show(Reading(at=1, fault="no camera found"))
    assert history.list_newest(1)[0].reason == "no camera found"


def test_it_never_grows_beyond_its_limit(tmp_path: Path) -> None:
    history = History(tmp_path / "h.db", limit=10)
    for at in range(200):
        history.show(shown(at % 10, float(at)))
    entries = history.list_newest(1000)
    assert [entry.at for entry in entries] == list(range(199, 189, -1))
    history.close()


def test_it_is_there_after_a_restart(tmp_path: Path) -> None:
    first = History(tmp_path / "h.db", limit=10)
    first.show(shown(4))
    first.close()
    second = History(tmp_path / "h.db", limit=10)
    assert second.list_newest(1)[0].digit == 4
    second.close()


def on_the_card(file: Path) -> int:
    """Return how many rows whoever opens the file anew finds, as after a power cut."""
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("SELECT count(*) FROM readings").fetchone()[0])


def test_rows_go_to_the_card_together_and_are_told_of_at_once(
    history: History, tmp_path: Path
) -> None:
    for at in range(BATCH_ROWS - 1):
        history.show(shown(at % 10, float(at)))
    assert on_the_card(tmp_path / "history.db") == 0
    assert len(history.list_newest(100)) == sum(history.count_per_hour(0, 1)) == BATCH_ROWS - 1
    history.show(shown(None))
    assert on_the_card(tmp_path / "history.db") == BATCH_ROWS


def test_a_row_alone_is_on_the_card_after_a_while_although_nothing_changes(tmp_path: Path) -> None:
    clock = Clock(0.0)
    history = History(tmp_path / "h.db", limit=100, clock=clock)
    for seconds, rows in ((0, 0), (BATCH_SECONDS - 1, 0), (1, 1), (BATCH_SECONDS, 1)):
        clock.now += seconds
        history.show(shown(4))
        assert on_the_card(tmp_path / "h.db") == rows
    history.show(shown(5))
    assert on_the_card(tmp_path / "h.db") == 1
    history.close()
    assert on_the_card(tmp_path / "h.db") == 2


def test_rows_that_wait_are_committed_when_another_process_asks(
    history: History, tmp_path: Path
) -> None:
    file = tmp_path / "history.db"
    assert request_commit(file)
    history.show(shown(4))
    # Nobody asked, and nobody heard.
    history.look()
    assert not request_commit(file, patience=0)
    assert on_the_card(file) == 0
    assert not list(tmp_path.glob("*.commit"))
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(request_commit, file)
        while not asked.done():
            history.look()
        assert asked.result()
    assert on_the_card(file) == 1
    assert not list(tmp_path.glob("*.commit"))


def test_what_is_no_request_commits_nothing(history: History, tmp_path: Path) -> None:
    history.show(shown(4))
    (tmp_path / "history.db.commit").mkdir()
    history.look()
    assert on_the_card(tmp_path / "history.db") == 0
    assert not request_commit(tmp_path / "history.db", patience=0)


def test_a_full_disk_when_asked_to_commit_loses_what_waits_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    history = History(tmp_path / "h.db", limit=100)
    history.show(shown(4))
    (tmp_path / "h.db.commit").touch()
    with no_file_larger_than(1), pytest.raises(sqlite3.Error):
        history.look()
    history.show(shown(5, 99.0))
    history.close()
    with closing(History(tmp_path / "h.db", limit=100)) as again:
        assert [entry.at for entry in again.list_newest(100)] == [99.0]


def test_what_a_full_disk_refuses_is_lost_and_what_is_shown_then_is_kept_later(
    tmp_path: Path,
) -> None:
    history = History(tmp_path / "h.db", limit=100)
    for at in range(BATCH_ROWS - 1):
        history.show(shown(at % 2, float(at)))
    with no_file_larger_than(1), pytest.raises(sqlite3.Error):
        history.show(shown(5))
    history.show(shown(5, 99.0))
    history.close()
    with closing(History(tmp_path / "h.db", limit=100)) as again:
        assert [entry.at for entry in again.list_newest(100)] == [99.0]


def test_it_is_in_wal_mode(history: History, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "history.db")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_a_file_with_other_tables_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE readings (a)")
    other.close()
    history = History(path, limit=10)
    history.show(shown(2))
    assert history.list_newest(5)[0].digit == 2
    history.close()
    assert len(list(tmp_path.glob("h.db.damaged-*"))) == 1


def test_a_reading_that_another_programs_lock_kept_out_is_written_later(
    history: History, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "history.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        history.show(shown(3))
    other.rollback()
    other.close()
    history.show(shown(3))
    assert history.list_newest(1)[0].digit == 3


@pytest.mark.parametrize(
    "damage", [b"this is no database at all, it is a text" * 100, b"\0" * 4096]
)
def test_a_damaged_file_is_put_aside_and_begun_anew(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "h.db"
    path.write_bytes(damage)
    history = History(path, limit=10)
    history.show(shown(2))
    assert history.list_newest(5)[0].digit == 2
    history.close()
    (aside,) = tmp_path.glob("h.db.damaged-*")
    assert aside.read_bytes() == damage
    assert "was damaged" in caplog.text


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"the history cannot be used .*--state DIR"):
        History(tmp_path / "nowhere" / "h.db", limit=10)


def test_a_full_disk_leaves_the_history_to_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "h.db"
    first = History(file, limit=10)
    first.show(shown(4))
    first.close()

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database, "_open_and_check", full)
    for path, kept in ((file, [4]), (tmp_path / "new.db", [])):
        history = History(path, limit=10)
        assert [entry.digit for entry in history.list_newest(10)] == kept
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            history.show(shown(5))
        history.close()
        assert "disk is full" in str(history.notice)
    assert "until then nothing is added to the history" in caplog.text
    assert not (tmp_path / "new.db").exists()

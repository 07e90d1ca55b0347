"""A bit that is flipped on the card costs the row that it is in, and is said."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.backup.contents import DATABASES
from appliance.camera.folder import FolderCamera
from appliance.captures.store import Captures
from appliance.doctor import checks as doctor
from appliance.errors import NoCaptureError
from appliance.outputs.history import History
from appliance.reading import Reading
from appliance.settings.schema import Settings, WebSettings
from appliance.storage.database import examine
from appliance.storage.layout import StateDirectory
from appliance.storage.rows import decode_text
from tests.backups import backup, restore
from tests.captured import add_capture
from tests.conftest import SAMPLES
from tests.proofs import flipped_bits


@pytest.mark.parametrize("name", flipped_bits.LOOKS)
def test_a_flipped_bit_anywhere_loses_nothing_without_a_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flipped_bits, "ROWS", 60)
    came, failed = flipped_bits.run(name, 25, 0, 7, tmp_path)
    assert failed == []
    assert came["left out and said"] > 10


def changed(file: Path, *statements: str) -> None:
    """Write into a database what its own checks would not let in."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        for each in statements:
            database.execute(each)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir()
    with closing(Captures(StateDirectory(state).captures)) as captures:
        for each in range(10):
            add_capture(captures, label=each, at=1e9 + each)
    with closing(History(StateDirectory(state).history, limit=100)) as history:
        for each in range(10):
            history.show(Reading(at=1e9 + each, settled=each if each % 2 else None, reason="é"))
            history.show(Reading(at=1e9 + each, settled=5))
    return state


READINGS = 17
# What is done to which file, and how many rows are lost by it: None where nothing is to be said.
CASES: dict[str, tuple[str, str, int | None]] = {
    "a reason": ("captures.db", "UPDATE captures SET reason = CAST(x'ff' AS TEXT) WHERE id = 4", 1),
    "a network": ("captures.db", "UPDATE captures SET network = 'x' WHERE id = 4", 1),
    "a label": ("captures.db", "UPDATE captures SET label = 9 WHERE id = 4", 1),
    "when": ("captures.db", "UPDATE captures SET at = 9e999 WHERE id = 4", 1),
    "deleted": ("captures.db", "UPDATE captures SET deleted = 5 WHERE id = 4", 1),
    "a glyph": ("captures.db", "UPDATE captures SET glyph = zeroblob(784) WHERE id = 4", 1),
    "the largest number": ("captures.db", "UPDATE captures SET id = 9223372036854775807 "
                           "WHERE id = 4", 1),
    "a number below zero": ("captures.db", "UPDATE captures SET id = -4 WHERE id = 4", 1),
    "the sequence": ("captures.db", "UPDATE sqlite_sequence SET seq = 9223372036854775807", None),
    "no changes": ("captures.db", "DELETE FROM changes", None),
    "changes at their end": (
        "captures.db", "UPDATE changes SET number = 9223372036854775807", None),
    "a reason of the history": ("history.db", "UPDATE readings SET reason = CAST(x'ff' AS TEXT) "
                                "WHERE id = 1", 0),
    "when in the history": ("history.db", "UPDATE readings SET at = 9e999 WHERE id = 2", 1),
    "a digit of the history": ("history.db", "UPDATE readings SET digit = 3 WHERE id = 2", 1),
    "the largest number of the history": (
        "history.db", "UPDATE readings SET id = 9223372036854775807 WHERE id = 2", 1),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_a_damaged_row_is_left_out_or_mended_and_the_rest_goes_on(
    state: Path, tmp_path: Path, what: str
) -> None:
    name, statement, lost = CASES[what]
    left = {"captures.db": 10, "history.db": READINGS}
    left[name] -= lost or 0
    changed(state / name, statement)
    for place in ("state", "restored"):
        folder = tmp_path / place
        if place == "state":
            made = backup(tmp_path / "b.zip", state, None)
        else:
            assert bool(made.left_out) == (lost is not None)
            assert not restore(tmp_path / "b.zip", folder, None).left_out
            if made.left_out:
                assert name in made.left_out[0]
        said = []
        with closing(Captures(StateDirectory(folder).captures)) as captures:
            assert len(list(captures.iter_captures())) == left["captures.db"]
            assert sum(captures.count_labels().values()) == left["captures.db"]
            change = captures.count_changes()
            new = add_capture(captures, label=3)
            assert captures.get(new.id).label == 3
            assert 10 <= new.id <= 12
            assert captures.count_changes() != change
            said += [captures.notice]
        with closing(History(StateDirectory(folder).history, limit=100)) as history:
            entries = history.list_newest(100)
            assert len(entries) == left["history.db"]
            history.show(Reading(at=5.0, settled=8))
            assert len(history.list_newest(100)) == len(entries) + 1
            said += [history.notice]
        assert any(said) == (place == "state" and lost is not None), said


@pytest.mark.parametrize("name", DATABASES)
def test_the_doctor_and_a_backup_find_a_damaged_row_and_say_what_to_do(
    state: Path, tmp_path: Path, name: str, port: int
) -> None:
    def check_databases() -> str:
        settings = Settings(web=WebSettings(port=port))
        findings = doctor.examine(
            settings, state, open_camera=lambda _: FolderCamera(SAMPLES, seconds=4)
        )
        return next(each.sentence for each in findings if each.what == "captures and history")

    assert examine(state / name, DATABASES[name])[1] is None
    table, column = DATABASES[name].table, "confidence"
    changed(state / name, f"UPDATE {table} SET {column} = 0.123 WHERE id = 3")
    assert examine(state / name, DATABASES[name])[1] == "1 row left out"
    damage = rf"{name} is damaged: 1 row left out; .*backup', which leav"
    assert re.search(damage, check_databases())
    made = backup(tmp_path / "b.zip", state, None)
    assert made.left_out == [f"{name} was damaged: 1 row left out"]
    restore(tmp_path / "b.zip", state, None)
    assert "are whole" in check_databases()


def test_a_damaged_capture_is_said_once_and_stays_in_the_file(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = StateDirectory(state).captures
    changed(file, "UPDATE captures SET label = 9 WHERE id IN (4, 5)")
    with closing(Captures(file)) as captures:
        for _ in range(3):
            assert len(captures.list_newest()) == 8
        assert "2 rows left out" in str(captures.notice)
        with pytest.raises(NoCaptureError):
            captures.relabel(4, 3)
        assert 4 not in {each.id for each in captures.list_newest(9)}
    assert len([each for each in caplog.messages if "is damaged" in each]) == 1
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM captures").fetchone() == (10,)


def test_where_a_page_cannot_be_read_what_is_beyond_it_is_served(tmp_path: Path) -> None:
    file = tmp_path / "c.db"
    with closing(Captures(file)) as captures:
        for each in range(60):
            add_capture(captures, label=each % 10, picture=bytes([each]) * 3000)
        captures._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with open(file, "r+b") as raw:
            raw.seek(file.stat().st_size // 8192 * 4096)
            raw.write(b"\xee" * 8192)
        # The pages are still in the memory of the connection before.
        captures._database.close()
        captures._database = sqlite3.connect(file)
        captures._database.text_factory = decode_text
        found = [each.id for each in captures.iter_captures()]
        assert 50 <= len(found) < 60
        assert [each.id for each in captures.list_newest(limit=99)] == found[::-1]
        assert "a part that cannot be read" in str(captures.notice)
    with closing(Captures(file)) as captures:
        assert {each.id for each in captures.iter_captures()} >= set(found)
        assert "rows were saved from it" in str(captures.notice)


def test_a_damaged_history_is_rescued_too(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    with closing(History(file, limit=1000)) as history:
        for each in range(900):
            history.show(Reading(at=1e9 + each, settled=each % 10))
    raw = bytearray(file.read_bytes())
    raw[20480:20580] = b"\xee" * 100
    file.write_bytes(raw)
    with closing(History(file, limit=1000)) as history:
        assert 300 < len(history.list_newest(1000)) < 900
        assert "rows were saved from it" in str(history.notice)


def test_captures_of_before_the_checksum_was_of_all_columns_are_served(state: Path) -> None:
    from appliance.captures.rescue import _checksum_pictures

    with closing(sqlite3.connect(StateDirectory(state).captures)) as database, database:
        for number, glyph, picture in database.execute("SELECT id, glyph, picture FROM captures"):
            crc = _checksum_pictures(glyph, picture)
            database.execute("UPDATE captures SET crc = ? WHERE id = ?", (crc, number))
        database.execute("UPDATE captures SET reason = CAST(x'c3ff' AS TEXT) WHERE id = 4")
    with closing(Captures(StateDirectory(state).captures)) as captures:
        assert len(captures.list_newest()) == 10
        assert captures.get(4).reason == "\ufffd\ufffd"
        assert "1 row mended" in str(captures.notice)
        assert captures.relabel(5, 1).label == 1


NIGHTS: list[Any] = [
    {"at": 1e308}, {"at": 99999999999999}, {"at": True}, {"at": None}, {"at": 1, "why": 5},
    {"at": 1, "outcomes": {"kept": "x"}}, {"at": 1, "curve": [[1]]}, {"at": 1, "epochs": [{}]},
    {"at": 1, "epochs": [{"number": 1, "of": 0}]}, {"at": 1, "change": "x"}, [], 7, "x",
]  # fmt: skip


@pytest.mark.parametrize("record", NIGHTS)
def test_a_night_that_no_view_could_show_is_left_out(record: Any) -> None:
    import json

    from appliance.training.records import parse_night

    assert parse_night(json.dumps(record)) is None
    assert parse_night(json.dumps({"at": 1e9, "outcome": "kept", "x": record})) is not None

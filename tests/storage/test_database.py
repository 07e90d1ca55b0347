"""SQLite files of other versions: an older one is brought up to date, a newer one refused."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.errors import StateError
from appliance.storage import database
from appliance.storage.database import (
    DamagedError,
    check_database,
    count_bytes,
    examine,
    list_aside,
    open_database,
    rescue,
    to_state_error,
)
from appliance.storage.layout import StateDirectory, carry_over
from appliance.storage.rows import DatabaseSchema

OLD = "CREATE TABLE IF NOT EXISTS things (id INTEGER PRIMARY KEY) STRICT;"
NEW = """
CREATE TABLE IF NOT EXISTS things (
    id INTEGER PRIMARY KEY, -- as ever
    name TEXT DEFAULT 'old'
) STRICT;
"""
UPGRADE = "ALTER TABLE things ADD COLUMN name TEXT DEFAULT 'old'"


@pytest.fixture
def old(tmp_path: Path) -> DatabaseSchema:
    (tmp_path / "old.sql").write_text(OLD)
    return DatabaseSchema("the things", tmp_path / "old.sql", "things", "id", "FULL", 1.0)


@pytest.fixture
def new(tmp_path: Path, old: DatabaseSchema) -> DatabaseSchema:
    (tmp_path / "new.sql").write_text(NEW)
    return old._replace(
        sql_file=tmp_path / "new.sql",
        columns="id, name",
        upgrade=UPGRADE,
    )


@pytest.fixture
def file(tmp_path: Path, old: DatabaseSchema) -> Path:
    """A database of the old form with one row."""
    with closing(open_database(tmp_path / "things.db", old)) as database, database:
        database.execute("INSERT INTO things VALUES (7)")
    return tmp_path / "things.db"


def rows(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT * FROM things").fetchall()


def test_an_older_file_is_brought_up_to_date(file: Path, new: DatabaseSchema) -> None:
    for _ in range(2):
        with closing(open_database(file, new)) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert rows(file) == [(7, "old")]


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(file: Path, new: DatabaseSchema) -> None:
    with pytest.raises(DamagedError, match="nothing"):
        open_database(file, new._replace(upgrade="UPDATE nothing SET x = 1"))
    assert rows(file) == [(7,)]


def test_a_new_file_is_of_the_newest_version_and_leaves_nothing_beside(
    tmp_path: Path, new: DatabaseSchema
) -> None:
    open_database(tmp_path / "fresh.db", new).close()
    open_database(tmp_path / "fresh.db", new).close()
    assert {path.name for path in tmp_path.glob("fresh.db*")} == {"fresh.db"}


def test_a_newer_file_is_refused_and_not_put_aside(
    file: Path, old: DatabaseSchema, new: DatabaseSchema
) -> None:
    open_database(file, new).close()
    before = file.read_bytes()
    with pytest.raises(StateError, match="are of version 1, and this appliance knows 0: update"):
        open_database(file, old)
    assert file.read_bytes() == before


def test_a_file_to_be_trusted_has_the_forms_own_tables(
    file: Path, new: DatabaseSchema, old: DatabaseSchema
) -> None:
    check_database(file, old)
    check_database(file, new)
    check_database(file, new)
    for change in (
        "CREATE TABLE more (x)",
        "CREATE TRIGGER t AFTER INSERT ON things BEGIN DELETE FROM things; END",
        "CREATE VIEW v AS SELECT 1",
    ):
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(change)
        with pytest.raises(DamagedError, match="other tables"):
            check_database(file, new)
        with closing(sqlite3.connect(file)) as database, database:
            kind, name = change.split()[1:3]
            database.execute(f"DROP {kind} {name}")
    check_database(file, new)


def test_a_view_that_goes_on_for_ever_is_not_read(tmp_path: Path, new: DatabaseSchema) -> None:
    with closing(sqlite3.connect(tmp_path / "trap.db")) as database, database:
        database.execute(
            "CREATE VIEW things AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n) "
            "SELECT id, 'x' AS name FROM n WHERE id > 1"
        )
    with pytest.raises(DamagedError, match="other tables"):
        check_database(tmp_path / "trap.db", new)


def test_a_full_disk_is_called_by_its_name(
    file: Path, old: DatabaseSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    assert "disk I/O error): check the disk" in str(to_state_error(file, old, error))
    monkeypatch.setattr("os.statvfs", lambda folder: SimpleNamespace(f_bavail=0))
    assert str(to_state_error(file, old, error)).endswith("the disk is full: make room")


def test_looking_at_a_database_that_is_open_drops_no_lock_on_it(
    file: Path, old: DatabaseSchema
) -> None:
    script = (
        "import sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute('SELECT count(*) FROM things').fetchone()\n"
        "database.close()\n"
    )
    with closing(open_database(file, old)) as database, database:
        database.execute("INSERT INTO things VALUES (8)")
        database.commit()
        assert examine(file, old) == (2, None)
        # The other process is not the last one to close it.
        subprocess.run([sys.executable, "-c", script, str(file)], check=True)
        database.execute("INSERT INTO things VALUES (9)")
        database.commit()
        assert examine(file, old) == (3, None)


# ---- what is put aside ----


def rescue_again(file: Path, schema: DatabaseSchema) -> None:
    rescue(file, schema, DamagedError("a page"))[0].close()


def aside(file: Path) -> list[str]:
    return sorted(each.name for each in file.parent.glob("*.damaged-*"))


def test_of_damaged_files_the_newest_three_are_kept(
    file: Path, old: DatabaseSchema, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The clock of a Pi without a network: it stands still over starts, and goes back.
    (tmp_path / "others.db.damaged-1").touch()
    (tmp_path / "things.db.damaged-1.txt").touch()
    kept = []
    for name, seconds in zip("abcde", (100, 100, 200, 50, 60), strict=True):
        monkeypatch.setattr(database, "time", SimpleNamespace(time=lambda at=seconds: at))
        file.write_text(f"damage {name}")
        rescue_again(file, old)
        kept.append([each.read_text() for each in list_aside(file)])
    assert kept[-1] == ["damage e", "damage d", "damage c"]
    assert kept[:2] == [["damage a"], ["damage b", "damage a"]]
    assert aside(file) == [
        "others.db.damaged-1", "things.db.damaged-1.txt", "things.db.damaged-200",
        "things.db.damaged-201", "things.db.damaged-202",
    ]  # fmt: skip


def test_together_they_have_a_limit_and_the_newest_stays_whatever_its_size(
    file: Path, old: DatabaseSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MOST_ASIDE_BYTES", 1000)
    for size, sizes in ((400, [400]), (500, [500, 400]), (5000, [5000]), (300, [300])):
        file.write_bytes(b"x" * size)
        rescue_again(file, old)
        assert [each.stat().st_size for each in list_aside(file)] == sizes


def test_logs_go_with_the_damaged_file_that_they_belong_to(
    file: Path, old: DatabaseSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MOST_ASIDE", 1)
    file.with_name("things.db.damaged-7").touch()
    file.with_name("things.db.damaged-7-wal").touch()
    assert count_bytes(file.with_name("things.db.damaged-7")) == 0
    rescue_again(file, old)
    assert "damaged-7" not in " ".join(aside(file))
    assert rows(file) == [(7,)]


def test_on_a_full_card_only_the_newest_stays(
    file: Path, old: DatabaseSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescue_again(file, old)
    rescue_again(file, old)
    assert len(list_aside(file)) == 2
    monkeypatch.setattr(database.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    rescue_again(file, old)
    assert len(list_aside(file)) == 1


def test_what_an_older_layout_had_put_aside_is_carried_over(file: Path) -> None:
    file.with_name("captures.db.damaged-5").touch()
    file.with_name("captures.db.damaged-5-wal").touch()
    carry_over(file.parent)
    folder = StateDirectory(file.parent).folder
    assert list_aside(folder / "captures.db") == [folder / "captures.db.damaged-5"]
    assert not list(file.parent.glob("*.damaged-*"))

"""SQLite files that survive a power cut: opened in WAL mode, checked, and rescued if damaged."""

import logging
import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.errors import ClosedError, StateError
from appliance.storage.rows import TRANSIENT, DatabaseSchema, Rows, decode_text, is_damage
from model.files import NotRegularError, check_regular, copy_regular, is_regular, open_regular

log = logging.getLogger(__name__)

_TRIES = 20_000
"""Ranges of ids that are queried in a damaged file before it is given up (`rows.Rows`)."""
MOST_ASIDE = 3
"""Damaged files of a database that are kept beside it, the newest ones…"""
MOST_ASIDE_BYTES = 64_000_000
"""…and how large they may be together; the newest one stays whatever its size."""
LONGEST_COMMIT = 15.0
"""Seconds after which the appliance has heard a request to commit: a frame may take ten."""
_BAD_HEADER = "its header is of another format"


class DamagedError(sqlite3.DatabaseError):
    """The file is no database of its schema, or is damaged."""


class NotWritableError(StateError):
    """The file cannot be written: the card is full or read-only, or its owner or version differ."""


def connect(file: Path, query: str = "", **options: Any) -> sqlite3.Connection:
    """Return a connection to a file; `query` is that of SQLite's URI, `options` are `connect`'s.

    SQLite opens the file and its logs by name, and would follow a link or wait for a pipe:
    raises NotRegularError for one.
    """
    for each in (*_with_logs(file), file.with_name(f"{file.name}-journal")):
        check_regular(each)
    address = f"{file.absolute().as_uri()}{f'?{query}' * bool(query)}"
    database: sqlite3.Connection = sqlite3.connect(address, uri=True, **options)
    return database


def open_database(file: Path, schema: DatabaseSchema) -> sqlite3.Connection:
    """Return a connection that threads may share, under their own lock.

    An older file is upgraded. Raises DamagedError for a damaged file, NotWritableError for a newer
    one and where the file is not at fault, StateError for one that is locked.
    """
    try:
        return _open_and_check(file, schema)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if str(error).startswith("database is locked"):
            raise to_state_error(file, schema, error) from None
        if str(error).startswith((*TRANSIENT, "disk I/O")):
            raise NotWritableError(str(to_state_error(file, schema, error))) from None
        raise DamagedError(_on_one_line(error)) from None
    except NotRegularError as error:
        raise NotWritableError(str(to_state_error(file, schema, error))) from None


def open_read_only(
    file: Path, schema: DatabaseSchema, error: StateError, *, stand_in: bool
) -> tuple[sqlite3.Connection, str]:
    """Return a connection on which SQLite refuses every change, and a sentence that says why.

    For a file that cannot be written. Where it cannot be read either, `stand_in` gives an empty
    database in its place: a box without a screen that did not start would tell its owner less than
    one that reads. Otherwise raises `error`.
    """
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        # The second needs no room for a lock and a log, and does not see what is in the log alone.
        with suppress(sqlite3.DatabaseError, NotRegularError):
            database = connect(file, mode, check_same_thread=False)
            try:
                database.execute(f"SELECT {schema.columns} FROM {schema.table} LIMIT 1").fetchall()
            except BaseException:
                database.close()
                raise
            break
    else:
        if not stand_in or not file.parent.is_dir():
            raise error
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.executescript(schema.sql)
        database.execute("PRAGMA query_only = ON")
    database.text_factory = decode_text
    sentence = f"{error}; until then nothing is added to {schema.what}"
    log.warning("%s", sentence)
    return database, sentence


def open_to_examine(file: Path) -> sqlite3.Connection:
    """Return a read-only connection to a file, which may be damaged: with its log, else without."""
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        database = connect(file, mode, timeout=10)
        database.text_factory = decode_text
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            if mode == "mode=ro" and not is_damage(error):
                database.close()
                continue
        return database
    raise sqlite3.OperationalError("unable to open database file")


def rescue(file: Path, schema: DatabaseSchema, damage: Exception) -> tuple[sqlite3.Connection, str]:
    """Replace a damaged file by a new one with its sound rows; return that, and a sentence.

    The damaged file is kept beside it, and of earlier ones those that `MOST_ASIDE` and
    `MOST_ASIDE_BYTES` let stay. The new one is on the card before the damaged one is renamed: after
    a power cut in between the next call starts over. Raises StateError.
    """
    beside = file.with_name(f"{file.name}.new")
    try:
        # A clock that was set back makes none of them the newest, and overwrites none.
        newest = max(map(_aside_number, list_aside(file)), default=0)
        aside = file.with_name(f"{file.name}.damaged-{max(int(time.time()), newest + 1)}")
        _remove_aside(file)
        saved = _rebuild(file, schema, beside)
        # A log that stays would be taken for the new file's own.
        for log_file, log_aside in zip(_with_logs(file)[1:], _with_logs(aside)[1:], strict=True):
            if log_file.exists():
                log_file.rename(log_aside)
        try:
            os.link(file, aside)
        except OSError:
            # The file system has no hard links: for an instant there is no file.
            file.rename(aside)
        os.replace(beside, file)
        done = f"{saved} rows were saved from it"
        sentence = f"{file} was damaged ({damage}): put aside as {aside.name}, {done}"
        log.warning("%s", sentence)
        return _open_and_check(file, schema), sentence
    except (OSError, sqlite3.DatabaseError) as error:
        raise to_state_error(file, schema, error) from None


def list_aside(file: Path) -> list[Path]:
    """Return the damaged files that were put aside of a database, the newest first."""
    names = re.compile(rf"{re.escape(file.name)}\.damaged-\d{{1,20}}", re.ASCII)
    found = (each for each in file.parent.iterdir() if names.fullmatch(each.name))
    return sorted((each for each in found if is_regular(each)), key=_aside_number, reverse=True)


def count_bytes(file: Path) -> int:
    """Return how large a database is together with its logs."""
    return sum(each.stat().st_size for each in _with_logs(file) if is_regular(each))


def _aside_number(aside: Path) -> int:
    return int(aside.name.rpartition("-")[2])


def _remove_aside(file: Path) -> None:
    """Make room for a damaged file among those put aside, and for the new one on the card."""
    size = count_bytes(file)
    left = MOST_ASIDE_BYTES - size
    is_full = shutil.disk_usage(file.parent).free < 2 * size
    for number, each in enumerate(list_aside(file), 1):
        left -= count_bytes(each)
        if is_full or left < 0 or number >= MOST_ASIDE:
            log.info("%s is removed: a newer damaged file is kept", each)
            _remove(each)


def request_commit(file: Path, patience: float = LONGEST_COMMIT) -> bool:
    """Have the appliance commit the rows that wait; return whether none waits any more.

    Rows that wait hold SQLite's lock for writers: who gets it knows that there are none. Where it
    is held, a file beside the database asks the appliance, which looks for it before each frame.
    `patience` is in seconds. Raises OSError, sqlite3.Error.
    """
    if not _has_waiting_rows(file, 0.0):
        return True
    request = commit_request(file)
    # What is there already is taken for a request, too.
    with suppress(FileExistsError):
        os.close(open_regular(request, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    try:
        return not _has_waiting_rows(file, patience)
    finally:
        with suppress(OSError):
            request.unlink()


def commit_request(file: Path) -> Path:
    """Return the file by which whoever writes a database is asked to commit."""
    return file.with_name(f"{file.name}.commit")


def examine(file: Path, schema: DatabaseSchema) -> tuple[int, str | None]:
    """Return how many rows of a file are sound, and its damage in a few words, None for none.

    All of the file is read, nothing is changed. Raises StateError where it is not at fault.
    """
    rows, sound = Rows(schema, None, tries=_TRIES), 0
    try:
        with closing(open_to_examine(file)) as database:
            sound = sum(1 for _ in rows.read(database))
            try:
                damage = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                damage = str(error)
            if damage == "ok" and not _is_header_sound(file):
                damage = _BAD_HEADER
    except sqlite3.DatabaseError as error:
        raise to_state_error(file, schema, error) from None
    if rows.damaged:
        return sound, rows.summary
    return sound, None if damage == "ok" else _on_one_line(damage)


def clean(file: Path, schema: DatabaseSchema, damage: str | None = None) -> str | None:
    """Remove what is damaged from a file that nobody else uses; return what that was, or None.

    `damage` is what is known already. Raises DamagedError where no page can be read, StateError,
    OSError.
    """
    damage = examine(file, schema)[1] or damage
    if damage is not None:
        beside = file.with_name(f"{file.name}.new")
        try:
            saved = _rebuild(file, schema, beside)
            if not saved and _is_unreadable(file, schema):
                raise DamagedError(damage)
            _remove(file)
            os.replace(beside, file)
        finally:
            _remove(beside)
    return damage


def check_database(file: Path, schema: DatabaseSchema) -> None:
    """Raise DamagedError for a file that is no database of the schema, StateError for a newer one.

    Nothing in it is trusted: a file with anything but the schema's own tables is not read further.
    An older one is upgraded.
    """
    try:
        # A view with a table's name could go on for ever: look for one before any row is read.
        with closing(connect(file)) as database:
            kinds = {kind for kind, _, _ in _read_definitions(database)}
            if not kinds or kinds - {"table", "index"}:
                raise DamagedError("it has other tables")
            if _read_version(database) == schema.version:
                _check_definitions(database, schema)
        with closing(open_database(file, schema)) as database:
            _check_definitions(database, schema)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise DamagedError(_on_one_line(error)) from None


@contextmanager
def lend(database: sqlite3.Connection, lock: threading.Lock) -> Iterator[sqlite3.Connection]:
    """Lend a connection that threads share to one of them; raises ClosedError once it is closed."""
    with lock:
        try:
            yield database
        except sqlite3.ProgrammingError as error:
            if "closed" not in str(error):
                raise
            raise ClosedError("the appliance ends: ask again when it is back") from None


def copy_database(database: sqlite3.Connection, to: Path) -> None:
    """Copy a database, which may be written meanwhile, as it is at one instant into a new file."""
    to.unlink(missing_ok=True)
    to.touch(mode=0o600)
    with closing(connect(to)) as target:
        database.backup(target)


def to_state_error(file: Path, schema: DatabaseSchema, error: Exception) -> StateError:
    """Return the error for a file that SQLite cannot use, with what to do about it."""
    with suppress(OSError):
        # SQLite calls a full disk an I/O error where it has no room for a log.
        if os.statvfs(file.parent).f_bavail == 0:
            return StateError(f"{file}: {schema.what} cannot be used, the disk is full: make room")
    return StateError(
        f"{file}: {schema.what} cannot be used ({error}): check the disk and who owns "
        "the state directory, or choose another with --state DIR"
    )


def _open_and_check(file: Path, schema: DatabaseSchema) -> sqlite3.Connection:
    if _is_empty(file):
        # SQLite would take it for a new one, and what was in it would be lost without a word.
        raise sqlite3.DatabaseError("it is empty")
    database = connect(file, check_same_thread=False, timeout=schema.patience)
    try:
        if not _is_header_sound(file):
            raise sqlite3.DatabaseError(_BAD_HEADER)
        with closing(database.execute("PRAGMA journal_mode = WAL")) as mode:
            mode.fetchone()
        database.execute(f"PRAGMA synchronous = {schema.synchronous}")
        _upgrade(database, file, schema)
        database.executescript(schema.sql)
        database.execute(f"SELECT {schema.columns} FROM {schema.table} LIMIT 1")
        damage = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        database.text_factory = decode_text
    except BaseException:
        database.close()
        raise
    return database


def _has_waiting_rows(file: Path, patience: float) -> bool:
    """Tell whether rows still wait to be committed after so many seconds."""
    with closing(connect(file, "mode=rw", timeout=patience, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not str(error).startswith("database is locked"):
                raise
            return True
        database.execute("ROLLBACK")
    return False


def _is_empty(file: Path) -> bool:
    write_ahead_log = _with_logs(file)[1]
    return (
        file.exists()
        and not file.stat().st_size
        and not (write_ahead_log.exists() and write_ahead_log.stat().st_size)
    )


def _is_header_sound(file: Path) -> bool:
    """Tell whether an open database may be written, as its header says: others SQLite only reads.

    The header is read by the descriptor that SQLite holds. Closing one of our own would drop the
    locks that this process has on the file (fcntl(2)); another one would take itself for the last
    to close it, and remove the log that this one goes on writing to.
    """
    with suppress(OSError):
        wanted = file.stat()
        for number in map(int, os.listdir("/proc/self/fd")):
            with suppress(OSError):
                if os.path.samestat(os.fstat(number), wanted):
                    header = os.pread(number, 20, 0)
                    return len(header) < 20 or all(each in (1, 2) for each in header[18:])
    return True


def _with_logs(file: Path) -> list[Path]:
    return [file, *(file.with_name(file.name + rest) for rest in ("-wal", "-shm"))]


def _remove(file: Path) -> None:
    for each in _with_logs(file):
        each.unlink(missing_ok=True)


def _is_unreadable(file: Path, schema: DatabaseSchema) -> bool:
    with closing(open_to_examine(file)) as database:
        rows = Rows(schema, None)
        return not list(rows.read(database)) and rows.unreadable


def _rebuild(damaged: Path, schema: DatabaseSchema, beside: Path) -> int:
    """Write a new file with every sound row of a damaged one; return how many there are."""
    _remove(beside)
    with closing(_open_and_check(beside, schema)) as new:
        saved = _copy_rows(damaged, schema, new)
        if not saved:
            # The first page, which names the tables, is the same in every file of the schema.
            copy = damaged.with_name(f"{damaged.name}.first")
            copy.unlink(missing_ok=True)
            try:
                copy_regular(damaged, copy)
                if _replace_first_page(copy, schema):
                    saved = _copy_rows(copy, schema, new)
            finally:
                _remove(copy)
    return saved


def _copy_rows(damaged: Path, schema: DatabaseSchema, new: sqlite3.Connection) -> int:
    saved, marks = 0, ", ".join("?" * len(schema.columns.split(",")))
    with closing(connect(damaged)) as old, new:
        old.text_factory = decode_text
        for row in Rows(schema, None, tries=_TRIES).read(old):
            # The new file's own constraints decide; a row that is there twice is one.
            with suppress(sqlite3.IntegrityError):
                new.execute(f"INSERT INTO {schema.table} ({schema.columns}) VALUES ({marks})", row)
                saved += 1
    return saved


def _replace_first_page(file: Path, schema: DatabaseSchema) -> bool:
    """Give a file the first page of a fresh one; return False where it has no other page."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(schema.sql)
        size = int(fresh.execute("PRAGMA page_size").fetchone()[0])
        page = bytearray(fresh.serialize()[:size])
    pages = file.stat().st_size // size
    # Its size, its list of free pages, and what makes the size valid (sqlite.org/fileformat.html).
    page[28:32], page[32:40], page[92:96] = pages.to_bytes(4, "big"), bytes(8), page[24:28]
    with open(file, "r+b", opener=open_regular) as raw:
        raw.truncate(pages * size)
        raw.write(page)
    return pages > 1


def _upgrade(database: sqlite3.Connection, file: Path, schema: DatabaseSchema) -> None:
    newest, version = schema.version, _read_version(database)
    if version > newest:
        raise NotWritableError(
            f"{file}: {schema.what} are of version {version}, and this appliance knows {newest}: "
            "update it, or restore a backup of its own version"
        )
    if version == newest:
        return
    with database:
        database.execute("BEGIN IMMEDIATE")
        # Another process may have done it while this one waited for its turn.
        if _read_version(database) < newest:
            if _read_definitions(database):
                database.execute(schema.upgrade)
            database.execute(f"PRAGMA user_version = {newest}")


def _read_version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _read_definitions(database: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Return kind, name and SQL, without comments and white space, of all that a database has."""
    rows = database.execute(
        "SELECT type, name, ifnull(sql, '') FROM sqlite_master "
        "WHERE substr(name, 1, 7) <> 'sqlite_'"
    )
    return {(kind, name, re.sub(r"--.*|\s+", "", sql)) for kind, name, sql in rows}


def _check_definitions(database: sqlite3.Connection, schema: DatabaseSchema) -> None:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(schema.sql)
        if _read_definitions(database) != _read_definitions(fresh):
            raise DamagedError("it has other tables")


def _on_one_line(error: object) -> str:
    return " ".join(str(error).split())

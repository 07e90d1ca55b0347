"""SQLite files that outlive a power cut: opened in WAL mode, checked, and put aside if damaged."""

import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.errors import ClosedError, StateError
from appliance.storage.rows import DatabaseSchema, Rows, is_damage, text_of
from model.files import NotRegularError, check_regular, copy_regular, open_regular

log = logging.getLogger(__name__)


class DamagedError(sqlite3.DatabaseError):
    """A file is not a database of its form, or no whole one."""


class NotWritableError(StateError):
    """A file cannot be written: for a card that is full or read-only, its owner, or its age."""


def connect(file: Path, query: str = "", **options: Any) -> sqlite3.Connection:
    """Return a connection to a file, as SQLite's URI has its `query`.

    SQLite opens the file and its logs by their names, and would follow a link or wait for a pipe:
    raises NotRegularError for one. `options` are those of `sqlite3.connect`.
    """
    for each in (*_with_its_log(file), file.with_name(f"{file.name}-journal")):
        check_regular(each)
    address = f"{file.absolute().as_uri()}{f'?{query}' * bool(query)}"
    database: sqlite3.Connection = sqlite3.connect(address, uri=True, **options)
    return database


def only_to_look_at(
    file: Path, form: DatabaseSchema, error: StateError, *, stand_in: bool
) -> tuple[sqlite3.Connection, str]:
    """Return a file that cannot be written, and a sentence; every change is refused by SQLite.

    The card is full or read-only, or the file is another user's. With `stand_in` there is nothing
    in place of a file that cannot be read either: a box without a screen that did not start would
    tell its owner less than one that reads. Raises `error` where there is nothing to look at.
    """
    for how in ("mode=ro", "mode=ro&immutable=1"):
        # The second without its lock and its log, which want room: what is only in it is not seen.
        with suppress(sqlite3.DatabaseError, NotRegularError):
            database = connect(file, how, check_same_thread=False)
            try:
                database.execute(f"SELECT {form.columns} FROM {form.table} LIMIT 1").fetchall()
            except BaseException:
                database.close()
                raise
            break
    else:
        if not stand_in or not file.parent.is_dir():
            raise error
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.executescript(form.schema.read_text(encoding="utf-8"))
        database.execute("PRAGMA query_only = ON")
    database.text_factory = text_of
    sentence = f"{error}; until then nothing is added to {form.what}"
    log.warning("%s", sentence)
    return database, sentence


def opened(file: Path, form: DatabaseSchema) -> sqlite3.Connection:
    """Return a connection that threads may share, under their own lock.

    An older file is brought up to date. Raises DamagedError for a damaged file, NotWritableError
    for what is not the file's fault, StateError for a newer one and one that is locked.
    """
    try:
        return _opened(file, form)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if str(error).startswith("database is locked"):
            raise unusable(file, form, error) from None
        if str(error).startswith(_NOT_THE_FILES_FAULT):
            raise NotWritableError(str(unusable(file, form, error))) from None
        raise DamagedError(" ".join(str(error).split())) from None
    except NotRegularError as error:
        raise NotWritableError(str(unusable(file, form, error))) from None


def rescued(file: Path, form: DatabaseSchema, damage: Exception) -> tuple[sqlite3.Connection, str]:
    """Put a damaged file aside; return a new one with what could be read of it, and a sentence.

    What is taken over is on the card before the damaged file leaves its place: one who is stopped
    in between begins again. Raises StateError.
    """
    aside = file.with_name(f"{file.name}.damaged-{int(time.time())}")
    beside = file.with_name(f"{file.name}.new")
    try:
        saved = _rebuild(file, form, beside)
        # A log that stays would be taken for the new file's own.
        for rest, its_place in zip(_with_its_log(file), _with_its_log(aside), strict=True):
            if rest != file and rest.exists():
                rest.rename(its_place)
        try:
            os.link(file, aside)
        except OSError:
            # A stick's file system has no second names: then there is an instant without a file.
            file.rename(aside)
        os.replace(beside, file)
        done = f"{saved} rows were saved from it"
        sentence = f"{file} was damaged ({damage}): put aside as {aside.name}, {done}"
        log.warning("%s", sentence)
        return _opened(file, form), sentence
    except (OSError, sqlite3.DatabaseError) as error:
        raise unusable(file, form, error) from None


def examine(file: Path, form: DatabaseSchema) -> tuple[int, str | None]:
    """Return how many rows of a file are sound, and what is damaged in a few words, None for none.

    All of it is read, and nothing changed. Raises StateError for what is not the file's fault.
    """
    found, sound = Rows(form, None, tries=_TRIES), 0
    try:
        with closing(read_only(file)) as database:
            sound = sum(1 for _ in found.read(database))
            try:
                damage = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                damage = str(error)
            if damage == "ok" and not _is_header_sound(file):
                damage = _HEADER
    except sqlite3.DatabaseError as error:
        raise unusable(file, form, error) from None
    if found.damaged:
        return sound, found.words
    return sound, None if damage == "ok" else " ".join(damage.split())


def clean(file: Path, form: DatabaseSchema, damage: str | None = None) -> str | None:
    """Make a file, which is nobody else's, one of sound rows alone; tell what was left out of it.

    Returns a few words, None where all of it was sound; `damage` is what is known of it already.
    Raises DamagedError where no page of it can be read, StateError, OSError.
    """
    damage = examine(file, form)[1] or damage
    if damage is not None:
        beside = file.with_name(f"{file.name}.new")
        try:
            saved = _rebuild(file, form, beside)
            if not saved and _unreadable(file, form):
                raise DamagedError(damage)
            for rest in _with_its_log(file):
                rest.unlink(missing_ok=True)
            os.replace(beside, file)
        finally:
            for each in _with_its_log(beside):
                each.unlink(missing_ok=True)
    return damage


def check(file: Path, form: DatabaseSchema) -> None:
    """Raise DamagedError for a file that is no whole database of the form; StateError for a newer.

    Nothing in it is trusted: a file with anything but the form's own tables is not read further.
    An older one is brought up to date.
    """
    try:
        # A view with a table's name could go on for ever: it is looked for before anything is read.
        with closing(connect(file)) as database:
            kinds = {kind for kind, _, _ in _shape(database)}
            if not kinds or kinds - {"table", "index"}:
                raise DamagedError("it has other tables")
            if _version(database) == form.version:
                _check_shape(database, form)
        with closing(opened(file, form)) as database:
            _check_shape(database, form)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise DamagedError(" ".join(str(error).split())) from None


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


def copied(database: sqlite3.Connection, to: Path) -> None:
    """Copy a database, as it is at one instant, into a new file; it may be written to meanwhile."""
    to.unlink(missing_ok=True)
    to.touch(mode=0o600)
    with closing(connect(to)) as target:
        database.backup(target)


def unusable(file: Path, form: DatabaseSchema, error: Exception) -> StateError:
    """Return the error for a file that SQLite cannot use, with what to do about it."""
    with suppress(OSError):
        # SQLite calls a full disk an I/O error where it has no room for a log.
        if os.statvfs(file.parent).f_bavail == 0:
            return StateError(f"{file}: {form.what} cannot be used, the disk is full: make room")
    return StateError(
        f"{file}: {form.what} cannot be used ({error}): check the disk and who owns "
        "the state directory, or choose another with --state DIR"
    )


# How SQLite begins what it says of the disk, the folder or a lock, and not of the file's content.
_NOT_THE_FILES_FAULT = (
    "unable to open",
    "attempt to write a readonly",
    "database or disk is full",
    "disk I/O",
)


_TRIES = 20_000
"""Stretches of a damaged file that are asked for before it is given up (`rows.Rows`)."""


_HEADER = "its header is of another format"


def _is_empty(file: Path) -> bool:
    return all(
        each.exists() and not each.stat().st_size
        for each in (file, *(log for log in _with_its_log(file)[1:2] if log.exists()))
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


def _with_its_log(file: Path) -> list[Path]:
    return [file, *(file.with_name(file.name + rest) for rest in ("-wal", "-shm"))]


def _opened(file: Path, form: DatabaseSchema) -> sqlite3.Connection:
    if _is_empty(file):
        # SQLite takes it for a new one, and what was in it would be gone without a word.
        raise sqlite3.DatabaseError("it is empty")
    database = connect(file, check_same_thread=False, timeout=form.patience)
    try:
        if not _is_header_sound(file):
            raise sqlite3.DatabaseError(_HEADER)
        with closing(database.execute("PRAGMA journal_mode = WAL")) as mode:
            mode.fetchone()
        database.execute(f"PRAGMA synchronous = {form.synchronous}")
        _upgrade(database, file, form)
        database.executescript(form.schema.read_text(encoding="utf-8"))
        database.execute(f"SELECT {form.columns} FROM {form.table} LIMIT 1")
        damage = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        database.text_factory = text_of
    except BaseException:
        database.close()
        raise
    return database


def read_only(file: Path) -> sqlite3.Connection:
    """Open a file to look at all of it: with its log, and else without."""
    for how in ("mode=ro", "mode=ro&immutable=1"):
        database = connect(file, how, timeout=10)
        database.text_factory = text_of
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            if how == "mode=ro" and not is_damage(error):
                database.close()
                continue
        return database
    raise sqlite3.OperationalError("unable to open database file")


def _unreadable(file: Path, form: DatabaseSchema) -> bool:
    with closing(read_only(file)) as database:
        rows = Rows(form, None)
        return not list(rows.read(database)) and rows.unreadable


def _rebuild(damaged: Path, form: DatabaseSchema, beside: Path) -> int:
    """Write a new file with every sound row of a damaged one; return how many they are."""
    for each in _with_its_log(beside):
        each.unlink(missing_ok=True)
    with closing(_opened(beside, form)) as new:
        saved = _take_over(damaged, form, new)
        if not saved:
            # What its first page tells, such as the tables, is the same in every file of the form.
            copy = damaged.with_name(f"{damaged.name}.first")
            copy.unlink(missing_ok=True)
            try:
                copy_regular(damaged, copy)
                if _replace_first_page(copy, form):
                    saved = _take_over(copy, form, new)
            finally:
                for each in _with_its_log(copy):
                    each.unlink(missing_ok=True)
    return saved


def _take_over(damaged: Path, form: DatabaseSchema, new: sqlite3.Connection) -> int:
    saved, marks = 0, ", ".join("?" * len(form.columns.split(",")))
    with closing(connect(damaged)) as old, new:
        old.text_factory = text_of
        for row in Rows(form, None, tries=_TRIES).read(old):
            # The new file's own checks are the last word; a row that is there twice is one.
            with suppress(sqlite3.IntegrityError):
                new.execute(f"INSERT INTO {form.table} ({form.columns}) VALUES ({marks})", row)
                saved += 1
    return saved


def _replace_first_page(file: Path, form: DatabaseSchema) -> bool:
    """Give a file the first page of a fresh one; tell whether its size is one of whole pages."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(form.schema.read_text(encoding="utf-8"))
        size = int(fresh.execute("PRAGMA page_size").fetchone()[0])
        page = bytearray(fresh.serialize()[:size])
    pages = file.stat().st_size // size
    # Where its size and its list of free pages stand: sqlite.org/fileformat.html, 1.3.
    page[28:32], page[32:40], page[92:96] = pages.to_bytes(4, "big"), bytes(8), page[24:28]
    with open(file, "r+b", opener=open_regular) as raw:
        raw.truncate(pages * size)
        raw.write(page)
    return pages > 1


def _upgrade(database: sqlite3.Connection, file: Path, form: DatabaseSchema) -> None:
    newest, version = form.version, _version(database)
    if version > newest:
        raise NotWritableError(
            f"{file}: {form.what} are of version {version}, and this appliance knows {newest}: "
            "update it, or restore a backup of its own version"
        )
    if version == newest:
        return
    with database:
        database.execute("BEGIN IMMEDIATE")
        # While this waited for its turn another may have done it.
        if _version(database) < newest:
            if _shape(database):
                database.execute(form.upgrade)
            database.execute(f"PRAGMA user_version = {newest}")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _shape(database: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Return kind, name and SQL of all that a database has, without comments and white space."""
    rows = database.execute(
        "SELECT type, name, ifnull(sql, '') FROM sqlite_master "
        "WHERE substr(name, 1, 7) <> 'sqlite_'"
    )
    return {(kind, name, re.sub(r"--.*|\s+", "", sql)) for kind, name, sql in rows}


def _check_shape(database: sqlite3.Connection, form: DatabaseSchema) -> None:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(form.schema.read_text(encoding="utf-8"))
        if _shape(database) != _shape(fresh):
            raise DamagedError("it has other tables")

"""SQLite files that outlive a power cut: opened in WAL mode, checked, and put aside if damaged."""

import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from appliance.errors import StateError
from model.files import NotRegularError, check_regular

log = logging.getLogger(__name__)


class Form(NamedTuple):
    """What a database file must be: `row` is a SELECT that names each column it must have.

    With synchronous "NORMAL" a power cut can lose the last rows, with "FULL" none that was
    committed; neither damages the file. `patience` is how many seconds a lock of another program
    is waited for. The n-th of `migrations`, counted from 0, has the statements that make a file of
    version n one of version n + 1; what comes of the last has the schema's own text.
    """

    what: str
    schema: Path
    row: str
    synchronous: str
    patience: float
    migrations: tuple[tuple[str, ...], ...] = ()


class DamagedError(sqlite3.DatabaseError):
    """A file is not a database of its form, or no whole one."""


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


def _full(folder: Path) -> bool:
    with suppress(OSError):
        room = os.statvfs(folder)
        return room.f_bavail * room.f_frsize < _LEAST_ROOM
    return False


def _only_to_look_at(file: Path, form: Form) -> sqlite3.Connection:
    """Return what needs no room on the card; every change is refused by SQLite.

    A box without a screen that did not start would tell its owner less than one that reads.
    """
    log.warning(
        "the disk is full: %s keeps nothing more: make room, then start the appliance again",
        form.what,
    )
    with suppress(sqlite3.DatabaseError):
        # Without its lock and its log, which want room: what is only in the log is not seen.
        database = connect(file, "mode=ro&immutable=1", check_same_thread=False)
        try:
            database.execute(f"{form.row} LIMIT 1")
            return database
        except BaseException:
            database.close()
            raise
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.executescript(form.schema.read_text(encoding="utf-8"))
    database.execute("PRAGMA query_only = ON")
    return database


Rescue = Callable[[Path, sqlite3.Connection], str]
"""Takes what it can from a damaged file into a new database and tells how much in a few words."""


def opened(file: Path, form: Form, *, keep: bool = True) -> sqlite3.Connection:
    """Return a connection that threads may share, under their own lock.

    An older file is brought up to date; with `keep` it stays beside, once, as `NAME.before-N`, N
    its version. Raises DamagedError for a damaged file, StateError for a newer one and for what is
    not the file's fault.
    """
    try:
        return _opened(file, form, keep)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if str(error).startswith(_NOT_THE_FILES_FAULT):
            if _full(file.parent):
                return _only_to_look_at(file, form)
            raise unusable(file, form, error) from None
        raise DamagedError(" ".join(str(error).split())) from None
    except NotRegularError as error:
        raise unusable(file, form, error) from None


def begun_anew(
    file: Path, form: Form, damage: Exception, rescue: Rescue = lambda damaged, new: "begun anew"
) -> tuple[sqlite3.Connection, str]:
    """Put a damaged file aside; return a new one in its place, and a sentence that says so.

    What `rescue` takes over is on the card before the damaged file leaves its place: one who is
    stopped in between begins again. Raises StateError.
    """
    aside = file.with_name(f"{file.name}.damaged-{int(time.time())}")
    beside = file.with_name(f"{file.name}.new")
    try:
        for each in _with_its_log(beside):
            each.unlink(missing_ok=True)
        with closing(_opened(beside, form)) as new:
            done = rescue(file, new)
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
        sentence = f"{file} was damaged ({damage}): put aside as {aside.name}, {done}"
        log.warning("%s", sentence)
        return _opened(file, form), sentence
    except (OSError, sqlite3.DatabaseError) as error:
        raise unusable(file, form, error) from None


def check(file: Path, form: Form) -> None:
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
            if _version(database) == len(form.migrations):
                _check_shape(database, form)
        with closing(opened(file, form, keep=False)) as database:
            _check_shape(database, form)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise DamagedError(" ".join(str(error).split())) from None


def copied(database: sqlite3.Connection, to: Path) -> None:
    """Copy a database, as it is at one instant, into a new file; it may be written to meanwhile."""
    to.unlink(missing_ok=True)
    to.touch(mode=0o600)
    with closing(connect(to)) as target:
        database.backup(target)


def unusable(file: Path, form: Form, error: Exception) -> StateError:
    return StateError(
        f"{file}: {form.what} cannot be used ({error}): check the disk and who owns "
        "the state directory, or choose another with --state DIR"
    )


# How SQLite begins what it says of the disk, the folder or a lock, and not of the file's content.
_NOT_THE_FILES_FAULT = (
    "unable to open",
    "attempt to write a readonly",
    "database is locked",
    "database or disk is full",
    "disk I/O",
)


_LEAST_ROOM = 256 * 1024
"""Bytes free on a disk below which a database that cannot be written is not the folder's fault."""


def _with_its_log(file: Path) -> list[Path]:
    return [file, *(file.with_name(file.name + rest) for rest in ("-wal", "-shm"))]


def _opened(file: Path, form: Form, keep: bool = True) -> sqlite3.Connection:
    database = connect(file, check_same_thread=False, timeout=form.patience)
    try:
        with closing(database.execute("PRAGMA journal_mode = WAL")) as mode:
            mode.fetchone()
        database.execute(f"PRAGMA synchronous = {form.synchronous}")
        _migrate(database, file, form, keep)
        database.executescript(form.schema.read_text(encoding="utf-8"))
        database.execute(f"{form.row} LIMIT 1")
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
    except BaseException:
        database.close()
        raise
    return database


def _migrate(database: sqlite3.Connection, file: Path, form: Form, keep: bool) -> None:
    newest, found = len(form.migrations), _version(database)
    if found > newest:
        raise StateError(
            f"{file}: {form.what} are of version {found}, and this appliance knows {newest}: "
            "update it, or restore a backup of its own version"
        )
    if found == newest:
        return
    if not _shape(database):
        database.execute(f"PRAGMA user_version = {newest}")
        return
    kept = file.with_name(f"{file.name}.before-{found}")
    if keep and not kept.exists():
        beside = file.with_name(f".{kept.name}.new")
        copied(database, beside)
        os.replace(beside, kept)
    with database:
        database.execute("BEGIN IMMEDIATE")
        # While this waited for its turn another may have done it.
        for statements in form.migrations[_version(database) :]:
            for statement in statements:
                database.execute(statement)
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


def _check_shape(database: sqlite3.Connection, form: Form) -> None:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(form.schema.read_text(encoding="utf-8"))
        if _shape(database) != _shape(fresh):
            raise DamagedError("it has other tables")

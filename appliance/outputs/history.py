"""The readings that changed what was shown, in SQLite."""

import logging
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.errors import StateError
from appliance.reading import Grey, Reading

log = logging.getLogger(__name__)

_SCHEMA = Path(__file__).with_name("schema.sql")


@dataclass(frozen=True)
class Entry:
    """One row: `glyph` is uint8 (28, 28), 255 = ink, or None where no mark was found."""

    id: int
    at: float
    digit: int | None
    reason: str | None
    confidence: float
    glyph: Grey | None


class History:
    """Writes a row when the answer shown changes; keeps the newest `limit` rows.

    The database is in WAL mode with synchronous=NORMAL: a power cut can lose the last rows and
    never damages the file. A file that is damaged all the same is put aside, with a line in the
    log, and a new one begun. Raises StateError when the file cannot be written.
    """

    def __init__(self, file: Path, *, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._shown: int | None = None
        try:
            self._database = _opened(file)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if str(error).startswith(_NOT_THE_FILES_FAULT):
                raise _unusable(file, error) from None
            self._database = _begun_anew(file, error)

    def show(self, reading: Reading) -> None:
        if reading.settled == self._shown:
            return
        glyph = None
        if reading.glyph is not None:
            glyph = np.rint(reading.glyph * 255).astype(np.uint8).tobytes()
        reason = (reading.fault or reading.reason) if reading.settled is None else None
        with self._lock, self._database:
            row = self._database.execute(
                "INSERT INTO readings (at, digit, reason, confidence, glyph) "
                "VALUES (?, ?, ?, ?, ?)",
                (reading.at, reading.settled, reason, reading.confidence, glyph),
            )
            self._database.execute(
                "DELETE FROM readings WHERE id <= ?", ((row.lastrowid or 0) - self._limit,)
            )
        self._shown = reading.settled

    def newest(self, limit: int) -> list[Entry]:
        """Return up to `limit` entries, the newest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT id, at, digit, reason, confidence, glyph FROM readings "
                "ORDER BY id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [
            Entry(number, at, digit, reason, confidence, _glyph(blob))
            for number, at, digit, reason, confidence, blob in rows
        ]

    def close(self) -> None:
        with self._lock:
            self._database.close()


# How SQLite begins what it says of the disk, the folder or a lock, and not of the file's content.
_NOT_THE_FILES_FAULT = (
    "unable to open",
    "attempt to write a readonly",
    "database is locked",
    "database or disk is full",
    "disk I/O",
)


def _unusable(file: Path, error: Exception) -> StateError:
    return StateError(
        f"{file}: the history cannot be written ({error}): check the disk and who owns "
        "the state directory, or choose another with --state DIR"
    )


def _begun_anew(file: Path, damage: Exception) -> sqlite3.Connection:
    """Put a damaged file aside and return a new one in its place."""
    aside = file.with_name(f"{file.name}.damaged-{int(time.time())}")
    log.warning("%s is damaged (%s): put aside as %s, begun anew", file, damage, aside.name)
    try:
        file.rename(aside)
        for rest in ("-wal", "-shm"):
            file.with_name(file.name + rest).unlink(missing_ok=True)
        return _opened(file)
    except (OSError, sqlite3.DatabaseError) as error:
        raise _unusable(file, error) from None


def _opened(file: Path) -> sqlite3.Connection:
    # The loop writes and the page's threads read, one at a time, under this class's lock.
    # Another program's lock on the file costs the loop no more than this many seconds.
    database = sqlite3.connect(file, check_same_thread=False, timeout=0.2)
    try:
        with closing(database.execute("PRAGMA journal_mode = WAL")) as mode:
            mode.fetchone()
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA.read_text(encoding="utf-8"))
        database.execute("SELECT id, at, digit, reason, confidence, glyph FROM readings LIMIT 1")
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
    except BaseException:
        database.close()
        raise
    return database


def _glyph(blob: bytes | None) -> Grey | None:
    if not isinstance(blob, bytes) or len(blob) != 28 * 28:
        return None
    return np.frombuffer(blob, np.uint8).reshape(28, 28)

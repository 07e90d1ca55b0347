"""The readings that changed what was shown, in SQLite."""

import json
import sqlite3
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.errors import StateError
from appliance.reading import Grey, Reading
from appliance.storage.database import (
    DamagedError,
    NotWritableError,
    lend,
    open_database,
    open_read_only,
    rescue,
)
from appliance.storage.rows import (
    HIGHEST,
    MAX_ID,
    MAX_TIME,
    DatabaseSchema,
    Row,
    Rows,
    is_damage,
    is_integer_in,
    is_number_in,
    next_id,
)

_MOST_REASON = 10_000
_NO_GLYPH = bytes(28 * 28)


def mended(row: Row) -> Row | None:
    """Return a row of the history as it is sound, None for one that is damaged.

    A reason that is no text is told as far as it is one, and a glyph of another size is left out.
    """
    number, at, digit, reason, confidence, glyph, crc = row
    if not (
        1 <= number <= MAX_ID
        and is_number_in(at, 0, MAX_TIME)
        and (digit is None or is_integer_in(digit, 0, 9))
        and is_number_in(confidence, 0, 1)
        and isinstance(reason, str | bytes | None)
        and len(reason or "") <= _MOST_REASON
        and isinstance(glyph, bytes | None)
    ):
        return None
    if isinstance(reason, bytes):
        sound = (*row[:3], reason.decode(errors="replace"), confidence, glyph, None)
    elif crc is None or crc == checksum(row):
        sound = row
    else:
        return None
    return sound if len(glyph or _NO_GLYPH) == len(_NO_GLYPH) else (*sound[:5], None, None)


def checksum(row: Row) -> int:
    """Return the CRC-32 of all that a row has but the checksum itself."""
    number, at, digit, reason, confidence, glyph, _ = row
    facts = [number, float(at), digit, reason, float(confidence), glyph is None]
    return zlib.crc32(json.dumps(facts).encode(), zlib.crc32(glyph or b""))


SCHEMA = DatabaseSchema(
    what="the history",
    sql_file=Path(__file__).with_name("schema.sql"),
    table="readings",
    columns="id, at, digit, reason, confidence, glyph, crc",
    synchronous="NORMAL",
    # The loop waits no longer than this for another program's lock on the file.
    patience=0.2,
    mend=mended,
    # Version 0, of before the first release, had no checksums.
    upgrade="ALTER TABLE readings ADD COLUMN crc INTEGER",
)


TOGETHER = 40
LATEST = 1800.0
"""So many rows, or what came in so many seconds, go to the card in one step: each step costs it
tens of thousands of bytes, whatever a row has."""


NO_DIGIT = 10
"""In place of a digit: that none was shown."""


class Entry(NamedTuple):
    """One row: `glyph` is uint8 (28, 28), 255 = ink, or None where no mark was found."""

    id: int
    at: float
    digit: int | None
    reason: str | None
    confidence: float
    glyph: Grey | None


class History:
    """Writes a row when the answer shown changes; keeps the newest `limit` rows.

    Rows are told of at once and go to the card together, `TOGETHER` of them or after `LATEST`
    seconds, which `clock` gives: it spares the card, and a power cut can lose that many. The
    database is in WAL mode with synchronous=NORMAL, so that it never damages the file. A file that
    is damaged all the same is put aside, and a new one has what can be read of it; a row that is
    damaged is mended or left out. `notice` says so, as it does of a file that cannot be written,
    which is looked at all the same. Raises StateError where there is no folder for it.
    """

    def __init__(
        self, file: Path, *, limit: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._shown: int | None = None
        # Rows of the transaction that is open, and when its first one came.
        self._waiting, self._since = 0, 0.0
        self._rows = Rows(SCHEMA, file.name)
        self._said: str | None = None
        try:
            try:
                self._database = open_database(file, SCHEMA)
            except DamagedError as error:
                self._database, self._said = rescue(file, SCHEMA, error)
        except StateError as error:
            if not isinstance(error, NotWritableError) and not isinstance(
                error.__context__, DamagedError
            ):
                raise
            self._database, self._said = open_read_only(file, SCHEMA, error, stand_in=True)
        self._count = self._counted()

    def show(self, reading: Reading) -> None:
        with self._lock:
            try:
                if reading.settled != self._shown:
                    self._insert(reading)
                if self._waiting >= TOGETHER or (
                    self._waiting and self._clock() - self._since >= LATEST
                ):
                    self._keep()
            except BaseException:
                # What a full disk refuses is lost, as in a power cut; the next row begins anew.
                self._waiting = 0
                self._database.rollback()
                self._count = self._counted()
                raise
            self._shown = reading.settled

    def _insert(self, reading: Reading) -> None:
        glyph = None
        if reading.glyph is not None:
            glyph = np.rint(reading.glyph * 255).astype(np.uint8).tobytes()
        reason = (reading.fault or reading.reason) if reading.settled is None else None
        number = next_id(self._database, "readings")
        row = (number, reading.at, reading.settled, reason, reading.confidence, glyph)
        self._database.execute(
            f"INSERT INTO readings ({SCHEMA.columns}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*row, checksum((*row, None))),
        )
        self._count += 1
        if self._count > self._limit:
            # By how many there are: a number that is damaged tells nothing of that.
            gone = self._database.execute(
                "DELETE FROM readings WHERE id IN (SELECT id FROM readings ORDER BY id LIMIT ?)",
                (self._count - self._limit,),
            )
            self._count -= gone.rowcount
        if not self._waiting:
            self._since = self._clock()
        self._waiting += 1

    def _keep(self) -> None:
        """Have what waits on the card."""
        self._database.commit()
        self._waiting = 0

    def newest(
        self, limit: int, *, before: int | None = None, answer: int | None = None
    ) -> list[Entry]:
        """Return up to `limit` entries, the newest first.

        Only those with an id below `before`, and only those that show the digit `answer`, or none
        where it is `NO_DIGIT`.
        """
        where, values = "1", tuple[int, ...]()
        if answer == NO_DIGIT:
            where = "digit IS NULL"
        elif answer is not None:
            where, values = "digit = ?", (answer,)
        last = HIGHEST if before is None else before - 1
        with (
            lend(self._database, self._lock) as database,
            closing(self._rows.read(database, where, values, last=last, newest_first=True)) as rows,
        ):
            return [_entry(row) for row in islice(rows, limit)]

    def hours(self, since: float, count: int) -> list[int]:
        """Return how many digits were shown in each of `count` hours from `since` (Unix) on.

        Those of damaged rows count until something has read them.
        """
        until, damaged = since + 3600 * count, json.dumps(sorted(self._rows.left_out))
        with lend(self._database, self._lock) as database:
            try:
                found = dict(
                    database.execute(
                        "SELECT CAST((at - ?) / 3600 AS INTEGER) AS hour, COUNT(*) FROM readings "
                        "WHERE digit BETWEEN 0 AND 9 AND confidence BETWEEN 0 AND 1 "
                        "AND id BETWEEN 1 AND ? AND at >= ? AND at < ? "
                        "AND id NOT IN (SELECT value FROM json_each(?)) GROUP BY hour",
                        (since, MAX_ID, since, until, damaged),
                    ).fetchall()
                )
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                shown = (row[1] for row in self._rows.read(database, "digit IS NOT NULL"))
                found = Counter(int((at - since) // 3600) for at in shown if since <= at < until)
        return [found.get(hour, 0) for hour in range(count)]

    @property
    def notice(self) -> str | None:
        """What is to be said of the file: what was saved from it, or is damaged in it."""
        return " – ".join(filter(None, (self._said, self._rows.sentence))) or None

    def close(self) -> None:
        with self._lock:
            try:
                if self._waiting:
                    self._keep()
            finally:
                self._database.close()

    def _counted(self) -> int:
        """Return how many rows there are; where a page cannot be read, how many can."""
        with suppress(sqlite3.DatabaseError):
            return int(self._database.execute("SELECT count(*) FROM readings").fetchone()[0])
        return sum(1 for _ in self._rows.read(self._database))


def _entry(row: Row) -> Entry:
    number, at, digit, reason, confidence, blob, _ = row
    glyph = None if blob is None else np.frombuffer(blob, np.uint8).reshape(28, 28)
    return Entry(number, at, digit, reason, confidence, glyph)

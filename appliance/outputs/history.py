"""The history: each reading that changed the answer shown, in SQLite."""

import json
import sqlite3
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.errors import StateError
from appliance.reading import Grey, Reading
from appliance.storage.database import (
    DamagedError,
    NotWritableError,
    commit_request,
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

BATCH_ROWS = 40
BATCH_SECONDS = 1800.0
"""Rows are committed once there are so many, or the first has waited so long: a commit writes tens
of thousands of bytes to the card, however small a row is."""
NO_DIGIT = 10
"""Stands for "no digit shown" where a digit is expected."""

_MAX_REASON = 10_000
_GLYPH_BYTES = 28 * 28


def mend_row(row: Row) -> Row | None:
    """Return a row of the history, or what of it is sound, or None for a damaged one.

    Of a reason that is no UTF-8 the rest is kept, a glyph of another size is dropped.
    """
    number, at, digit, reason, confidence, glyph, crc = row
    if not (
        1 <= number <= MAX_ID
        and is_number_in(at, 0, MAX_TIME)
        and (digit is None or is_integer_in(digit, 0, 9))
        and is_number_in(confidence, 0, 1)
        and isinstance(reason, str | bytes | None)
        and len(reason or "") <= _MAX_REASON
        and isinstance(glyph, bytes | None)
    ):
        return None
    if isinstance(reason, bytes):
        sound = (*row[:3], reason.decode(errors="replace"), confidence, glyph, None)
    elif crc is None or crc == checksum(row):
        sound = row
    else:
        return None
    return sound if not glyph or len(glyph) == _GLYPH_BYTES else (*sound[:5], None, None)


def checksum(row: Row) -> int:
    """Return the CRC-32 of a row without its checksum."""
    number, at, digit, reason, confidence, glyph, _ = row
    facts = [number, float(at), digit, reason, float(confidence), glyph is None]
    return zlib.crc32(json.dumps(facts).encode(), zlib.crc32(glyph or b""))


SCHEMA = DatabaseSchema(
    what="the history",
    sql_file=Path(__file__).with_name("schema.sql"),
    table="readings",
    columns="id, at, digit, reason, confidence, glyph, crc",
    synchronous="NORMAL",
    # The loop cannot wait longer for another program's lock.
    patience=0.2,
    mend=mend_row,
    # Version 0, before the first release, had no checksums.
    upgrade="ALTER TABLE readings ADD COLUMN crc INTEGER",
)


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

    Rows are listed at once, and committed together (`BATCH_ROWS`, `BATCH_SECONDS` of the `clock`):
    a power cut loses those that wait, but in WAL mode with synchronous=NORMAL never damages the
    file. A file that is damaged all the same is replaced by one with its sound rows; one that
    cannot be written is opened read-only; a damaged row is mended or left out; `notice` says so.
    Raises StateError where there is no folder for the file.
    """

    def __init__(
        self, file: Path, *, limit: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._shown: int | None = None
        # The rows of the open transaction, and when it began.
        self._uncommitted, self._began = 0, 0.0
        self._rows = Rows(SCHEMA, file.name)
        self._request = commit_request(file)
        self._open_notice: str | None = None
        try:
            try:
                self._database = open_database(file, SCHEMA)
            except DamagedError as error:
                self._database, self._open_notice = rescue(file, SCHEMA, error)
        except StateError as error:
            if not isinstance(error, NotWritableError) and not isinstance(
                error.__context__, DamagedError
            ):
                raise
            self._database, self._open_notice = open_read_only(file, SCHEMA, error, stand_in=True)
        self._count = self._count_rows()

    def show(self, reading: Reading) -> None:
        with self._lock:
            with self._roll_back_on_error():
                if reading.settled != self._shown:
                    self._insert(reading)
                if self._uncommitted >= BATCH_ROWS or (
                    self._uncommitted and self._clock() - self._began >= BATCH_SECONDS
                ):
                    self._commit()
            self._shown = reading.settled

    def look(self) -> None:
        """Commit the rows that wait, if another process asks for it (`request_commit`)."""
        try:
            self._request.unlink()
        except OSError:
            # There is none, or it is no request.
            return
        self.commit()

    def commit(self) -> None:
        """Commit the rows that wait, also from another thread; none wait after `close`."""
        with self._lock, self._roll_back_on_error():
            if self._uncommitted:
                self._commit()

    @contextmanager
    def _roll_back_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # On a full disk the open transaction is lost, as in a power cut.
            self._uncommitted = 0
            self._database.rollback()
            self._count = self._count_rows()
            raise

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
            # Count the rows: a damaged id says nothing about how many there are.
            removed = self._database.execute(
                "DELETE FROM readings WHERE id IN (SELECT id FROM readings ORDER BY id LIMIT ?)",
                (self._count - self._limit,),
            )
            self._count -= removed.rowcount
        if not self._uncommitted:
            self._began = self._clock()
        self._uncommitted += 1

    def _commit(self) -> None:
        self._database.commit()
        self._uncommitted = 0

    def list_newest(
        self, limit: int, *, before: int | None = None, answer: int | None = None
    ) -> list[Entry]:
        """Return up to `limit` entries, the newest first.

        `before` lists only smaller ids, `answer` only those that show this digit, or `NO_DIGIT`.
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
            return [_to_entry(row) for row in islice(rows, limit)]

    def count_per_hour(self, since: float, count: int) -> list[int]:
        """Return how many digits were shown in each of `count` hours from `since` (Unix) on.

        A damaged row counts until it is read.
        """
        until, damaged = since + 3600 * count, json.dumps(sorted(self._rows.left_out))
        with lend(self._database, self._lock) as database:
            try:
                counts = dict(
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
                counts = Counter(int((at - since) // 3600) for at in shown if since <= at < until)
        return [counts.get(hour, 0) for hour in range(count)]

    @property
    def notice(self) -> str | None:
        """For the owner: what was rescued from the file, or is damaged in it; None for nothing."""
        return " – ".join(filter(None, (self._open_notice, self._rows.sentence))) or None

    def close(self) -> None:
        with self._lock:
            try:
                if self._uncommitted:
                    self._commit()
            finally:
                self._database.close()

    def _count_rows(self) -> int:
        """Return how many rows there are, or, where a page cannot be read, how many are sound."""
        with suppress(sqlite3.DatabaseError):
            return int(self._database.execute("SELECT count(*) FROM readings").fetchone()[0])
        return sum(1 for _ in self._rows.read(self._database))


def _to_entry(row: Row) -> Entry:
    number, at, digit, reason, confidence, blob, _ = row
    glyph = None if blob is None else np.frombuffer(blob, np.uint8).reshape(28, 28)
    return Entry(number, at, digit, reason, confidence, glyph)

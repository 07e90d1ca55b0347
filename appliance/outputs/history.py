"""The readings that changed what was shown, in SQLite."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.database import DamagedError, Form, begun_anew, opened
from appliance.reading import Grey, Reading

FORM = Form(
    what="the history",
    schema=Path(__file__).with_name("schema.sql"),
    row="SELECT id, at, digit, reason, confidence, glyph FROM readings",
    synchronous="NORMAL",
    # The loop waits no longer than this for another program's lock on the file.
    patience=0.2,
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
    is damaged all the same is put aside, with a line in the log, and a new one begun. Raises
    StateError when the file cannot be written.
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
        try:
            self._database = opened(file, FORM)
        except DamagedError as error:
            self._database, _ = begun_anew(file, FORM, error)

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
                raise
            self._shown = reading.settled

    def _insert(self, reading: Reading) -> None:
        glyph = None
        if reading.glyph is not None:
            glyph = np.rint(reading.glyph * 255).astype(np.uint8).tobytes()
        reason = (reading.fault or reading.reason) if reading.settled is None else None
        row = self._database.execute(
            "INSERT INTO readings (at, digit, reason, confidence, glyph) VALUES (?, ?, ?, ?, ?)",
            (reading.at, reading.settled, reason, reading.confidence, glyph),
        )
        self._database.execute(
            "DELETE FROM readings WHERE id <= ?", ((row.lastrowid or 0) - self._limit,)
        )
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
        wanted, values = ["id < ?"], [2**62 if before is None else before]
        if answer == NO_DIGIT:
            wanted.append("digit IS NULL")
        elif answer is not None:
            wanted.append("digit = ?")
            values.append(answer)
        with self._lock:
            rows = self._database.execute(
                "SELECT id, at, digit, reason, confidence, glyph FROM readings "
                f"WHERE {' AND '.join(wanted)} ORDER BY id DESC LIMIT ?",
                (*values, limit),
            ).fetchall()
        return [
            Entry(number, at, digit, reason, confidence, _glyph(blob))
            for number, at, digit, reason, confidence, blob in rows
        ]

    def hours(self, since: float, count: int) -> list[int]:
        """Return how many digits were shown in each of `count` hours from `since` (Unix) on."""
        with self._lock:
            rows = self._database.execute(
                "SELECT CAST((at - ?) / 3600 AS INTEGER) AS hour, COUNT(*) FROM readings "
                "WHERE digit IS NOT NULL AND at >= ? AND at < ? GROUP BY hour",
                (since, since, since + 3600 * count),
            ).fetchall()
        found = dict(rows)
        return [found.get(hour, 0) for hour in range(count)]

    def close(self) -> None:
        with self._lock:
            try:
                if self._waiting:
                    self._keep()
            finally:
                self._database.close()


def _glyph(blob: bytes | None) -> Grey | None:
    if not isinstance(blob, bytes) or len(blob) != 28 * 28:
        return None
    return np.frombuffer(blob, np.uint8).reshape(28, 28)

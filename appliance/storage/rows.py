"""Reads the rows of a database: each is sound, mended, or left out and counted.

A flipped bit on the card costs the row that it is in, a page that cannot be read its rows.
"""

import logging
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

Row = tuple[Any, ...]

MAX_ID = 10**12
"""The appliance gives a row no larger id: one beyond it is damage."""
MAX_TIME = 1e11
"""Unix seconds, in the year 5138."""
LOWEST, HIGHEST = -(2**63), 2**63 - 1
_TRIES = 1000
"""Ranges of ids that are queried one after the other where a page is damaged."""
TRANSIENT = (
    "unable to open",
    "attempt to write a readonly",
    "database is locked",
    "database or disk is full",
)
"""How SQLite's errors begin where the folder or a lock is at fault, and not the file's content."""
_NO_TABLE = "file is not a database", "malformed database schema", "no such "
"""How they begin where the file has no such table at all."""


def local_time(at: float) -> datetime:
    """Return a time (Unix seconds, 0 to MAX_TIME) in the machine's zone, or else in UTC.

    A system of 32 bits counts to 2038 only, and a row may come from a clock that was ahead of it.
    """
    try:
        return datetime.fromtimestamp(at).astimezone()
    except (OverflowError, OSError, ValueError):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)


def decode_text(raw: bytes) -> str | bytes:
    """Return a text, or its bytes where they are not UTF-8: a connection's `text_factory`."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def is_number_in(value: object, least: float, most: float) -> bool:
    """Return whether a column's value is a number from `least` to `most`."""
    return isinstance(value, int | float) and least <= value <= most


def is_integer_in(value: object, least: int, most: int) -> bool:
    """Return whether a column's value is a whole number from `least` to `most`."""
    return isinstance(value, int) and least <= value <= most


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the content of the file is at fault."""
    return (
        isinstance(error, sqlite3.DatabaseError)
        and not isinstance(error, sqlite3.ProgrammingError)
        and not str(error).startswith(TRANSIENT)
    )


def next_id(database: sqlite3.Connection, table: str) -> int:
    """Return the id for a new row: one that was never given, whatever damage made of the others.

    SQLite itself would go on from the largest, and end at 2⁶³ − 1.
    """
    largest = 0
    for column, where in (("id", table), ("seq", f"sqlite_sequence WHERE name = '{table}'")):
        also = "AND" if "WHERE" in where else "WHERE"
        (id,) = database.execute(
            f"SELECT max({column}) FROM {where} {also} {column} BETWEEN 0 AND ?", (MAX_ID - 1,)
        ).fetchone()
        largest = max(largest, id if isinstance(id, int) else 0)
    return largest + 1


class DatabaseSchema(NamedTuple):
    """What a database file must be: `table`, which `sql_file` creates, must have `columns`.

    The first column is the number `id`. `mend` takes a row of these columns, its texts as
    `decode_text` gives them, and returns the same row, one without what was damaged, or None for a
    row that is lost. After a power cut synchronous "FULL" has lost no committed row, "NORMAL"
    perhaps the last ones; neither damages the file. `patience` is how many seconds to wait for
    another program's lock. `upgrade` is the statement that turns version 0 into 1, once `sql_file`
    has run too; without it there is only version 0.
    """

    what: str
    sql_file: Path
    table: str
    columns: str
    synchronous: str
    patience: float
    mend: Callable[[Row], Row | None] = lambda row: row
    upgrade: str = ""

    @property
    def sql(self) -> str:
        """The statements that create all tables and indexes which are not there yet."""
        return self.sql_file.read_text(encoding="utf-8")

    @property
    def version(self) -> int:
        """The newest `user_version` of a file."""
        return int(bool(self.upgrade))


class Rows:
    """Reads the rows of a schema's table, and remembers which of them were damaged.

    `left_out` has the ids of rows that are lost, `mended` of those that are sound in part;
    `unreadable` is True once a page could not be read. The first damage is logged, unless `name`,
    what to call the file, is None.
    """

    def __init__(self, schema: DatabaseSchema, name: str | None, tries: int = _TRIES) -> None:
        self._schema, self._name, self._tries = schema, name, tries
        self.left_out: set[int] = set()
        self.mended: set[int] = set()
        self.unreadable = False

    def read(
        self,
        database: sqlite3.Connection,
        where: str = "1",
        values: tuple[Any, ...] = (),
        *,
        first: int = LOWEST,
        last: int = HIGHEST,
        newest_first: bool = False,
    ) -> Generator[Row, None, None]:
        """Yield the sound rows with ids from `first` to `last`, in ascending or descending order.

        Where a page cannot be read, the remaining range is halved again and again, to reach the
        rows beyond it. The `text_factory` of `database` is `decode_text`. Raises sqlite3.Error
        where the file's content is not at fault.
        """
        # A damaged index would leave rows out without a word.
        select = (
            f"SELECT {self._schema.columns} FROM {self._schema.table} NOT INDEXED WHERE {where} "
        )
        order = f"AND id BETWEEN ? AND ? ORDER BY id{' DESC' * newest_first}"
        ranges, tries = [(first, last)], self._tries
        while ranges:
            low, high = ranges.pop()
            try:
                # For one row a range would read its neighbours too, perhaps on a damaged page.
                is_single = low == high
                query = f"{select}AND id = ?" if is_single else f"{select}{order}"
                ids = (low,) if is_single else (low, high)
                with closing(database.execute(query, (*values, *ids))) as found:
                    for row in found:
                        if newest_first:
                            high = row[0] - 1
                        else:
                            low = row[0] + 1
                        sound = self._check_row(row)
                        if sound is not None:
                            yield sound
                continue
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._log_first(str(error))
                self.unreadable = True
                if str(error).startswith(_NO_TABLE):
                    return
            tries -= 1
            if tries > 0 and low < high:
                middle = (low + high) // 2
                halves = [(low, middle), (middle + 1, high)]
                ranges += halves if newest_first else halves[::-1]

    @property
    def damaged(self) -> bool:
        return bool(self.left_out or self.mended or self.unreadable)

    @property
    def summary(self) -> str:
        """What is damaged, in a few words."""
        counts = (len(self.left_out), "left out"), (len(self.mended), "mended")
        parts = [
            f"{count} {'row' if count == 1 else 'rows'} {what}" for count, what in counts if count
        ]
        return ", ".join([*parts, *["a part that cannot be read"] * self.unreadable])

    @property
    def sentence(self) -> str | None:
        """The damage that was met so far, None for none; the doctor says what to do about it."""
        if not self.damaged:
            return None
        return f"{self._name} is damaged: {self.summary}; the rest is there. Run 'digits doctor'"

    def _check_row(self, row: Row) -> Row | None:
        """Return the row, or what of it is sound, or None; note what was wrong."""
        sound, id = self._schema.mend(row), row[0]
        damaged = self.left_out if sound is None else self.mended if sound != row else None
        if damaged is not None and id not in damaged:
            self._log_first(f"row {id}")
            damaged.add(id)
        return sound

    def _log_first(self, what: str) -> None:
        if self._name and not self.damaged:
            log.warning(
                "%s is damaged (%s): what cannot be told is left out, the rest is there. "
                "Run 'digits doctor'",
                self._name,
                what,
            )

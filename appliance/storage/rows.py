"""Every row of a database passes here: it is sound, mended, or left out and counted.

A flipped bit on the card costs the row that it is in, and where a page of the file cannot be read,
the rows of that page.
"""

import logging
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

Row = tuple[Any, ...]

MOST_NUMBER = 10**12
"""The largest number of a row: what is beyond it was not given by the appliance."""
MOST_TIME = 1e11
"""Unix seconds, in the year 5138."""
LOWEST, HIGHEST = -(2**63), 2**63 - 1
_TRIES = 1000
"""Stretches of numbers that are asked for anew, one after the other, where a page is damaged."""
_PASSING = (
    "unable to open",
    "attempt to write a readonly",
    "database is locked",
    "database or disk is full",
)
"""How SQLite begins what it says of the folder or a lock, and not of what is in the file."""

_HOPELESS = "file is not a database", "malformed database schema", "no such "
"""How it begins what it says of a file in which there is no such table at all."""


def text_of(raw: bytes) -> str | bytes:
    """Return a text of a database, or its bytes where they are not UTF-8: a `text_factory`."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def number_in(value: object, least: float, most: float) -> bool:
    """Tell whether a value of a row is a number from `least` to `most`."""
    return isinstance(value, int | float) and least <= value <= most


def whole_in(value: object, least: int, most: int) -> bool:
    """Tell whether a value of a row is a whole number from `least` to `most`."""
    return isinstance(value, int) and least <= value <= most


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error is of what the file holds."""
    return (
        isinstance(error, sqlite3.DatabaseError)
        and not isinstance(error, sqlite3.ProgrammingError)
        and not str(error).startswith(_PASSING)
    )


def next_number(database: sqlite3.Connection, table: str) -> int:
    """Return the number for a new row: one that was never given, whatever damage has made of them.

    SQLite itself would go on from the largest, and end at 2⁶³ − 1.
    """
    given = 0
    for column, where in (("id", table), ("seq", f"sqlite_sequence WHERE name = '{table}'")):
        also = "AND" if "WHERE" in where else "WHERE"
        (number,) = database.execute(
            f"SELECT max({column}) FROM {where} {also} {column} BETWEEN 0 AND ?", (MOST_NUMBER - 1,)
        ).fetchone()
        given = max(given, number if isinstance(number, int) else 0)
    return given + 1


class DatabaseSchema(NamedTuple):
    """What a database file must be: `table`, with a number `id` in front, must have `columns`.

    `mend` takes a row of these columns, as `text_of` has its texts, and returns it as it is
    sound: the same, one without what was damaged, or None. With synchronous "NORMAL" a power cut
    can lose the last rows, with "FULL" none that was committed; neither damages the file.
    `patience` is how many seconds a lock of another program is waited for. `upgrade` is the
    statement that makes a file of version 0 one of version 1, with the schema's own text; without
    one there is version 0 alone.
    """

    what: str
    schema: Path
    table: str
    columns: str
    synchronous: str
    patience: float
    mend: Callable[[Row], Row | None] = lambda row: row
    upgrade: str = ""

    @property
    def version(self) -> int:
        """The newest version, as it stands in a file's `user_version`."""
        return int(bool(self.upgrade))


class Rows:
    """Reads the rows of a form's table, and knows which of them were damaged.

    `left_out` has the numbers of rows that could not be told, `mended` of those that could in part;
    `unreadable` tells that a page of the file could not be read. Where there is a `name` for the
    file the first damage is logged.
    """

    def __init__(self, form: DatabaseSchema, name: str | None, tries: int = _TRIES) -> None:
        self._form, self._name, self._tries = form, name, tries
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
        """Yield the sound rows with numbers from `first` to `last`, in their order or the other.

        Where a page cannot be read, halves of what is left are asked for, so that what is beyond it
        comes too. `database` has `text_of` for its texts. Raises sqlite3.Error for what is not the
        file's content.
        """
        # By the numbers themselves: an index that is damaged would leave rows out without a word.
        select = f"SELECT {self._form.columns} FROM {self._form.table} NOT INDEXED WHERE {where} "
        order = f"AND id BETWEEN ? AND ? ORDER BY id{' DESC' * newest_first}"
        ranges, tries = [(first, last)], self._tries
        while ranges:
            low, high = ranges.pop()
            try:
                # One alone is asked for so that its neighbours, on another page, are not looked at.
                alone = low == high
                query = f"{select}AND id = ?" if alone else f"{select}{order}"
                numbers = (low,) if alone else (low, high)
                with closing(database.execute(query, (*values, *numbers))) as found:
                    for row in found:
                        if newest_first:
                            high = row[0] - 1
                        else:
                            low = row[0] + 1
                        sound = self._judged(row)
                        if sound is not None:
                            yield sound
                continue
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._unreadable(error)
                if str(error).startswith(_HOPELESS):
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
    def words(self) -> str:
        """Return what is damaged in a few words."""
        counts = (len(self.left_out), "left out"), (len(self.mended), "mended")
        said = [f"{_rows(count)} {what}" for count, what in counts if count]
        return ", ".join([*said, *["a part that cannot be read"] * self.unreadable])

    @property
    def sentence(self) -> str | None:
        """Return what is to be said of the damage that was seen so far, None where there is none.

        What to do is the doctor's to tell.
        """
        if not self.damaged:
            return None
        return f"{self._name} is damaged: {self.words}; the rest is there. Run 'digits doctor'"

    def _judged(self, row: Row) -> Row | None:
        """Return a row as it is sound, None for one that is not; counts what was wrong."""
        sound, number = self._form.mend(row), row[0]
        which = self.left_out if sound is None else self.mended if sound != row else None
        if which is not None and number not in which:
            self._first(f"row {number}")
            which.add(number)
        return sound

    def _unreadable(self, error: sqlite3.Error) -> None:
        self._first(str(error))
        self.unreadable = True

    def _first(self, what: str) -> None:
        if self._name and not self.damaged:
            log.warning(
                "%s is damaged (%s): what cannot be told is left out, the rest is there. "
                "Run 'digits doctor'",
                self._name,
                what,
            )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"

"""The file of captures opened, and what a damaged one still holds: none can be made again."""

import fcntl
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from appliance.database import DamagedError, Form, begun_anew, connect, opened, unusable
from appliance.errors import StateError
from model.files import regular

Row = tuple[object, ...]

COLUMNS = "id, at, label, said, reason, confidence, network, glyph, picture, crc, deleted"
FORM = Form(
    what="the captures",
    schema=Path(__file__).with_name("captures.sql"),
    row=f"SELECT {COLUMNS} FROM captures",
    synchronous="FULL",
    # The page and the nightly training share the file; an import of thousands takes a while.
    patience=5.0,
)
_WIDEST_GAP = 100_000
"""The numbers in a damaged stretch that are asked for one by one."""


def open_captures(file: Path) -> tuple[sqlite3.Connection, str | None, IO[bytes]]:
    """Return the database, what is to be said of it, and what is to stay open as long as it is.

    Raises StateError when it cannot be used, or is damaged while another program has it open.
    """
    try:
        in_use = open(file.with_name(f"{file.name}.lock"), "ab", opener=regular)  # noqa: SIM115
    except OSError as error:
        raise unusable(file, FORM, error) from None
    try:
        # Whoever has the file open holds this, so that nobody puts it aside meanwhile.
        fcntl.flock(in_use, fcntl.LOCK_SH)
        try:
            return opened(file, FORM), None, in_use
        except DamagedError:
            return *_repaired(file, in_use), in_use
    except BaseException:
        in_use.close()
        raise


def _repaired(file: Path, in_use: IO[bytes]) -> tuple[sqlite3.Connection, str | None]:
    try:
        fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateError(
            f"{file}: the captures are damaged, and another program has them open: "
            "stop it ('systemctl stop digits digits-retrain'), then start again"
        ) from None
    try:
        # While this waited for its turn another may have done it.
        return opened(file, FORM), None
    except DamagedError as damage:
        return begun_anew(file, FORM, damage, _rescued)
    finally:
        fcntl.flock(in_use, fcntl.LOCK_SH)


def _rescued(damaged: Path, new: sqlite3.Connection) -> str:
    """Copy every row that can be read and is whole into `new`; tell how many in a few words."""
    saved = 0
    with suppress(sqlite3.DatabaseError), closing(connect(damaged)) as old, new:
        for row in _rows(old):
            # The new file's own checks tell what is whole; a row that is there twice is one.
            with suppress(sqlite3.IntegrityError):
                if _whole(row):
                    new.execute(f"INSERT INTO captures ({COLUMNS}) VALUES ({'?, ' * 10}?)", row)
                    saved += 1
    return f"{saved} captures were saved from it"


def _rows(old: sqlite3.Connection) -> Iterator[Row]:
    """Yield rows from both ends up to the damage, then what there is between, number by number."""
    # A file without any such rows is given up at once.
    old.execute(f"SELECT {COLUMNS} FROM captures LIMIT 1")
    first, last = 0, 2**63 - 1
    select = f"SELECT {COLUMNS} FROM captures NOT INDEXED WHERE id > ? AND id < ? ORDER BY id"
    for row in _while_readable(old, select, first, last):
        first = max(first, _number(row))
        yield row
    for row in _while_readable(old, f"{select} DESC", first, last):
        last = min(last, _number(row))
        yield row
    for number in range(first + 1, min(last, first + _WIDEST_GAP)):
        yield from _while_readable(old, select, number - 1, number + 1)


def _while_readable(old: sqlite3.Connection, select: str, first: int, last: int) -> Iterator[Row]:
    """Yield rows one page after the other until one cannot be read."""
    with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
        yield from old.execute(select, (first, last))


def crc(glyph: bytes, picture: bytes) -> int:
    return zlib.crc32(picture, zlib.crc32(glyph))


def _whole(row: Row) -> bool:
    glyph, picture, kept, _ = row[-4:]
    return isinstance(glyph, bytes) and isinstance(picture, bytes) and crc(glyph, picture) == kept


def _number(row: Row) -> int:
    return row[0] if isinstance(row[0], int) else 0

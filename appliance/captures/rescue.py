"""The file of captures: opened, saved from damage, and what a whole row of it is."""

import fcntl
import json
import sqlite3
import zlib
from pathlib import Path
from typing import IO

from appliance.errors import StateError
from appliance.storage.database import (
    DamagedError,
    NotWritableError,
    open_database,
    open_read_only,
    rescue,
    to_state_error,
)
from appliance.storage.rows import (
    MAX_ID,
    MAX_TIME,
    DatabaseSchema,
    Row,
    is_integer_in,
    is_number_in,
)
from model.files import open_regular

COLUMNS = "id, at, label, said, reason, confidence, network, glyph, picture, crc, deleted"
MOST_PICTURE_BYTES = 32_768


def checksum(row: Row) -> int:
    """Return the CRC-32 of all that a row of COLUMNS has but the checksum itself."""
    number, at, label, said, reason, confidence, network, glyph, picture, _, deleted = row
    deleted = None if deleted is None else float(deleted)
    facts = [number, float(at), label, said, reason, float(confidence), network, deleted]
    return zlib.crc32(json.dumps(facts).encode(), _of_pictures(glyph, picture))


def mended(row: Row) -> Row | None:
    """Return a row of COLUMNS as it is sound, None for one that is damaged.

    Rows of before the checksum was of all columns have one of glyph and picture alone; a reason
    that is no text is mended in those.
    """
    number, at, label, said, reason, confidence, network, glyph, picture, crc, deleted = row
    if not (
        1 <= number <= MAX_ID
        and is_number_in(at, 0, MAX_TIME)
        and is_integer_in(label, 0, 10)
        and (said is None or is_integer_in(said, 0, 9))
        and isinstance(reason, str | bytes | None)
        and len(reason or "") <= 1000
        and is_number_in(confidence, 0, 1)
        and isinstance(network, str)
        and len(network) <= 64
        and isinstance(glyph, bytes)
        and len(glyph) == 784
        and isinstance(picture, bytes)
        and 0 < len(picture) <= MOST_PICTURE_BYTES
        and (deleted is None or is_number_in(deleted, 0, MAX_TIME))
    ):
        return None
    if not isinstance(reason, bytes) and crc == checksum(row):
        return row
    if crc != _of_pictures(glyph, picture):
        return None
    if isinstance(reason, bytes):
        return *row[:4], reason.decode(errors="replace"), *row[5:]
    return row


def _of_pictures(glyph: bytes, picture: bytes) -> int:
    return zlib.crc32(picture, zlib.crc32(glyph))


SCHEMA = DatabaseSchema(
    what="the captures",
    sql_file=Path(__file__).with_name("schema.sql"),
    table="captures",
    columns=COLUMNS,
    synchronous="FULL",
    # The page and the nightly training share the file; an import of thousands takes a while.
    patience=5.0,
    mend=mended,
)


def open_captures(
    file: Path, *, stand_in: bool = False
) -> tuple[sqlite3.Connection, str | None, IO[bytes] | None]:
    """Return the database, what is to be said of it, and what is to stay open as long as it is.

    Raises StateError when it cannot be used, or is damaged while another program has it open; with
    `stand_in` what can be read of it is there all the same, and nothing is added.
    """
    try:
        in_use = open(file.with_name(f"{file.name}.lock"), "ab", opener=open_regular)  # noqa: SIM115
    except OSError as error:
        return *open_read_only(
            file, SCHEMA, to_state_error(file, SCHEMA, error), stand_in=stand_in
        ), None
    try:
        # Whoever has the file open holds this, so that nobody puts it aside meanwhile.
        fcntl.flock(in_use, fcntl.LOCK_SH)
        try:
            return open_database(file, SCHEMA), None, in_use
        except DamagedError as damage:
            try:
                return *_repaired(file, in_use), in_use
            except StateError as error:
                if not stand_in:
                    raise
                why = StateError(f"{error} ({damage})")
                return *open_read_only(file, SCHEMA, why, stand_in=True), in_use
        except NotWritableError as error:
            return *open_read_only(file, SCHEMA, error, stand_in=stand_in), in_use
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
        return open_database(file, SCHEMA), None
    except DamagedError as damage:
        return rescue(file, SCHEMA, damage)
    finally:
        fcntl.flock(in_use, fcntl.LOCK_SH)

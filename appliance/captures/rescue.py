"""Opens the file of captures, rescues a damaged one, and checks its rows."""

import fcntl
import json
import os
import sqlite3
import zlib
from contextlib import suppress
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
MAX_PICTURE_BYTES = 32_768


def checksum(row: Row) -> int:
    """Return the CRC-32 of a row of COLUMNS without its checksum."""
    number, at, label, said, reason, confidence, network, glyph, picture, _, deleted = row
    deleted = None if deleted is None else float(deleted)
    facts = [number, float(at), label, said, reason, float(confidence), network, deleted]
    return zlib.crc32(json.dumps(facts).encode(), _checksum_pictures(glyph, picture))


def mend_row(row: Row) -> Row | None:
    """Return a row of COLUMNS, or what of it is sound, or None for a damaged one.

    Older versions' checksum covers glyph and picture alone: in such a row a reason that is no
    UTF-8 is mended.
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
        and 0 < len(picture) <= MAX_PICTURE_BYTES
        and (deleted is None or is_number_in(deleted, 0, MAX_TIME))
    ):
        return None
    if not isinstance(reason, bytes) and crc == checksum(row):
        return row
    if crc != _checksum_pictures(glyph, picture):
        return None
    if isinstance(reason, bytes):
        return *row[:4], reason.decode(errors="replace"), *row[5:]
    return row


def _checksum_pictures(glyph: bytes, picture: bytes) -> int:
    return zlib.crc32(picture, zlib.crc32(glyph))


SCHEMA = DatabaseSchema(
    what="the captures",
    sql_file=Path(__file__).with_name("schema.sql"),
    table="captures",
    columns=COLUMNS,
    synchronous="FULL",
    # The page and the nightly training share the file; an import of thousands takes a while.
    patience=5.0,
    mend=mend_row,
)


def open_captures(
    file: Path, *, stand_in: bool = False
) -> tuple[sqlite3.Connection, str | None, IO[bytes] | None]:
    """Return the database, a notice for its owner, and the lock to hold as long as it is open.

    Raises StateError where it cannot be used, or is damaged while another program has it open; with
    `stand_in` it is opened read-only instead, or an empty one in its place.
    """
    lock_file = file.with_name(f"{file.name}.lock")
    try:
        lock = open(lock_file, "ab", opener=open_regular)  # noqa: SIM115
    except OSError as error:
        why = to_state_error(file, SCHEMA, error)
        return *open_read_only(file, SCHEMA, why, stand_in=stand_in), None
    try:
        # Every program that has the captures open holds this, so that nobody replaces the file.
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not _is_at(lock_file, lock):
            raise StateError(
                f"{file}: the captures were moved while this waited for them: run it again"
            )
        try:
            return open_database(file, SCHEMA), None, lock
        except DamagedError as damage:
            try:
                return *_rescue_alone(file, lock), lock
            except StateError as error:
                if not stand_in:
                    raise
                why = StateError(f"{error} ({damage})")
                return *open_read_only(file, SCHEMA, why, stand_in=True), lock
        except NotWritableError as error:
            return *open_read_only(file, SCHEMA, error, stand_in=stand_in), lock
    except BaseException:
        lock.close()
        raise


def _is_at(file: Path, lock: IO[bytes]) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(lock.fileno()), file.lstat())
    return False


def _rescue_alone(file: Path, lock: IO[bytes]) -> tuple[sqlite3.Connection, str | None]:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateError(
            f"{file}: the captures are damaged, and another program has them open: "
            "stop it ('systemctl stop digits digits-retrain'), then start again"
        ) from None
    try:
        # Another process may have done it while this one waited for its turn.
        return open_database(file, SCHEMA), None
    except DamagedError as damage:
        return rescue(file, SCHEMA, damage)
    finally:
        fcntl.flock(lock, fcntl.LOCK_SH)

"""The captures: glyphs with the label that a person gave them, in SQLite."""

import hashlib
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.captures.readiness import Readiness
from appliance.captures.rescue import COLUMNS, SCHEMA, checksum, open_captures
from appliance.captures.rescue import MAX_PICTURE_BYTES as MAX_PICTURE_BYTES
from appliance.errors import CaptureError, NoCaptureError, StateError
from appliance.reading import Grey
from appliance.storage.database import lend, to_state_error
from appliance.storage.rows import HIGHEST, LOWEST, MAX_ID, Row, Rows, is_damage, next_id
from model.network import NOT_A_DIGIT

SIDE = 28
RESTORABLE_SECONDS = 86_400.0
"""How long a deleted capture can be restored."""
_BLOCK_ROWS = 256
"""Rows without their pictures that are in memory at once."""
_PAGE_ROWS = 32
"""Rows with their pictures that are in memory at once."""


class Capture(NamedTuple):
    """A glyph uint8 (28, 28), 255 = ink, that a person labelled 0…9, or 10: not a digit.

    `said` is the network's digit, or None where it refused for `reason`; `network` is its sha256.
    `at` is when it was read, in Unix seconds. `picture` is a PNG of the mark's surroundings.
    """

    id: int
    at: float
    label: int
    said: int | None
    reason: str | None
    confidence: float
    network: str
    glyph: Grey
    picture: bytes

    @property
    def corrected(self) -> bool:
        """Whether the network was wrong; a refusal counts as "not a digit"."""
        return self.label != (NOT_A_DIGIT if self.said is None else self.said)

    @property
    def held_out(self) -> bool:
        """Whether it is in the fifth that measures and never trains."""
        return is_held_out(self.glyph.tobytes())


class Block(NamedTuple):
    """Some captures: numbers int64 (n,), glyphs uint8 (n, 784), labels and `said` uint8 (n,).

    In labels and `said` 10 is no digit.
    """

    numbers: npt.NDArray[np.int64]
    glyphs: Grey
    labels: Grey
    said: Grey


def is_held_out(glyph: bytes) -> bool:
    """Decide by the glyph's hash, so that it never changes sides, whatever its label or number."""
    return int(hashlib.sha256(glyph).hexdigest()[:8], 16) % 5 == 0


class Captures:
    """Keeps at most `limit` captures; deleted ones, which can be restored for a day, count too.

    A capture is on the card when `add` returns (WAL, synchronous=FULL). To make room the deleted
    ones go first, then the oldest confirmed ones; a corrected one never goes by itself. A damaged
    file is replaced by one with its sound rows; a row that is damaged later is left out, and stays
    in the file; `notice` says so. With `stand_in` a file that cannot be read counts as empty.
    Threads and processes may share the file. Every method raises StateError where the file cannot
    be used, ClosedError after `close`.
    """

    def __init__(
        self,
        file: Path,
        *,
        limit: int = 5000,
        clock: Callable[[], float] = time.time,
        stand_in: bool = False,
    ) -> None:
        self.file = file
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._rows = Rows(SCHEMA, file.name)
        opened = open_captures(file, stand_in=stand_in)
        self._database, self._open_notice, self._file_lock = opened
        # `_transaction` begins each one.
        self._database.isolation_level = None

    def add(
        self,
        *,
        label: int,
        said: int | None,
        reason: str | None,
        confidence: float,
        network: str,
        glyph: Grey,
        picture: bytes,
        at: float,
    ) -> Capture:
        """Store a capture and return it with its number.

        Raises CaptureError for values out of range, StateError when all others are corrected.
        """
        capture = Capture(0, at, label, said, reason, confidence, network, glyph, picture)
        check_capture(capture)
        with self._transaction() as database:
            self._make_room(database)
            return _insert(database, capture)

    def add_all(self, captures: Iterable[Capture]) -> tuple[int, int]:
        """Add captures under new numbers, all or none; return how many are new, how many known.

        A known one has the glyph, label and time of one that is there. Nothing makes way for them:
        raises StateError when there is not enough room, CaptureError for values out of range.
        """
        added = known = 0
        with self._transaction() as database:
            self._purge(database)
            keys = {
                _key(at, label, glyph)
                for _, at, label, *_, glyph, _, _, deleted in self._rows.read(database)
                if deleted is None
            }
            room = self.limit - _count(database)
            for capture in captures:
                check_capture(capture)
                key = _key(capture.at, capture.label, capture.glyph.tobytes())
                if key in keys:
                    known += 1
                    continue
                keys.add(key)
                added += 1
                if added > room:
                    raise StateError(
                        f"there is room for {room} more captures, and these are more: "
                        "delete some, or raise 'limit' under [captures] in digits.toml"
                    )
                _insert(database, capture)
        return added, known

    @property
    def notice(self) -> str | None:
        """For the owner: what was rescued from the file, or is damaged in it; None for nothing."""
        return " – ".join(filter(None, (self._open_notice, self._rows.sentence))) or None

    def get(self, number: int) -> Capture:
        """Return one capture, also a deleted one; raises NoCaptureError."""
        with self._connection() as database:
            return _to_capture(self._find_row(database, number))

    def relabel(self, number: int, label: int) -> Capture:
        """Give a capture another label and return it; raises NoCaptureError, CaptureError."""
        _check_label(label)
        with self._transaction() as database:
            row = self._find_row(database, number)
            if row[-1] is not None:
                raise _no_capture(number)
            return _to_capture(_update(database, (*row[:2], label, *row[3:])))

    def delete(self, number: int) -> None:
        """Take a capture out; it can be restored for a day. Raises NoCaptureError."""
        self._set_deleted(number, self._clock())

    def restore(self, number: int) -> None:
        """Bring a deleted capture back; raises NoCaptureError when it is gone for good."""
        self._set_deleted(number, None)

    def list_newest(
        self,
        label: int | None = None,
        before: int | None = None,
        limit: int = 50,
        deleted: bool = False,
    ) -> list[Capture]:
        """Return up to `limit` captures with a number below `before`, the newest first."""
        where, values = ("1", ()) if label is None else ("label = ?", (label,))
        last = HIGHEST if before is None else before - 1
        with (
            self._connection() as database,
            closing(self._rows.read(database, where, values, last=last, newest_first=True)) as rows,
        ):
            # Not in the query: the column may be damaged itself.
            wanted = (row for row in rows if (row[-1] is not None) == deleted)
            return [_to_capture(row) for row in islice(wanted, limit)]

    def iter_captures(self) -> Iterator[Capture]:
        """Yield all captures in the order of their numbers, deleted ones left out."""
        first = LOWEST
        while True:
            with (
                self._connection() as database,
                closing(self._rows.read(database, first=first)) as rows,
            ):
                page = list(islice(rows, _PAGE_ROWS))
            yield from (_to_capture(row) for row in page if row[-1] is None)
            if len(page) < _PAGE_ROWS:
                return
            first = page[-1][0] + 1

    def iter_blocks(self) -> Iterator[Block]:
        """Yield all captures as arrays of at most 256 rows, in the order of their numbers."""
        # The pictures are read, as the checksum covers them, but not held in memory.
        rows = (
            (each.id, each.glyph, each.label, NOT_A_DIGIT if each.said is None else each.said)
            for each in self.iter_captures()
        )
        while block := list(islice(rows, _BLOCK_ROWS)):
            numbers, glyphs, labels, said = zip(*block, strict=True)
            yield Block(
                np.array(numbers, np.int64),
                np.array(glyphs).reshape(len(block), -1),
                np.array(labels, np.uint8),
                np.array(said, np.uint8),
            )

    def iter_labelled(self, held_out: bool) -> Iterator[tuple[Grey, Grey]]:
        """Yield glyphs uint8 (n, 784) and labels uint8 (n,) of one side, n from 1 to 256."""
        for block in self.iter_blocks():
            side = _held_out_mask(block.glyphs) == held_out
            if side.any():
                yield block.glyphs[side], block.labels[side]

    def count_labels(self) -> dict[int, int]:
        """Return how many captures each label 0…10 has, deleted ones left out.

        A damaged one counts until it is read.
        """
        damaged = json.dumps(sorted(self._rows.left_out))
        try:
            with self._connection() as database:
                rows = database.execute(
                    "SELECT label, count(*) FROM captures WHERE deleted IS NULL "
                    "AND id NOT IN (SELECT value FROM json_each(?)) GROUP BY label",
                    (damaged,),
                ).fetchall()
        except DamageError:
            # The query reads the index, which may be what is damaged.
            rows = list(Counter(each.label for each in self.iter_captures()).items())
        counts = dict(rows)
        return {label: counts.get(label, 0) for label in range(NOT_A_DIGIT + 1)}

    def measure_readiness(self) -> Readiness:
        """Return how many captures there are to train and to measure with."""
        to_learn = corrected = held_out = 0
        for block in self.iter_blocks():
            side = _held_out_mask(block.glyphs)
            held_out += int(side.sum())
            to_learn += int((~side).sum())
            corrected += int(((block.labels != block.said) & ~side).sum())
        return Readiness(to_learn, corrected, held_out)

    def count_changes(self) -> int:
        """Return a number that grows with every change, whichever process makes it."""
        with self._connection() as database:
            row = database.execute("SELECT number FROM changes WHERE only = 1").fetchone()
            return row[0] if row and isinstance(row[0], int) else 0

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._database.close()
            if self._file_lock is not None:
                self._file_lock.close()

    def _set_deleted(self, number: int, when: float | None) -> None:
        with self._transaction() as database:
            row = self._find_row(database, number)
            # Deleting again does not extend the day.
            since = when if when is None or row[-1] is None else row[-1]
            _update(database, (*row[:-1], since))

    def _find_row(self, database: sqlite3.Connection, number: int) -> Row:
        """Return the row of a number; raises NoCaptureError."""
        with closing(self._rows.read(database, first=number, last=number)) as rows:
            for row in rows:
                return row
        raise _no_capture(number)

    def _make_room(self, database: sqlite3.Connection) -> None:
        """Remove what goes first, until there is room for one more."""
        self._purge(database)
        surplus = _count(database) + 1 - self.limit
        if surplus <= 0:
            return
        order = [
            ("deleted IS NOT NULL", "deleted, id"),
            (f"deleted IS NULL AND label = ifnull(said, {NOT_A_DIGIT})", "id"),
        ]
        for which, first in order:
            # The index may be damaged: each row must meet the condition itself.
            removed = database.execute(
                f"DELETE FROM captures NOT INDEXED WHERE {which} AND id IN "
                f"(SELECT id FROM captures WHERE {which} ORDER BY {first} LIMIT ?)",
                (surplus,),
            )
            surplus -= removed.rowcount
        if surplus > 0:
            raise StateError(
                f"the limit of {self.limit} captures is reached, and all of them are corrections: "
                "export them, then delete some, or raise 'limit' under [captures] in digits.toml"
            )

    def _purge(self, database: sqlite3.Connection) -> None:
        database.execute(
            "DELETE FROM captures NOT INDEXED WHERE deleted < ?1 AND id IN "
            "(SELECT id FROM captures WHERE deleted < ?1)",
            (self._clock() - RESTORABLE_SECONDS,),
        )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with lend(self._database, self._lock) as database:
                yield database
        except sqlite3.Error as error:
            error_class = DamageError if is_damage(error) else StateError
            raise error_class(str(to_state_error(self.file, SCHEMA, error))) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Lend the database for one transaction, which is on the card at the end of the block."""
        with self._connection() as database:
            try:
                with database:
                    database.execute("BEGIN IMMEDIATE")
                    yield database
                    database.execute(
                        "INSERT INTO changes VALUES (1, 1) "
                        f"ON CONFLICT (only) DO UPDATE SET number = number % {MAX_ID} + 1"
                    )
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    # If only the index is damaged, the next change succeeds.
                    with suppress(sqlite3.Error):
                        database.execute("REINDEX")
                raise


class DamageError(StateError):
    """A page of the file cannot be read."""


def check_capture(capture: Capture) -> None:
    """Raise CaptureError for values out of range."""
    _check_label(capture.label)
    glyph, said = capture.glyph, capture.said
    if glyph.dtype != np.uint8 or glyph.shape != (SIDE, SIDE):
        raise CaptureError(f"a glyph is uint8 (28, 28), not {glyph.dtype} {glyph.shape}")
    if said is not None and not 0 <= said <= 9:
        raise CaptureError(f"what the network said is a digit or nothing, not {said}")
    if not 0 <= capture.confidence <= 1:
        raise CaptureError(f"a confidence is from 0 to 1, not {capture.confidence}")
    if not 0 <= capture.at < 1e11:
        raise CaptureError(f"a time is in Unix seconds, not {capture.at}")
    if not 0 < len(capture.picture) <= MAX_PICTURE_BYTES:
        raise CaptureError(
            f"a picture has up to {MAX_PICTURE_BYTES} bytes, not {len(capture.picture)}"
        )


def name_label(label: int) -> str:
    """Return a label in words."""
    return "not a digit" if label == NOT_A_DIGIT else str(label)


def _held_out_mask(glyphs: Grey) -> npt.NDArray[np.bool_]:
    """Return which of the glyphs uint8 (n, 784) are held out, bool (n,)."""
    return np.array([is_held_out(glyph.tobytes()) for glyph in glyphs], bool)


def _check_label(label: int) -> None:
    if not 0 <= label <= NOT_A_DIGIT:
        raise CaptureError(f"a label is a digit from 0 to 9, or 10 for no digit, not {label}")


def _key(at: float, label: int, glyph: bytes) -> tuple[float, int, bytes]:
    return at, label, hashlib.sha256(glyph).digest()


def _no_capture(number: int) -> NoCaptureError:
    return NoCaptureError(f"there is no capture {number}: it was deleted; look at the list anew")


def _count(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT count(*) FROM captures").fetchone()[0])


def _insert(database: sqlite3.Connection, capture: Capture) -> Capture:
    capture = capture._replace(id=next_id(database, "captures"))
    values = tuple({**capture._asdict(), "glyph": capture.glyph.tobytes()}.values())
    row = (*values, checksum((*values, None, None)), None)
    database.execute(f"INSERT INTO captures ({COLUMNS}) VALUES ({'?, ' * 10}?)", row)
    return capture


def _update(database: sqlite3.Connection, row: Row) -> Row:
    """Write label, reason, deletion and a new checksum of a row; return the row."""
    database.execute(
        "UPDATE captures SET label = ?, deleted = ?, reason = ?, crc = ? WHERE id = ?",
        (row[2], row[-1], row[4], checksum(row), row[0]),
    )
    return row


def _to_capture(row: Row) -> Capture:
    number, at, label, said, reason, confidence, network, glyph, picture, _, _ = row
    pixels = np.frombuffer(glyph, np.uint8).reshape(SIDE, SIDE)
    return Capture(number, at, label, said, reason, confidence, network, pixels, picture)

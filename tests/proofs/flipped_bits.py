"""Flips one bit at random places of each database, and looks at what is served and what is said.

    python -m tests.proofs.flipped_bits --count 2000

Beside random places each bit of the file's header is one, its first 100 bytes. For each: the file
is opened as the appliance does, all of it is read in every way there is, something is added, the
doctor looks at it, a backup is made of it, and that is restored. What is served is compared with
what was kept. It fails where anything raises, where a row is lost or wrong without a word, and
where a backup takes damage without one.
"""

import argparse
import io
import json
import logging
import random
import re
import shutil
import sys
import tempfile
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from appliance.backup.contents import DATABASES
from appliance.captures.archive import export_zip
from appliance.captures.store import Captures
from appliance.outputs.history import History
from appliance.reading import Reading
from appliance.storage.database import examine
from appliance.storage.layout import StateDirectory
from appliance.web.views.history import csv_lines
from tests.backups import backup, restore
from tests.captured import PICTURE, glyph

ROWS = 300
LIMIT = 1000
LOOKED_AT = "nothing is added"
"""What is said of a file that is another version's by what stands in it: it is only looked at."""
HEADER = 800
Truth = Counter[tuple[Any, ...]]
"""Each row without its number."""


class Seen:
    """What was served of a database after a bit was flipped, and what was said of it."""

    def __init__(self, rows: list[tuple[Any, ...]], notice: str | None) -> None:
        self.rows, self.notice = Counter(rows), notice


def make_captures(file: Path) -> None:
    with closing(Captures(file)) as captures:
        captures._database.execute("PRAGMA synchronous = OFF")
        for each in range(ROWS):
            said = None if each % 3 == 0 else each % 10
            captures.add(
                label=each % 11,
                said=said,
                reason="unsure between 4 and 9 – «écrit»" if said is None else None,
                confidence=each / ROWS,
                network=f"{each:064x}",
                glyph=glyph(each),
                picture=PICTURE + bytes([each % 256]) * (each * 37 % 3000),
                at=1e9 + each,
            )
        for each in range(10, ROWS, 50):
            captures.delete(each)


def make_history(file: Path) -> None:
    with closing(History(file, limit=LIMIT)) as history:
        for each in range(ROWS):
            shown = None if each % 3 == 0 else each % 10
            history._shown = -1
            history.show(
                Reading(
                    at=1e9 + 60 * each,
                    settled=shown,
                    reason="blurred – «flou»" if shown is None else None,
                    confidence=each / ROWS,
                    glyph=glyph(each).astype(np.float32) / np.float32(255),
                )
            )


def of_capture(row: Any) -> tuple[Any, ...]:
    return (*row[1:7], row.glyph.tobytes(), row.picture)


def of_entry(row: Any) -> tuple[Any, ...]:
    return (*row[1:5], None if row.glyph is None else row.glyph.tobytes())


def look_at_captures(file: Path) -> Seen:
    with closing(Captures(file, stand_in=True)) as captures:
        every = list(captures.iter_captures())
        listed, before = [], None
        while page := captures.list_newest(before=before):
            listed += page
            before = page[-1].id
        by_label = [each for label in range(11) for each in captures.list_newest(label, limit=ROWS)]
        numbers = [each.id for each in every]
        assert [each.id for each in listed] == numbers[::-1]
        assert sorted(each.id for each in by_label) == numbers
        assert [int(each) for block in captures.iter_blocks() for each in block.numbers] == numbers
        counts = captures.count_labels()
        assert sum(counts.values()) == len(every), (counts, len(every))
        enough = captures.measure_readiness()
        assert enough.to_learn + enough.held_out == len(every)
        zipped = io.BytesIO()
        assert export_zip(captures, zipped) == len(every)
        with zipfile.ZipFile(zipped) as archive:
            told = [json.loads(each) for each in archive.read("captures.jsonl").splitlines()]
        assert [each["id"] for each in told] == numbers
        captures.list_newest(deleted=True)
        notice = captures.notice
        one = every[0]
        change = captures.count_changes()
        if notice and LOOKED_AT in notice:
            return Seen([of_capture(each) for each in every], notice)
        new = captures.add(
            label=3, said=4, reason=None, confidence=0.5, network="", glyph=one.glyph,
            picture=one.picture, at=5.0,
        )  # fmt: skip
        assert captures.get(new.id).label == 3
        assert captures.relabel(new.id, 4).label == 4
        assert captures.count_changes() != change
        captures.delete(new.id)
    return Seen([of_capture(each) for each in every], notice)


def look_at_history(file: Path) -> Seen:
    with closing(History(file, limit=LIMIT)) as history:
        every, before = [], None
        while page := history.list_newest(100, before=before):
            every += page
            before = page[-1].id
        by_answer = [
            each for answer in range(11) for each in history.list_newest(LIMIT, answer=answer)
        ]
        assert sorted(each.id for each in by_answer) == [each.id for each in every[::-1]]
        assert len(list(csv_lines(history))) == len(every) + 1
        shown = sum(each.digit is not None and 1e9 <= each.at < 1e9 + 3600 * 24 for each in every)
        assert sum(history.count_per_hour(1e9, 24)) == shown
        notice = history.notice
        if notice and LOOKED_AT in notice:
            return Seen([of_entry(each) for each in every], notice)
        history._shown = -1
        history.show(Reading(at=5.0, settled=3))
        assert history.list_newest(1)[0].at == 5.0
        assert len(history.list_newest(LIMIT)) == len(every) + 1
    return Seen([of_entry(each) for each in every], notice)


LOOKS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Seen]]] = {
    "captures.db": (make_captures, look_at_captures),
    "history.db": (make_history, look_at_history),
}


def judge(seen: Seen, truth: Truth) -> tuple[str, int, int]:
    """Return what became of it, how many rows were lost, and how many are served wrong."""
    lost, wrong = (truth - seen.rows).total(), (seen.rows - truth).total()
    lost -= min(lost, wrong)
    if seen.notice is None:
        return ("whole" if not lost and not wrong else "without a word"), lost, wrong
    if LOOKED_AT in seen.notice:
        return "only looked at, and said", lost, wrong
    if "was damaged" in seen.notice:
        return "rescued and said", lost, wrong
    return ("mended and said" if "mended" in seen.notice else "left out and said"), lost, wrong


def try_bit(name: str, base: Path, truth: Truth, state: Path, place: int) -> tuple[str, int, int]:
    """Flip a bit of a copy, and do with it what the appliance does with it."""
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    raw = bytearray(base.read_bytes())
    raw[place // 8] ^= 1 << place % 8
    (state / name).write_bytes(raw)
    # A backup of what no program has opened yet takes no damage without a word either.
    made = None
    try:
        made = backup(state / "b.zip", state, None)
    except OSError as error:
        if not re.search("no backup is written|this appliance knows", str(error)):
            raise
    _, damage = examine(state / name, DATABASES[name])
    seen = LOOKS[name][1](state / name)
    found = judge(seen, truth)
    if made is not None:
        # It rebuilds a file with another version in its header too, which no row shows.
        assert made.left_out or damage is None, damage
        back = state / "back"
        done = restore(state / "b.zip", back, None)
        assert not done.left_out
        again = judge(LOOKS[name][1](StateDirectory(back).knowledge / name), truth)
        assert again[0] in ("whole", "without a word"), again
        assert again[0] == "whole" or made.left_out or found[0] == "without a word"
    return found


def run(
    name: str, count: int, header: int, seed: int, folder: Path
) -> tuple[Counter[str], list[str]]:
    """Return how often each came of a database's bits, and what failed."""
    rng, base = random.Random(seed), folder / name
    make, look = LOOKS[name]
    make(base)
    copy = folder / f"copy-{name}"
    shutil.copyfile(base, copy)
    truth = look(copy).rows
    logging.disable(logging.CRITICAL)
    came, failed, most = Counter[str](), [], 0
    bits = 8 * base.stat().st_size
    for place in [*range(header), *(rng.randrange(bits) for _ in range(count))]:
        try:
            what, lost, wrong = try_bit(name, base, truth, folder / "state", place)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            came["raised"] += 1
            failed.append(f"{name}, bit {place}: {said}")
            continue
        came[what] += 1
        came["rows lost, all of them said"] += lost if what.endswith("said") else 0
        most = max(most, lost)
        # A row that is mended is told with what was damaged in it replaced, and is said.
        if what == "without a word" or (wrong and "mended" not in what):
            failed.append(f"{name}, bit {place}: {lost} rows lost, {wrong} wrong, {what}")
    logging.disable(logging.NOTSET)
    came["rows lost at most by one bit"] = most
    return came, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="bits of each database")
    parser.add_argument("--header", type=int, default=HEADER, help="bits of each one's header")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=LOOKS, help="one of the databases")
    args = parser.parse_args()
    bad, names = 0, [args.only] if args.only else list(LOOKS)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            came, failed = run(name, args.count, args.header, args.seed, Path(folder))
            print(f"{name}, {ROWS} rows, {args.header} bits of its header, {args.count} others:")
        for what, times in sorted(came.items()):
            print(f"  {what}: {times}")
        for sentence in failed[:20]:
            print(f"  FAILED {sentence}")
        bad += len(failed)
    print(f"{len(names) * (args.header + args.count) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""The captures: kept, in order, within their limit, and saved from damage."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.captures.store import RESTORABLE_SECONDS, Captures
from appliance.errors import CaptureError, NoCaptureError, StateError
from model.network import NOT_A_DIGIT
from tests.captured import PICTURE, add_capture, glyph
from tests.conftest import ROOT


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """Captures with room for five, and a clock that the test sets."""

    class Now:
        now = 1e9

    clock = Now()
    captures = Captures(tmp_path / "small.db", limit=5, clock=lambda: clock.now)
    yield captures, clock
    captures.close()


def test_what_is_added_comes_back(captures: Captures) -> None:
    one = add_capture(captures, label=4, said=9)
    back = captures.get(one.id)
    assert back.glyph.dtype == np.uint8
    np.testing.assert_array_equal(back.glyph, glyph(0))
    assert (back.label, back.said, back.reason, back.confidence) == (4, 9, None, 0.75)
    assert (back.at, back.network, back.picture) == (1000.5, "ab" * 32, PICTURE)
    assert back.corrected


def test_it_is_there_after_a_restart_and_flushed_at_each_change(tmp_path: Path) -> None:
    first = Captures(tmp_path / "c.db")
    number = add_capture(first).id
    assert first._database.execute("PRAGMA synchronous").fetchone() == (2,)
    first.close()
    first.close()
    second = Captures(tmp_path / "c.db")
    assert second.get(number).label == 7
    second.close()


@pytest.mark.parametrize(
    ("label", "said", "corrected"),
    [(7, 7, False), (7, 1, True), (7, None, True), (NOT_A_DIGIT, None, False)]
    + [(NOT_A_DIGIT, 3, True)],
)
def test_a_refusal_counts_as_having_said_no_digit(
    captures: Captures, label: int, said: int | None, corrected: bool
) -> None:
    assert add_capture(captures, label=label, said=said).corrected is corrected


@pytest.mark.parametrize(
    "changed",
    [
        {"label": 11},
        {"label": -1},
        {"said": 10},
        {"confidence": float("nan")},
        {"confidence": 1.1},
        {"at": float("inf")},
        {"at": -1.0},
        {"glyph": np.zeros((28, 28), np.float32)},
        {"glyph": np.zeros((27, 28), np.uint8)},
        {"picture": b""},
        {"picture": b"x" * 40_000},
    ],
)
def test_a_value_out_of_range_is_a_sentence(captures: Captures, changed: dict[str, Any]) -> None:
    with pytest.raises(CaptureError, match=r", not |28"):
        add_capture(captures, **changed)
    assert captures.list_newest() == []


def test_the_list_is_the_newest_first_by_label_and_in_pages(captures: Captures) -> None:
    for label in (1, 2, 1, 3, 1):
        add_capture(captures, label=label)
    assert [each.id for each in captures.list_newest()] == [5, 4, 3, 2, 1]
    assert [each.id for each in captures.list_newest(label=1)] == [5, 3, 1]
    assert [each.id for each in captures.list_newest(label=1, before=5, limit=1)] == [3]
    assert captures.count_labels() == {**dict.fromkeys(range(11), 0), 1: 3, 2: 1, 3: 1}


def test_another_label_makes_a_correction_of_it(captures: Captures) -> None:
    one = add_capture(captures)
    assert captures.relabel(one.id, 1).corrected
    assert captures.get(one.id).label == 1
    with pytest.raises(CaptureError, match="a label is a digit from 0 to 9"):
        captures.relabel(one.id, 12)
    with pytest.raises(NoCaptureError, match="there is no capture 99"):
        captures.relabel(99, 1)


def test_a_deleted_one_can_be_restored_for_a_day(small: Any) -> None:
    captures, clock = small
    one, two = add_capture(captures), add_capture(captures)
    captures.delete(one.id)
    captures.delete(one.id)
    assert [each.id for each in captures.list_newest()] == [two.id]
    assert [each.id for each in captures.list_newest(deleted=True)] == [one.id]
    assert captures.count_labels()[7] == 1
    with pytest.raises(NoCaptureError):
        captures.relabel(one.id, 3)
    captures.restore(one.id)
    captures.restore(one.id)
    assert captures.count_labels()[7] == 2
    captures.delete(one.id)
    clock.now += RESTORABLE_SECONDS - 1
    add_capture(captures)
    assert len(captures.list_newest(deleted=True)) == 1
    clock.now += 2
    add_capture(captures)
    assert captures.list_newest(deleted=True) == []
    with pytest.raises(NoCaptureError):
        captures.restore(one.id)


def test_for_room_the_deleted_go_then_the_oldest_confirmed_and_no_corrected_one(
    small: Any,
) -> None:
    captures, _ = small
    for label in (1, 7, 2, 7, 3):
        add_capture(captures, label=label)
    captures.delete(5)
    add_capture(captures, label=4)
    assert [each.id for each in captures.list_newest()] == [6, 4, 3, 2, 1]
    with pytest.raises(NoCaptureError):
        captures.restore(5)
    add_capture(captures, label=5)
    add_capture(captures, label=6)
    assert [each.label for each in captures.list_newest()] == [6, 5, 4, 2, 1]
    change = captures.count_changes()
    with pytest.raises(StateError, match=r"limit of 5 captures .* export them, then delete some"):
        add_capture(captures, label=7)
    assert [each.label for each in captures.list_newest()] == [6, 5, 4, 2, 1]
    assert captures.count_changes() == change


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    limit=st.integers(1, 6),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "correct", "delete", "restore", "relabel"]), st.integers(1, 12)
        ),
        max_size=30,
    ),
)
def test_whatever_is_done_it_keeps_the_limit_and_every_correction(
    limit: int, steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    captures = Captures(tmp_path_factory.mktemp("c") / "c.db", limit=limit, clock=lambda: 1e9)
    kept: set[int] = set()
    for step, number in steps:
        try:
            if step in ("add", "correct"):
                one = add_capture(captures, label=7 if step == "add" else 3)
                kept |= {one.id} if one.corrected else set()
            elif step == "delete":
                captures.delete(number)
                kept.discard(number)
            elif step == "restore":
                captures.restore(number)
                kept |= {number} if captures.get(number).corrected else set()
            else:
                kept |= {captures.relabel(number, 2).id}
        except NoCaptureError:
            assert number not in kept
        except StateError:
            assert len(kept) == limit
        there = {each.id: each for each in captures.list_newest(limit=100)}
        assert len(there) + len(captures.list_newest(limit=100, deleted=True)) <= limit
        assert {number for number, each in there.items() if each.corrected} == kept
        assert sum(captures.count_labels().values()) == len(there)
    captures.close()


def test_the_rows_to_learn_from_and_those_held_out_are_all_and_never_change_sides(
    tmp_path: Path,
) -> None:
    captures = Captures(tmp_path / "c.db")
    everything = [add_capture(captures, label=each % 11, glyph=glyph(each)) for each in range(600)]
    captures.delete(3)
    del everything[2]
    for side in (False, True):
        blocks = list(captures.iter_labelled(side))
        assert all(1 <= len(glyphs) == len(labels) <= 256 for glyphs, labels in blocks)
        glyphs = np.concatenate([glyphs for glyphs, _ in blocks])
        labels = np.concatenate([labels for _, labels in blocks])
        assert (glyphs.dtype, labels.dtype) == (np.uint8, np.uint8)
        wanted = [each for each in everything if each.held_out is side]
        np.testing.assert_array_equal(glyphs, [each.glyph.ravel() for each in wanted])
        assert labels.tolist() == [each.label for each in wanted]
    held = [each for each in everything if each.held_out]
    assert 80 < len(held) < 160
    assert captures.relabel(held[0].id, 5).held_out
    captures.close()


def test_the_number_of_changes_grows_with_each_and_with_another_programs(tmp_path: Path) -> None:
    one, two = Captures(tmp_path / "c.db"), Captures(tmp_path / "c.db")
    seen = [one.count_changes()]
    steps: list[Callable[[], object]] = [
        lambda: add_capture(two), lambda: two.relabel(1, 3), lambda: two.delete(1),
        lambda: two.restore(1),
    ]  # fmt: skip
    for step in steps:
        step()
        seen.append(one.count_changes())
    assert seen == sorted(set(seen))
    one.close()
    two.close()


def test_threads_may_share_it(captures: Captures) -> None:
    def add() -> None:
        for _ in range(10):
            add_capture(captures)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert captures.count_labels()[7] == 40


ADDING = """
import sys
from pathlib import Path
import numpy as np
from appliance.captures.store import Captures
captures = Captures(Path(sys.argv[1]))
values = {"said": 7, "reason": None, "confidence": 0.75, "network": "", "picture": bytes(4000)}
glyph = np.zeros((28, 28), np.uint8)
while True:
    print(captures.add(label=7, glyph=glyph, at=1000.0, **values).id, flush=True)
"""


@pytest.mark.slow
def test_what_was_kept_outlives_a_kill_at_any_instant(tmp_path: Path) -> None:
    file = tmp_path / "c.db"
    rng = np.random.default_rng(5)
    promised: set[int] = set()
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", ADDING, str(file)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        promised.add(int(process.stdout.readline()))
        killer = threading.Timer(float(rng.uniform(0.001, 0.15)), process.kill)
        killer.start()
        promised |= {int(line) for line in process.stdout if line.endswith("\n")}
        assert process.wait(30) == -signal.SIGKILL
        killer.join()
        process.stdout.close()
    captures = Captures(file)
    assert captures.notice is None
    assert promised <= {each.id for each in captures.iter_captures()}
    assert len(promised) > 5
    captures.close()


def damaged(file: Path, count: int = 60) -> None:
    """Write captures, and then noise over two pages in their midst."""
    captures = Captures(file)
    for each in range(count):
        add_capture(captures, label=each % 10, glyph=glyph(each), picture=PICTURE + bytes(3000))
    captures.close()
    scratch(file)


def scratch(file: Path) -> None:
    with open(file, "r+b") as disk:
        disk.seek(file.stat().st_size // 8192 * 4096)
        disk.write(b"\xee" * 8192)


def test_from_a_damaged_file_the_rest_is_saved_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "c.db"
    damaged(file)
    damage = file.read_bytes()
    captures = Captures(file)
    saved = list(captures.iter_captures())
    assert 50 <= len(saved) < 60
    for each in saved:
        np.testing.assert_array_equal(each.glyph, glyph(each.id - 1))
        assert each.label == (each.id - 1) % 10
    (aside,) = tmp_path.glob("c.db.damaged-*")
    assert aside.read_bytes() == damage
    assert captures.notice is not None
    assert f"{len(saved)} rows were saved from it" in captures.notice
    assert captures.notice in caplog.text
    assert add_capture(captures).id > 0
    captures.close()


def test_what_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"no database " * 1000)
    captures = Captures(tmp_path / "c.db")
    assert "0 rows were saved" in (captures.notice or "")
    assert add_capture(captures).id == 1
    captures.close()


def test_a_damaged_file_that_another_program_has_open_stays_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "c.db"
    other = Captures(file)
    for _ in range(60):
        add_capture(other)
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    scratch(file)
    with pytest.raises(StateError, match="another program has them open: stop it"):
        Captures(file)
    assert list(tmp_path.glob("c.db.damaged-*")) == []
    other.close()
    Captures(file).close()
    assert len(list(tmp_path.glob("c.db.damaged-*"))) == 1


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"the captures cannot be used .*--state DIR"):
        Captures(tmp_path / "nowhere" / "c.db")


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(captures: Captures) -> None:
    add_capture(captures)
    pages = captures._database.execute("PRAGMA page_count").fetchone()[0]
    captures._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError, match=r"database or disk is full.*check the disk"):
        add_capture(captures, picture=PICTURE + bytes(30_000))
    assert 1 in {each.id for each in captures.list_newest()}
    captures._database.execute("PRAGMA max_page_count = 100000")
    add_capture(captures)


def test_another_programs_lock_is_waited_for(captures: Captures) -> None:
    other = sqlite3.connect(captures.file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, other.rollback)
    release.start()
    add_capture(captures)
    release.join()
    other.close()

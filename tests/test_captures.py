import io
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from appliance.__main__ import main
from appliance.captures import KEPT_DELETED, Capture, Captures
from appliance.captures_enough import Enough
from appliance.captures_report import Reports, near_duplicates, report
from appliance.captures_zip import Imported, export_zip, import_zip
from appliance.errors import CaptureError, NoCaptureError, StateError
from model.network import NOT_A_DIGIT
from tests.conftest import ROOT, digits_in_mnist_form


def png(grey: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


PICTURE = png(np.full((120, 160), 200, np.uint8))


def glyph(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)


def added(captures: Captures, label: int = 7, said: int | None = 7, **changed: Any) -> Capture:
    values = {
        "reason": "unsure between 4 and 9" if said is None else None,
        "confidence": 0.75,
        "network": "ab" * 32,
        "glyph": glyph(sum(captures.counts().values())),
        "picture": PICTURE,
        "at": 1000.5,
    }
    return captures.add(label=label, said=said, **{**values, **changed})


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
    one = added(captures, label=4, said=9)
    back = captures.get(one.id)
    assert back.glyph.dtype == np.uint8
    np.testing.assert_array_equal(back.glyph, glyph(0))
    assert (back.label, back.said, back.reason, back.confidence) == (4, 9, None, 0.75)
    assert (back.at, back.network, back.picture) == (1000.5, "ab" * 32, PICTURE)
    assert back.corrected


def test_it_is_there_after_a_restart_and_flushed_at_each_change(tmp_path: Path) -> None:
    first = Captures(tmp_path / "c.db")
    number = added(first).id
    assert first._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert first._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
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
    assert added(captures, label=label, said=said).corrected is corrected


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
        added(captures, **changed)
    assert captures.listing() == []


def test_the_list_is_the_newest_first_by_label_and_in_pages(captures: Captures) -> None:
    for label in (1, 2, 1, 3, 1):
        added(captures, label=label)
    assert [each.id for each in captures.listing()] == [5, 4, 3, 2, 1]
    assert [each.id for each in captures.listing(label=1)] == [5, 3, 1]
    assert [each.id for each in captures.listing(label=1, before=5, limit=1)] == [3]
    assert captures.counts() == {**dict.fromkeys(range(11), 0), 1: 3, 2: 1, 3: 1}


def test_another_label_makes_a_correction_of_it(captures: Captures) -> None:
    one = added(captures)
    assert captures.relabel(one.id, 1).corrected
    assert captures.get(one.id).label == 1
    with pytest.raises(CaptureError, match="a label is a digit from 0 to 9"):
        captures.relabel(one.id, 12)
    with pytest.raises(NoCaptureError, match="there is no capture 99"):
        captures.relabel(99, 1)


def test_a_deleted_one_can_be_restored_for_a_day(small: Any) -> None:
    captures, clock = small
    one, two = added(captures), added(captures)
    captures.delete(one.id)
    captures.delete(one.id)
    assert [each.id for each in captures.listing()] == [two.id]
    assert [each.id for each in captures.listing(deleted=True)] == [one.id]
    assert captures.counts()[7] == 1
    with pytest.raises(NoCaptureError):
        captures.relabel(one.id, 3)
    captures.restore(one.id)
    captures.restore(one.id)
    assert captures.counts()[7] == 2
    captures.delete(one.id)
    clock.now += KEPT_DELETED - 1
    added(captures)
    assert len(captures.listing(deleted=True)) == 1
    clock.now += 2
    added(captures)
    assert captures.listing(deleted=True) == []
    with pytest.raises(NoCaptureError):
        captures.restore(one.id)


def test_for_room_the_deleted_go_then_the_oldest_confirmed_and_no_corrected_one(
    small: Any,
) -> None:
    captures, _ = small
    for label in (1, 7, 2, 7, 3):
        added(captures, label=label)
    captures.delete(5)
    added(captures, label=4)
    assert [each.id for each in captures.listing()] == [6, 4, 3, 2, 1]
    with pytest.raises(NoCaptureError):
        captures.restore(5)
    added(captures, label=5)
    added(captures, label=6)
    assert [each.label for each in captures.listing()] == [6, 5, 4, 2, 1]
    change = captures.change()
    with pytest.raises(StateError, match=r"limit of 5 captures .* export them, then delete some"):
        added(captures, label=7)
    assert [each.label for each in captures.listing()] == [6, 5, 4, 2, 1]
    assert captures.change() == change


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
                one = added(captures, label=7 if step == "add" else 3)
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
        there = {each.id: each for each in captures.listing(limit=100)}
        assert len(there) + len(captures.listing(limit=100, deleted=True)) <= limit
        assert {number for number, each in there.items() if each.corrected} == kept
        assert sum(captures.counts().values()) == len(there)
    captures.close()


def test_the_rows_to_learn_from_and_those_held_out_are_all_and_never_change_sides(
    tmp_path: Path,
) -> None:
    captures = Captures(tmp_path / "c.db")
    everything = [added(captures, label=each % 11, glyph=glyph(each)) for each in range(600)]
    captures.delete(3)
    del everything[2]
    for side in (False, True):
        blocks = list(captures.labelled(side))
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
    seen = [one.change()]
    steps: list[Callable[[], object]] = [
        lambda: added(two), lambda: two.relabel(1, 3), lambda: two.delete(1),
        lambda: two.restore(1),
    ]  # fmt: skip
    for step in steps:
        step()
        seen.append(one.change())
    assert seen == sorted(set(seen))
    one.close()
    two.close()


def test_threads_may_share_it(captures: Captures) -> None:
    def add() -> None:
        for _ in range(10):
            added(captures)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert captures.counts()[7] == 40


ADDING = """
import sys
from pathlib import Path
import numpy as np
from appliance.captures import Captures
captures = Captures(Path(sys.argv[1]))
values = {"said": 7, "reason": None, "confidence": 0.75, "network": "", "picture": bytes(4000)}
glyph = np.zeros((28, 28), np.uint8)
while True:
    print(captures.add(label=7, glyph=glyph, at=1000.0, **values).id, flush=True)
"""


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
    assert promised <= {each.id for each in captures.every()}
    assert len(promised) > 5
    captures.close()


def damaged(file: Path, count: int = 60) -> None:
    """Write captures, and then noise over two pages in their midst."""
    captures = Captures(file)
    for each in range(count):
        added(captures, label=each % 10, glyph=glyph(each), picture=PICTURE + bytes(3000))
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
    saved = list(captures.every())
    assert 50 <= len(saved) < 60
    for each in saved:
        np.testing.assert_array_equal(each.glyph, glyph(each.id - 1))
        assert each.label == (each.id - 1) % 10
    (aside,) = tmp_path.glob("c.db.damaged-*")
    assert aside.read_bytes() == damage
    assert captures.notice is not None
    assert f"{len(saved)} captures were saved from it" in captures.notice
    assert captures.notice in caplog.text
    assert added(captures).id > 0
    captures.close()


def test_what_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"no database " * 1000)
    captures = Captures(tmp_path / "c.db")
    assert "0 captures were saved" in (captures.notice or "")
    assert added(captures).id == 1
    captures.close()


def test_a_damaged_file_that_another_program_has_open_stays_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "c.db"
    other = Captures(file)
    for _ in range(60):
        added(other)
    other._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
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
    added(captures)
    pages = captures._database.execute("PRAGMA page_count").fetchone()[0]
    captures._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError, match=r"database or disk is full.*check the disk"):
        added(captures, picture=PICTURE + bytes(30_000))
    assert 1 in {each.id for each in captures.listing()}
    captures._database.execute("PRAGMA max_page_count = 100000")
    added(captures)


# ---- the report ----


def says(answers: dict[bytes, tuple[int, float]]) -> Any:
    """Return a network's probabilities that are given for glyphs; all else is a sure 7."""

    def probabilities(glyphs: Any) -> Any:
        assert (glyphs.dtype, glyphs.shape[1]) == (np.float32, 784)
        assert 0 <= glyphs.min() <= glyphs.max() <= 1
        shares = np.zeros((len(glyphs), 11), np.float32)
        for row, each in zip(shares, np.rint(glyphs * 255).astype(np.uint8), strict=True):
            label, share = answers.get(each.tobytes(), (7, 1.0))
            row[:] = (1 - share) / 10
            row[label] = share
        return shares

    return probabilities


def test_the_report_doubts_what_the_network_is_sure_of_being_another(captures: Captures) -> None:
    for each, label in enumerate((7, 7, 7, 3)):
        added(captures, label=label, glyph=glyph(each))
    answers = {glyph(1).tobytes(): (1, 0.95), glyph(2).tobytes(): (1, 0.85)}
    found = report(captures, says(answers))
    told = [(each.id, each.label, each.looks_like) for each in found.mislabelled]
    assert told == [(2, 7, 1), (4, 3, 7)]
    assert (found.counts[7], found.counts[3], found.enough) == (3, 1, False)
    assert "2 captures may be mislabelled" in " ".join(found.sentences)


def test_a_report_of_nothing_is_made(captures: Captures) -> None:
    found = report(captures, says({}))
    assert (sum(found.counts.values()), found.alike, found.enough) == (0, (), False)


@pytest.mark.parametrize(
    ("worth", "enough", "said"),
    [
        (Enough(20, 5, 3), True, "There are enough captures for a night: 20 captures to learn"),
        (Enough(19, 5, 3), False, "It takes 1 more to learn from."),
        (Enough(100, 4, 9), False, "It takes 1 more corrected."),
        (Enough(20, 5, 0), False, "It takes 3 more to measure with"),
    ],
)
def test_enough_is_said_with_what_is_missing(worth: Enough, enough: bool, said: str) -> None:
    assert worth.enough is enough
    assert said in worth.sentence


def test_enough_is_counted_on_both_sides(captures: Captures) -> None:
    kept = [added(captures, label=each % 2 * 7, glyph=glyph(each)) for each in range(40)]
    worth = captures.enough()
    learned = [each for each in kept if not each.held_out]
    assert (worth.to_learn, worth.held_out) == (len(learned), 40 - len(learned))
    assert worth.corrected == sum(each.corrected for each in learned)


def test_near_duplicates_are_the_same_drawing_again_and_not_another_of_the_digit() -> None:
    images, labels = digits_in_mnist_form(60, seed=3)
    # One of each digit: these are drawn so alike that two of a digit can be the same drawing.
    images = images[np.unique(labels, return_index=True)[1]]
    again = np.clip(
        images[:3].astype(int) + np.random.default_rng(0).normal(0, 6, (3, 28, 28)), 0, 255
    )
    glyphs = np.concatenate([images, again.astype(np.uint8)]).reshape(-1, 784)
    count = len(images)
    assert near_duplicates(glyphs) == [[each, count + each] for each in range(3)]
    assert near_duplicates(glyphs[:0]) == []
    assert near_duplicates(np.zeros((300, 784), np.uint8)) == [list(range(300))]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 40), noise=st.floats(1, 40))
def test_near_duplicates_are_those_that_every_pair_compared_gives(
    seed: int, count: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (4, 784))
    rows = base[rng.integers(0, 4, count)] + rng.normal(0, noise, (count, 784))
    glyphs = np.clip(rows, 0, 255).astype(np.uint8)
    exact = glyphs.astype(float)
    lengths = (exact**2).sum(1)
    apart = ((exact[:, None] - exact[None]) ** 2).sum(2)
    near = apart <= 0.01 * (lengths[:, None] + lengths[None])
    for _ in range(count):
        near = near @ near
    wanted = {tuple(np.flatnonzero(row).tolist()) for row in near if row.sum() > 1}
    assert {tuple(group) for group in near_duplicates(glyphs)} == wanted


def test_the_report_is_made_once_for_each_state_and_network(captures: Captures) -> None:
    asked: list[int] = []

    def probabilities(glyphs: Any) -> Any:
        asked.append(len(glyphs))
        return says({})(glyphs)

    reports = Reports(captures)
    for each in range(5):
        added(captures, glyph=glyph(each))
    first = reports.newest("a", probabilities)
    assert reports.newest("a", probabilities) is first
    assert asked == [5]
    added(captures, glyph=glyph(9))
    assert reports.newest("a", probabilities) is not first
    # Of what it said before the network is not asked again.
    assert asked == [5, 1]
    reports.newest("b", probabilities)
    assert asked == [5, 1, 6]


def test_a_second_who_asks_for_the_report_meanwhile_does_not_wait(captures: Captures) -> None:
    added(captures)
    reports = Reports(captures)
    inner: list[Any] = []

    def probabilities(glyphs: Any) -> Any:
        inner.append(reports.newest("a", probabilities))
        return says({})(glyphs)

    assert reports.newest("a", probabilities) is not None
    assert inner == [None]


# ---- out and in ----


def exported(captures: Captures) -> io.BytesIO:
    file = io.BytesIO()
    export_zip(captures, file)
    return file


def test_an_export_comes_in_again_whole(captures: Captures, tmp_path: Path) -> None:
    for each, label in enumerate((1, 7, NOT_A_DIGIT)):
        added(captures, label=label, said=None if label == 1 else 7, glyph=glyph(each))
    captures.delete(2)
    file = exported(captures)
    other = Captures(tmp_path / "other.db")
    added(other, glyph=glyph(50))
    assert import_zip(other, file, "it") == Imported(added=2, known=0)
    assert import_zip(other, file, "it") == Imported(added=0, known=2)
    back = list(other.every())[1:]
    for was, now in zip(captures.every(), back, strict=True):
        np.testing.assert_array_equal(now.glyph, was.glyph)
        for name in ("at", "label", "said", "reason", "confidence", "network", "picture"):
            assert getattr(now, name) == getattr(was, name)
    assert exported(captures).getvalue() == file.getvalue()
    other.close()


def test_an_export_is_plain(captures: Captures) -> None:
    added(captures, label=3)
    with zipfile.ZipFile(exported(captures)) as archive:
        assert sorted(archive.namelist()) == ["captures.jsonl", "glyphs/1.png", "pictures/1.png"]
        line = json.loads(archive.read("captures.jsonl"))
        assert (line["id"], line["label"], line["said"]) == (1, 3, 7)
        image = Image.open(io.BytesIO(archive.read("glyphs/1.png")))
        np.testing.assert_array_equal(np.asarray(image), glyph(0))


def test_an_import_without_room_adds_nothing(captures: Captures, tmp_path: Path) -> None:
    for each in range(6):
        added(captures, glyph=glyph(each))
    other = Captures(tmp_path / "other.db", limit=5)
    with pytest.raises(StateError, match="room for 5 more captures"):
        import_zip(other, exported(captures), "it")
    assert other.listing() == []
    other.close()


LINE = {
    "id": 1, "at": 1.5, "label": 7, "said": None, "reason": "blank", "confidence": 0.5,
    "network": "ab" * 32,
}  # fmt: skip


def packed(members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file


def members(**changed: Any) -> dict[str, bytes]:
    return {
        "captures.jsonl": json.dumps({**LINE, **changed}).encode(),
        "glyphs/1.png": png(glyph(1)),
        "pictures/1.png": PICTURE,
    }


def test_what_another_program_packed_comes_in(captures: Captures) -> None:
    file = packed({"glyphs/": b"", "pictures/": b"", **members()})
    assert import_zip(captures, file, "it").added == 1


def bomb() -> bytes:
    """A PNG of 20,000 × 20,000 black pixels in less than 60 kB."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG", optimize=True)
    return file.getvalue()


BAD: dict[str, tuple[Callable[[], io.BytesIO], str]] = {
    "nothing": (lambda: io.BytesIO(b""), "not a whole export"),
    "text": (lambda: io.BytesIO(b"captures " * 100), "does not end as a zip"),
    "no lines": (lambda: packed({"glyphs/1.png": png(glyph(1))}), "captures.jsonl is not in it"),
    "a path": (lambda: packed({**members(), "../../etc/x.png": b""}), "does not belong in it"),
    "an absolute path": (lambda: packed({**members(), "/tmp/x": b""}), "does not belong in it"),
    "a folder with data": (lambda: packed({**members(), "other/": b""}), "does not belong"),
    "a picture too many": (
        lambda: packed({**members(), "glyphs/2.png": png(glyph(2))}), "exactly one line",
    ),
    "two lines of one": (
        lambda: packed({**members(), "captures.jsonl": (json.dumps(LINE) + "\n").encode() * 2}),
        "",
    ),
    "a missing glyph": (
        lambda: packed({k: v for k, v in members().items() if "glyph" not in k}), "not in it",
    ),
    "another id": (lambda: packed(members(id=2)), "not in it"),
    "a path as id": (lambda: packed(members(id="../1")), "line 1 of captures.jsonl"),
    "an unknown key": (lambda: packed(members(more=1)), "line 1 of captures.jsonl"),
    "a label": (lambda: packed(members(label=11)), "a label is a digit"),
    "a label that is true": (lambda: packed(members(label=True)), "line 1"),
    "a label of half": (lambda: packed(members(label=7.5)), "line 1"),
    "a huge number": (lambda: packed(members(at=10**400)), "not a whole export"),
    "no number": (lambda: packed(members(at=float("nan"))), "NaN is no number"),
    "infinity": (lambda: packed({**members(), "captures.jsonl": json.dumps(LINE).replace(
        "1.5", "1e999").encode()}), "time"),
    "a network": (lambda: packed(members(network="best")), "line 1"),
    "a long reason": (lambda: packed(members(reason="x" * 201)), "line 1"),
    "a list": (lambda: packed({**members(), "captures.jsonl": b"[1]"}), "line 1"),
    "deep brackets": (
        lambda: packed({**members(), "captures.jsonl": b"[" * 500}), "not a whole export",
    ),
    "long lines": (
        lambda: packed({**members(), "captures.jsonl": b" " * 10_000_000}), "more than",
    ),
    "a wide glyph": (
        lambda: packed({**members(), "glyphs/1.png": png(np.zeros((28, 29), np.uint8))}), "28×28",
    ),
    "a glyph in colour": (
        lambda: packed({**members(), "glyphs/1.png": png(np.zeros((28, 28, 3), np.uint8))}), "grey",
    ),
    "a large picture": (
        lambda: packed({**members(), "pictures/1.png": png(np.zeros((28, 161), np.uint8))}), "160",
    ),
    "a bomb of a picture": (lambda: packed({**members(), "pictures/1.png": bomb()}), "more than"),
    "a bomb of a member": (
        lambda: packed({**members(), "pictures/1.png": bytes(50_000_000)}), "more than",
    ),
    "no picture": (lambda: packed({**members(), "pictures/1.png": b"GIF89a" * 9}), "export"),
    "half a picture": (lambda: packed({**members(), "pictures/1.png": PICTURE[:-30]}), "export"),
    "another way of packing": (lambda: packed(members(), zipfile.ZIP_LZMA), "packed in another"),
    "too many": (
        lambda: packed({f"glyphs/{each}.png": b"" for each in range(1, 2000)}), "more than the 100",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_zip_is_a_sentence_and_nothing_is_imported(captures: Captures, what: str) -> None:
    added(captures)
    make, said = BAD[what]
    if what == "two lines of one":
        assert import_zip(captures, make(), "it") == Imported(added=1, known=1)
        return
    with pytest.raises((CaptureError, StateError), match="nothing was imported") as caught:
        import_zip(captures, make(), "my.zip")
    assert str(caught.value).startswith("my.zip: ")
    assert said in str(caught.value)
    assert len(captures.listing()) == 1


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_zip_with_changed_bytes_comes_in_whole_or_not_at_all(
    captures: Captures, data: st.DataObject
) -> None:
    good = bytearray(packed(members(at=1e6)).getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    before = len(captures.listing(limit=200))
    try:
        done = import_zip(captures, io.BytesIO(bytes(good)), "it")
    except CaptureError as error:
        done = Imported(0, 0)
        assert "nothing was imported" in str(error)  # noqa: PT017
    assert len(captures.listing(limit=200)) == before + done.added


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changed=st.dictionaries(
        st.sampled_from([*LINE, "more"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
        min_size=1,
        max_size=3,
    )
)
def test_any_line_comes_in_as_a_capture_or_not_at_all(
    captures: Captures, changed: dict[str, Any]
) -> None:
    before = captures.change()
    try:
        done = import_zip(captures, packed(members(**changed)), "it")
    except CaptureError:
        assert captures.change() == before
    else:
        assert done.added + done.known == 1


# ---- the command ----


def test_the_command_lists_judges_exports_and_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    captures = Captures(tmp_path / "captures.db")
    added(captures, label=3)
    added(captures, label=NOT_A_DIGIT, said=None)
    captures.close()
    assert main(["captures", "list", *state]) == 0
    told = capsys.readouterr().out
    assert "corrected, was read as: 7 with 75%" in told
    assert "not a digit  confirmed, was read as: unsure between 4 and 9" in told
    assert main(["captures", "report", *state]) == 0
    assert "There are not enough captures for a night yet" in capsys.readouterr().out
    file = tmp_path / "out.zip"
    assert main(["captures", "export", str(file), *state]) == 0
    (tmp_path / "other").mkdir()
    assert main(["captures", "import", str(file), "--state", str(tmp_path / "other")]) == 0
    assert "2 captures were added, 0 were there already" in capsys.readouterr().out
    assert main(["captures", "import", str(ROOT / "LICENSE"), *state]) == 1
    assert "nothing was imported" in capsys.readouterr().err
    assert main(["captures", "list", "--state", str(tmp_path / "none")]) == 1
    assert "no such state directory" in capsys.readouterr().err


def test_another_programs_lock_is_waited_for(captures: Captures) -> None:
    other = sqlite3.connect(captures.file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, other.rollback)
    release.start()
    started = time.monotonic()
    added(captures)
    assert time.monotonic() - started > 0.1
    release.join()
    other.close()

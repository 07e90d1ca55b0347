"""Power cuts, full disks and damage while a night trains: nothing is lost, and it goes on."""

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.captures.store import Captures
from appliance.errors import StateError, TrainingRefused
from appliance.networks.vault import Vault
from appliance.storage.layout import StateDirectory
from appliance.training import retrain
from appliance.training.lock import hold_training_lock
from appliance.training.records import load_nights
from appliance.training.resumable_run import Sizes
from model import weights
from tests.faults.program import report_of
from tests.owner import Clock, base, correct, current, hand, retraining, tiny

pytestmark = pytest.mark.usefixtures("cool")
TINIEST = Sizes(examples=60, batch=8, learning_rate=0.01, epochs=1)


def test_killed_at_any_instant_and_resumed_it_ends_with_the_bits_of_an_undisturbed_night() -> None:
    assert report_of("tests.proofs.retrain_kills", "--count", "8")["kills"] == 8


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with an owner's captures; a small network is in the shipped one's place."""
    state = tmp_path_factory.mktemp("begin")
    captures = Captures(StateDirectory(state).captures)
    correct(captures, *hand())
    captures.close()
    weights.save(state / "shipped.npz", tiny(), {})
    return state


def night(state: Path) -> dict[str, Any]:
    captures = Captures(StateDirectory(state).captures)
    vault = Vault(StateDirectory(state).networks, shipped=state / "shipped.npz")
    try:
        with hold_training_lock(state):
            return retraining(state, captures, vault=vault, sizes=TINIEST, clock=Clock(1.0)).run()
    finally:
        captures.close()


class Disk:
    """Refuses the Nth of all that is asked of it below a folder, and everything after it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, code: int) -> None:
        self.folder, self.code = str(folder), code
        self.asked, self.refuses = 0, 1 << 30
        self._open = builtins.open
        for name in ("replace", "symlink", "mkdir", "utime", "fsync"):
            patch.setattr(os, name, self._guarded(getattr(os, name)))
        patch.setattr(builtins, "open", self.open)
        patch.setattr(io, "open", self.open)

    def ask(self) -> None:
        self.asked += 1
        if self.asked >= self.refuses:
            raise OSError(self.code, os.strerror(self.code))

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **options: Any) -> Any:
            # A file that is flushed has no name here; there are no others than this folder's.
            paths = [str(each) for each in arguments if isinstance(each, str | Path)]
            if not paths or any(path.startswith(self.folder) for path in paths):
                self.ask()
            return call(*arguments, **options)

        return guarded

    def open(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wax+") and str(file).startswith(self.folder):
            self.ask()
            return Guarded(self._open(file, mode, *arguments, **options), self.ask)
        return self._open(file, mode, *arguments, **options)


class Guarded:
    """An open file that asks the disk before its first write and before it is flushed."""

    def __init__(self, file: Any, ask: Callable[[], None]) -> None:
        self._file, self._ask, self._asked = file, ask, False

    def write(self, data: Any) -> int:
        if not self._asked:
            self._ask()
        self._asked = True
        return int(self._file.write(data))

    def __enter__(self) -> "Guarded":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_any_one_write_is_a_sentence_and_the_next_night_goes_on(
    begin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(retrain, "CHECKPOINT_SECONDS", 100.0)
    monkeypatch.setattr(retrain, "_SHOW_SECONDS", 1e9)
    state = tmp_path / "state"
    shutil.copytree(begin, state)
    with monkeypatch.context() as patch:
        disk = Disk(state, patch, code)
        assert night(state)["outcome"] == "promoted"
        writes = disk.asked
    wanted = current(state, shipped=state / "shipped.npz")
    said: list[str] = []
    # A read-only disk is so from the beginning, or from some error on.
    for number in range(1, writes + 1, 1 if code == errno.ENOSPC else 10):
        shutil.rmtree(state)
        shutil.copytree(begin, state)
        with monkeypatch.context() as patch:
            disk = Disk(state, patch, code)
            disk.refuses = number
            try:
                night(state)
            except StateError as error:
                said.append(str(error))
        reads = current(state, shipped=state / "shipped.npz")
        assert reads == wanted or not any(each["finished"] for each in load_nights(state))
        captures = Captures(StateDirectory(state).captures)
        assert sum(captures.count_labels().values()) == len(hand()[1])
        captures.close()
        if not load_nights(state):
            assert night(state)["candidate"] == wanted[:12], number
        assert current(state, shipped=state / "shipped.npz") == wanted
        (record,) = load_nights(state)
        assert record["outcome"] == "promoted"
    print(f"{writes} writes, {len(said)} of them refused in a sentence")
    assert len(said) > 2
    for sentence in said:
        assert os.strerror(code) in sentence
        assert "make room" in sentence or "check" in sentence


def test_a_state_directory_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StateError, match=r"nothing can be written there .*check the disk"),
        hold_training_lock(tmp_path / "file"),
    ):
        pass


def damaged(file: Path, how: str) -> None:
    raw = bytearray(file.read_bytes())
    match how:
        case "cut":
            raw = raw[: len(raw) // 2]
        case "flipped":
            raw[len(raw) // 2] ^= 4
        case "empty":
            raw.clear()
        case "foreign":
            raw = bytearray(b"[1, 2, 3]")
    file.write_bytes(raw)


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "foreign", "gone"])
@pytest.mark.parametrize(
    "name",
    ["checkpoint.npz", "plan.json", "parent.npz", "learned.pictures", "../examples.pictures"],
)
def test_what_is_damaged_of_a_night_begins_anew_with_a_sentence(
    begin: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    how: str,
) -> None:
    state = tmp_path / "state"
    shutil.copytree(begin, state)
    parts: dict[str, Any] = {
        "vault": Vault(StateDirectory(state).networks, shipped=state / "shipped.npz"),
        "sizes": TINIEST,
    }
    captures = Captures(StateDirectory(state).captures)
    left = retraining(state, captures, **parts, stopping=lambda: True).run()
    assert left["outcome"] == "left"
    if how == "gone":
        (state / "night" / name).unlink()
    else:
        damaged(state / "night" / name, how)
    record = retraining(state, captures, **parts).run()
    captures.close()
    assert record["outcome"] == "promoted"
    assert not (state / "night").exists()
    if how != "gone":
        assert "it begins anew" in caplog.text


def test_no_bit_of_a_checkpoint_that_is_flipped_is_more_than_a_sentence(
    begin: Path, tmp_path: Path
) -> None:
    from appliance.training.resumable_run import ResumableRun

    state = tmp_path / "state"
    shutil.copytree(begin, state)
    vault = Vault(StateDirectory(state).networks, shipped=state / "shipped.npz")
    captures = Captures(StateDirectory(state).captures)
    retraining(state, captures, vault=vault, sizes=TINIEST, stopping=lambda: True).run()
    captures.close()
    taken_up = ResumableRun(state / "night", base(), TINIEST)
    file = state / "night" / "checkpoint.npz"
    raw = file.read_bytes()
    # The archive's own words: its end lists its members, its beginning holds the facts.
    for place in [*range(0, 400, 7), *range(len(raw) - 700, len(raw), 5)]:
        changed = bytearray(raw)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        course, sentence = taken_up.load_training()
        assert course.progress > 0 or (sentence and "it begins anew" in sentence)


def test_a_candidate_that_is_damaged_before_it_is_promoted_is_kept_back(
    begin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    shutil.copytree(begin, state)
    before = current(state, shipped=state / "shipped.npz")

    def power_cut(vault: Vault, id: str) -> None:
        damaged(vault.folder / f"{id}.npz", "flipped")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Vault, "promote", power_cut)
        with pytest.raises(KeyboardInterrupt):
            night(state)
    record = night(state)
    assert record["outcome"] == "kept"
    assert "it is not promoted" in record["why"]
    assert current(state, shipped=state / "shipped.npz") == before
    assert [each["at"] for each in load_nights(state)] == [record["at"]]


def test_a_power_cut_between_verdict_and_record_promotes_and_records_once(
    begin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: Any) -> None:
        raise KeyboardInterrupt

    for place, name in ((Vault, "add"), (Vault, "promote"), (retrain, "append_night")):
        state = tmp_path / name
        shutil.copytree(begin, state)
        with monkeypatch.context() as patch:
            patch.setattr(place, name, power_cut)
            with pytest.raises(KeyboardInterrupt):
                night(state)
        assert load_nights(state) == []
        record = night(state)
        assert record["outcome"] == "promoted"
        assert current(state, shipped=state / "shipped.npz")[:12] == record["candidate"]
        assert [each["at"] for each in load_nights(state)] == [record["at"]]


def test_a_second_retraining_at_once_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with (
        hold_training_lock(tmp_path),
        pytest.raises(TrainingRefused, match="a retraining is running already"),
        hold_training_lock(tmp_path),
    ):
        pass

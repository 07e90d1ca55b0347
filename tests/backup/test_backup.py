"""A backup written while the appliance runs, and put back whole, or not at all."""

import fcntl
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.__main__ import main
from appliance.backup import restore as under_test
from appliance.backup.archive import MANIFEST
from appliance.captures.store import Capture, Captures
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.errors import ApplianceError, BackupError, StateError
from appliance.networks.vault import Vault
from appliance.outputs.history import History
from appliance.reading import Reading
from appliance.settings import schema as known
from appliance.settings.overrides import Changes
from appliance.storage.database import request_commit
from appliance.storage.downgrade import downgrade
from appliance.storage.layout import StateDirectory, carry_over, lay_flat
from appliance.storage.state_lock import hold_shared_lock
from appliance.training.lock import hold_training_lock
from appliance.training.records import append_night, load_nights
from model.network import build
from tests.backups import backup, restore
from tests.captured import PICTURE, add_capture, glyph

NIGHT = {"at": 5.0, "outcome": "kept", "why": "it is no better", "outcomes": {}}


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's own settings file out of it."""
    monkeypatch.setattr(known, "CONFIG", tmp_path / "etc" / "digits.toml")


def filled(state: Path, seed: int, reading: Reading) -> Path:
    """Make a state directory with something of everything, another one for each seed."""
    state.mkdir()
    carry_over(state)
    with closing(Captures(StateDirectory(state).captures)) as captures:
        for each in range(5 + seed):
            add_capture(captures, label=(each + seed) % 10, glyph=glyph(100 * seed + each))
        captures.delete(2)
    with closing(History(StateDirectory(state).history, limit=50)) as history:
        for each in range(3 + seed):
            history.show(reading._replace(settled=each, at=1000.0 + each))
    vault = Vault(StateDirectory(state).networks)
    ids = [vault.add(build([["dense", 784, 10]], 10 * seed + n), {"seed": n}) for n in range(3)]
    vault.promote(ids[0])
    vault.promote(ids[1])
    append_night(state, {**NIGHT, "at": float(seed)})
    Changes(state).change("reader", "agree", 3 + seed)
    OwnerPin(owner_file(state)).make_pin()
    return state


@pytest.fixture
def state(tmp_path: Path, a_seven: Reading) -> Path:
    return filled(tmp_path / "state", 1, a_seven)


@pytest.fixture
def other(tmp_path: Path, a_seven: Reading) -> Path:
    return filled(tmp_path / "other", 2, a_seven)


@pytest.fixture
def made(tmp_path: Path, state: Path) -> Path:
    """A backup of `state`."""
    file = tmp_path / "made.zip"
    backup(file, state, settings_file(tmp_path / "digits.toml", 7))
    return file


def settings_file(file: Path, agree: int) -> Path:
    file.write_text(f"[reader]\nagree = {agree}\n")
    return file


def rows(database: Path) -> list[Any]:
    """Return every row of every table."""
    with closing(sqlite3.connect(database)) as opened:
        names = [
            name
            for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return [opened.execute(f"SELECT * FROM {name}").fetchall() for name in sorted(names)]


def content(state: Path) -> dict[str, Any]:
    """Return what an appliance knows, however its databases lie on the disk."""
    found: dict[str, Any] = {}
    for path in StateDirectory(state).networks.glob("*"):
        if path.name != ".lock":
            link = path.is_symlink()
            found[f"networks/{path.name}"] = os.readlink(path) if link else path.read_bytes()
    folder = StateDirectory(state).knowledge
    for name in ("captures.db", "history.db"):
        found[name] = rows(folder / name) if (folder / name).exists() else None
    for name in ("settings.json", "nights.jsonl"):
        found[name] = (folder / name).read_bytes() if (folder / name).exists() else None
    return found


def everything(state: Path) -> dict[str, Any]:
    """Return each file, link and folder with its bytes, but for empty locks."""
    return {
        str(path.relative_to(state)): (
            os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        )
        for path in sorted(state.rglob("*"))
        if not path.name.endswith(".lock")
    }


# ---- there and back ----


def test_a_backup_of_a_running_appliance_has_the_readings_of_just_now(
    state: Path, other: Path, made: Path, a_seven: Reading
) -> None:
    with closing(History(StateDirectory(state).history, limit=50)) as history:
        history.show(a_seven._replace(settled=9, at=5000.0))
        with ThreadPoolExecutor(1) as command:
            done = command.submit(backup, made, state, None)
            while not done.done():
                # As the loop does before each frame.
                history.look()
            assert done.result().left_out == []
    restore(made, other, None)
    with closing(History(StateDirectory(other).history, limit=50)) as history:
        assert history.list_newest(1)[0].at == 5000.0


def test_a_backup_says_where_the_appliance_did_not_write_the_newest_readings(
    state: Path, made: Path, a_seven: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "appliance.backup.archive.request_commit", lambda file: request_commit(file, patience=0)
    )
    with closing(History(StateDirectory(state).history, limit=50)) as history:
        history.show(a_seven._replace(settled=9, at=5000.0))
        (sentence,) = backup(made, state, None).left_out
        assert sentence.startswith("history.db's newest rows: the appliance does not write them")
    assert backup(made, state, None).left_out == []


def test_what_was_backed_up_comes_back_the_same(state: Path, made: Path, other: Path) -> None:
    pin, before = owner_file(other).read_bytes(), content(other)
    done = restore(made, other, None)
    assert content(other) == content(state)
    assert done.kept
    assert owner_file(other).read_bytes() == pin
    one, two = (Vault(StateDirectory(folder).networks) for folder in (state, other))
    assert two.list_networks() == one.list_networks()
    assert (two.load_current().id, two.previous_id()) == (one.load_current().id, one.previous_id())
    assert load_nights(other) == load_nights(state)
    assert Changes(other).tables == {"reader": {"agree": 4}}
    with closing(Captures(StateDirectory(other).captures)) as captures:
        assert captures.notice is None
        captures.restore(2)
        assert add_capture(captures).id == 7
    kept = content(other / "before-restore")
    assert kept == before


def test_what_the_backup_has_not_is_put_aside(tmp_path: Path, other: Path) -> None:
    (tmp_path / "empty").mkdir()
    backup(tmp_path / "empty.zip", tmp_path / "empty", None)
    (other / "night").mkdir()
    (other / "mnist").mkdir()
    before = content(other)
    restore(tmp_path / "empty.zip", other, None)
    assert {path.name for path in other.iterdir() if path.suffix != ".lock"} == {
        "before-restore", "knowledge", "owner.json", "mnist",
    }  # fmt: skip
    assert content(other / "before-restore") == before
    assert (other / "before-restore" / "night").is_dir()
    assert Vault(StateDirectory(other).networks).list_networks()[0].state == "current"


def test_a_restore_into_nothing_keeps_nothing(tmp_path: Path, state: Path, made: Path) -> None:
    done = restore(made, tmp_path / "a" / "fresh", None)
    assert content(tmp_path / "a" / "fresh") == content(state)
    assert not done.kept
    assert not (tmp_path / "a" / "fresh" / "before-restore").exists()


def test_only_the_last_restores_old_files_are_kept(made: Path, other: Path, state: Path) -> None:
    restore(made, other, None)
    restore(made, other, None)
    assert content(other / "before-restore") == content(state)


def test_the_files_are_their_owners_alone(made: Path, other: Path) -> None:
    restore(made, other, None)
    modes = {
        name: stat.S_IMODE((other / "knowledge" / name).stat().st_mode)
        for name in ("captures.db", "history.db", "nights.jsonl", "settings.json")
    }
    assert set(modes.values()) == {0o640}
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_the_pin_and_a_training_are_not_in_it(tmp_path: Path, state: Path, made: Path) -> None:
    (state / "night").mkdir()
    (state / "night" / "state.npz").write_bytes(b"much")
    (state / "mnist").mkdir()
    (state / "mnist" / "train-images-idx3-ubyte").write_bytes(b"much")
    before = everything(state)
    again = tmp_path / "again.zip"
    backup(again, state, None)
    with zipfile.ZipFile(made) as one, zipfile.ZipFile(again) as two:
        names = one.namelist()
        assert set(names) - set(two.namelist()) == {"digits.toml"}
    ids = sorted(path.name for path in (StateDirectory(state).networks).glob("*.npz"))
    assert names == [
        "digits.toml", "settings.json", "nights.jsonl", "captures.db", "history.db",
        *(f"networks/{id}" for id in ids), "networks/promotions.txt", MANIFEST,
    ]  # fmt: skip
    told = json.loads(owner_file(state).read_bytes())
    for secret in (told["hash"], told["secret"]):
        assert secret.encode() not in again.read_bytes()
    assert everything(state) == before


def test_what_is_damaged_is_left_out_and_named(tmp_path: Path, state: Path) -> None:
    (StateDirectory(state).networks / "0123456789ab.npz").write_bytes(b"half")
    (StateDirectory(state).networks / "0123456789ab.report.json").write_bytes(b"{")
    (StateDirectory(state).overrides).write_text('{"reader": {"agree": 900}}')
    with open(StateDirectory(state).nights, "ab") as lines:
        lines.write(b'{"at": 3}\n{"at": 4.0, "outc')
    manifest = backup(tmp_path / "b.zip", state, None)
    assert [each.split()[0] for each in manifest.left_out] == [
        "settings.json", "networks/0123456789ab.npz", "networks/0123456789ab.report.json",
    ]  # fmt: skip
    restore(tmp_path / "b.zip", tmp_path / "fresh", None)
    assert load_nights(tmp_path / "fresh") == [{**NIGHT, "at": 1.0}]


@pytest.mark.slow
def test_damaged_captures_are_not_backed_up_as_if_they_were_whole(
    tmp_path: Path, state: Path
) -> None:
    with open(StateDirectory(state).captures, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    (tmp_path / "old.zip").write_bytes(b"the one of yesterday")
    with pytest.raises(StateError, match=r"captures\.db: cannot be copied .*no backup is written"):
        backup(tmp_path / "old.zip", state, None)
    assert (tmp_path / "old.zip").read_bytes() == b"the one of yesterday"
    assert not list(tmp_path.glob(".old.zip*"))


@contextmanager
def child(work: Callable[[], object]) -> Iterator[int]:
    """Run `work` in a process of its own, which is killed at the end of the block."""
    number = os.fork()
    if not number:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield number
    finally:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)


def test_a_backup_is_taken_while_another_process_adds_captures(tmp_path: Path, state: Path) -> None:
    begun = tmp_path / "begun"

    def add_for_ever() -> None:
        with closing(Captures(StateDirectory(state).captures)) as captures:
            for each in range(100_000):
                add_capture(captures, glyph=glyph(1000 + each))
                begun.touch()

    with child(add_for_ever):
        while not begun.exists():
            time.sleep(0.01)
        for each in range(5):
            backup(tmp_path / f"{each}.zip", state, None)
    counts = []
    for each in range(5):
        restore(tmp_path / f"{each}.zip", tmp_path / f"back{each}", None)
        with closing(Captures(StateDirectory(tmp_path / f"back{each}").captures)) as captures:
            assert captures.notice is None
            numbers = [capture.id for capture in captures.iter_captures()]
            counts.append(captures.count_changes())
        assert numbers == [1, *range(3, len(numbers) + 2)]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


# ---- the settings file ----


def test_the_settings_file_is_replaced_with_its_mode_and_kept(
    tmp_path: Path, made: Path, other: Path
) -> None:
    place = settings_file(tmp_path / "mine.toml", 2)
    place.chmod(0o660)
    done = restore(made, other, place)
    assert done.settings == place
    assert place.read_text() == "[reader]\nagree = 7\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o660
    assert (other / "before-restore" / "digits.toml").read_text() == "[reader]\nagree = 2\n"


def test_settings_can_be_left_as_they_are(tmp_path: Path, made: Path, other: Path) -> None:
    place, before = settings_file(tmp_path / "mine.toml", 2), content(other)
    arguments = ["--state", str(other), "--config", str(place)]
    assert main(["restore", str(made), *arguments, "--no-settings"]) == 0
    assert place.read_text() == "[reader]\nagree = 2\n"
    assert content(other)["settings.json"] == before["settings.json"]
    assert content(other)["captures.db"] != before["captures.db"]


# ---- what is refused ----


def changed(
    made: Path,
    change: Callable[[dict[str, Any], dict[str, bytes]], None] = lambda told, files: None,
    *,
    summed: bool = True,
    how: int = zipfile.ZIP_STORED,
    infos: Callable[[zipfile.ZipInfo], None] = lambda info: None,
    twice: str | None = None,
) -> None:
    """Write a backup anew after `change`; with `summed` its manifest fits its files."""
    with zipfile.ZipFile(made) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    told = json.loads(files.pop(MANIFEST))
    change(told, files)
    if summed:
        told["files"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "at": 1.0}
            for name, data in files.items()
        }
    with zipfile.ZipFile(made, "w", how) as archive:
        for name, data in {**files, MANIFEST: json.dumps(told).encode()}.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = how
            infos(info)
            archive.writestr(info, data)
        if twice:
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(twice, b"again")


def database(*statements: str) -> Callable[[Any, dict[str, bytes]], None]:
    """Return a change of the captures by statements."""

    def change(told: Any, files: dict[str, bytes]) -> None:
        file = Path(os.environ["PYTEST_SCRATCH"]) / "changed.db"
        file.write_bytes(files["captures.db"])
        with closing(sqlite3.connect(file)) as opened:
            opened.execute("PRAGMA ignore_check_constraints = ON")
            opened.execute("PRAGMA journal_mode = DELETE")
            for statement in statements:
                opened.execute(statement)
            opened.commit()
        files["captures.db"] = file.read_bytes()

    return change


def file(name: str, data: bytes) -> Callable[[Any, dict[str, bytes]], None]:
    return lambda told, files: files.update({name: data})


def pickled() -> bytes:
    out = io.BytesIO()
    np.savez(out, card=np.array([{"evil": 1}], dtype=object))
    return out.getvalue()


def another_network(told: Any, files: dict[str, bytes]) -> None:
    names = sorted(name for name in files if name.endswith(".npz"))
    files[names[0]] = files[names[1]]


def set_in(key: str, value: Any) -> Callable[[Any, dict[str, bytes]], None]:
    return lambda told, files: told.update({key: value})


def flip(told: Any, files: dict[str, bytes]) -> None:
    data = bytearray(files["captures.db"])
    data[-5] ^= 1
    files["captures.db"] = bytes(data)


def as_link(info: zipfile.ZipInfo) -> None:
    if info.filename == "nights.jsonl":
        info.external_attr = (stat.S_IFLNK | 0o777) << 16


def in_the_directory(made: Path, offset: int, value: int) -> None:
    """Change a byte of the first entry of a zip's directory."""
    data = bytearray(made.read_bytes())
    data[int.from_bytes(data[-6:-2], "little") + offset] = value
    made.write_bytes(bytes(data))


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing": (lambda made: made.write_bytes(b""), "not a whole backup"),
    "text": (lambda made: made.write_bytes(b"backup " * 99), "does not end as a zip"),
    "half": (lambda made: made.write_bytes(made.read_bytes()[:-5000]), "does not end as a zip"),
    "no middle": (
        lambda made: made.write_bytes(made.read_bytes()[:9000] + made.read_bytes()[50_000:]),
        "not a whole backup",
    ),
    "a path out": (lambda made: changed(made, file("../../evil.db", b"x")), "does not belong"),
    "an absolute path": (lambda made: changed(made, file("/etc/passwd", b"x")), "not belong"),
    "a path inside": (lambda made: changed(made, file("networks/../owner.json", b"x")), "belong"),
    "the PIN": (lambda made: changed(made, file("owner.json", b"{}")), "does not belong in it"),
    "a folder": (lambda made: changed(made, file("networks/", b"")), "does not belong in it"),
    "a link": (lambda made: changed(made, infos=as_link), "is no file"),
    "a name twice": (lambda made: changed(made, twice="nights.jsonl"), "in it twice"),
    "encrypted": (lambda made: in_the_directory(made, 8, 1), "it is encrypted"),
    "packed": (lambda made: changed(made, how=zipfile.ZIP_DEFLATED), "packed by another program"),
    "a bomb": (
        lambda made: changed(made, file("history.db", bytes(50_000_000)), how=zipfile.ZIP_BZIP2),
        "packed by another program",
    ),
    "too large": (lambda made: changed(made, file("settings.json", b" " * 200_000)), "200000"),
    "many members": (
        lambda made: changed(
            made,
            lambda told, files: files.update(
                {f"networks/{each:012x}.report.json": b"{}" for each in range(3000)}
            ),
        ),
        "more files than a backup can have",
    ),
    "no manifest": (lambda made: zipfile.ZipFile(made, "w").close(), "manifest.json is not in it"),
    "a manifest of nothing": (
        lambda made: changed(made, set_in("files", None), summed=False), "not a backup's",
    ),
    "a manifest of a list": (
        lambda made: changed(made, set_in("files", ["x"]), summed=False), "not a backup's",
    ),
    "a time": (lambda made: changed(made, set_in("made", float("nan"))), "not a backup's"),
    "where it leads": (lambda made: changed(made, set_in("reads", "../x.npz")), "not a backup's"),
    "a newer format": (
        lambda made: changed(made, lambda told, files: told.update(format=2, version="9.0")),
        "a newer appliance made it (9.0, format 2), and this one knows format 1: update it first",
    ),
    "no format": (lambda made: changed(made, set_in("format", "1")), "is not a backup's"),
    "a changed bit": (
        lambda made: changed(made, flip, summed=False), "captures.db is not what the manifest says",
    ),
    "a file too few": (
        lambda made: changed(made, lambda told, files: files.pop("history.db"), summed=False),
        "not those of its manifest",
    ),
    "a file too many": (
        lambda made: changed(made, file("networks/0123456789ab.npz", b"x"), summed=False),
        "not those of its manifest",
    ),
    "a size": (
        lambda made: changed(made, file("captures.db", b"x"), summed=False), "of its manifest",
    ),
    "a pickle": (
        lambda made: changed(made, file("networks/0123456789ab.npz", pickled())), "weights file",
    ),
    "another network": (lambda made: changed(made, another_network), "holds another network"),
    "a report": (
        lambda made: changed(made, file("networks/0123456789ab.report.json", b"[]")), "report",
    ),
    "foreign captures": (lambda made: changed(made, file("captures.db", b"x" * 99)), "not a data"),
    "empty captures": (lambda made: changed(made, file("captures.db", b"")), "other tables"),
    "another table": (lambda made: changed(made, database("CREATE TABLE t (x)")), "other tables"),
    "a trigger": (
        lambda made: changed(made, database(
            "CREATE TRIGGER t AFTER INSERT ON captures BEGIN DELETE FROM captures; END")),
        "other tables",
    ),
    "another schema": (
        lambda made: changed(made, database("ALTER TABLE captures ADD COLUMN x TEXT")),
        "other tables",
    ),
    "a label": (lambda made: changed(made, database("UPDATE captures SET label = 77")), "CHECK"),
    "newer captures": (
        lambda made: changed(made, database("PRAGMA user_version = 9")),
        "the captures are of version 9, and this appliance knows 0: update it",
    ),
    "settings": (lambda made: changed(made, file("digits.toml", b"[reader]\nx = 1")), "unknown"),
    "settings of the page": (
        lambda made: changed(made, file("settings.json", b'{"web": {"port": 1}}')), "--no-settings",
    ),
    "no settings of the page": (
        lambda made: changed(made, file("settings.json", b"[" * 5000)), "not a whole backup",
    ),
    "a night": (lambda made: changed(made, file("nights.jsonl", b'{"at": "x"}\n')), "no night's"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", BAD)
def test_a_bad_backup_is_a_sentence_and_nothing_is_changed(
    made: Path, other: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_SCRATCH", str(tmp_path))
    spoil, said = BAD[what]
    spoil(made)
    place, before = settings_file(tmp_path / "mine.toml", 2), everything(other)
    with pytest.raises(ApplianceError, match="nothing was changed") as caught:
        restore(made, other, place)
    assert isinstance(caught.value, (BackupError, StateError))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert f"{other}/knowledge" not in str(caught.value)
    assert everything(other) == before
    assert place.read_text() == "[reader]\nagree = 2\n"


def test_members_over_each_other_are_refused(made: Path, other: Path) -> None:
    """A directory may name the same bytes many times: all together they are larger than the zip."""
    data = bytes(3_000_000)
    changed(made, file("captures.db", data))

    def point_to_it_again(told: Any, files: dict[str, bytes]) -> None:
        files["history.db"] = b""

    changed(made, point_to_it_again)
    with zipfile.ZipFile(made, "a") as archive:
        captures, history = archive.getinfo("captures.db"), archive.getinfo("history.db")
        history.header_offset, history.CRC = captures.header_offset, captures.CRC
        history.file_size = history.compress_size = len(data)
        archive._didModify = True  # type: ignore[attr-defined]
    before = everything(other)
    with pytest.raises(BackupError, match="nothing was changed"):
        restore(made, other, None)
    assert everything(other) == before


def test_changed_bytes_are_never_half_restored(made: Path, tmp_path: Path, state: Path) -> None:
    good, chance = made.read_bytes(), random.Random(1)
    whole = content(state)
    for number in range(40):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            place = chance.choice([chance.randrange(len(data)), -chance.randint(1, 900)])
            data[place] = chance.randrange(256)
        made.write_bytes(bytes(data))
        fresh = tmp_path / f"fresh{number}"
        try:
            restore(made, fresh, None)
        except ApplianceError:
            assert not fresh.exists() or everything(fresh) == {"knowledge": False}
        else:
            assert content(fresh) == whole


# ---- while something runs ----


def test_while_the_appliance_runs_nothing_is_restored(
    made: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(other)
    with hold_shared_lock(other), hold_shared_lock(other):
        assert main(["restore", str(made), "--state", str(other)]) == 1
    assert "the appliance runs there: stop it ('systemctl stop" in capsys.readouterr().err
    with (
        hold_training_lock(other),
        hold_shared_lock(other),
        pytest.raises(StateError, match="a training runs there"),
    ):
        restore(made, other, None)
    with (
        closing(Captures(StateDirectory(other).captures)),
        pytest.raises(StateError, match="another program has the captures open"),
    ):
        restore(made, other, None)
    assert everything(other) == before


def test_while_a_restore_is_under_way_nothing_starts(other: Path) -> None:
    with open(other / "in-use.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="a restore is under way"), hold_shared_lock(other):
            pass


# ---- a power cut ----

CALLS = ("rename", "replace", "unlink", "rmdir", "fsync", "mkdir", "symlink", "fchmod", "chown")


def cut_at(number: int, work: Callable[[], object]) -> bool:
    """Run `work` in a process that ends before its n-th change of a folder; tell whether it did."""
    ended = os.fork()
    if not ended:
        left = number

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*args: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return call(*args, **named)

            return counting

        try:
            for name in CALLS:
                setattr(os, name, counted(getattr(os, name)))
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(ended, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.slow
def test_a_power_cut_leaves_all_of_the_old_or_all_of_the_new(
    made: Path, other: Path, state: Path, tmp_path: Path
) -> None:
    place, stock = tmp_path / "mine.toml", tmp_path / "stock"
    other.rename(stock)
    old, new = content(stock), content(state)
    seen: list[bool] = []
    while True:
        copy_of(stock, other)
        # A log that a power cut left is of the old database alone.
        (other / "captures.db-wal").touch()
        settings_file(place, 2)
        if not cut_at(len(seen), lambda: restore(made, other, place)):
            break
        marked = StateDirectory(other).restored.exists()
        # Once more, in the middle of ending it.
        cut_at(len(seen) % 11, lambda: finished(other))
        finished(other)
        found = content(other)
        assert found in (old, new)
        assert (found == new) == (place.read_text() == "[reader]\nagree = 7\n")
        assert not marked or found == new
        assert not StateDirectory(other).is_unfinished
        if found == new:
            assert content(other / "before-restore") == old
            assert (other / "before-restore" / "digits.toml").read_text() == "[reader]\nagree = 2\n"
        seen.append(found == new)
    assert seen == sorted(seen)
    assert set(seen) == {True, False}


@pytest.mark.slow
def test_the_next_restore_ends_one_that_was_broken_off(
    made: Path, other: Path, state: Path, tmp_path: Path
) -> None:
    stock, number = tmp_path / "stock", 0
    other.rename(stock)
    old, new = content(stock), content(state)
    kept = []
    copy_of(stock, other)
    while cut_at(number, lambda: restore(made, other, None)):
        restore(made, other, None)
        assert content(other) == new
        kept.append(content(other / "before-restore"))
        copy_of(stock, other)
        number += 9
    assert kept[0] == old
    assert kept[-1] == new


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the service's user")
def test_the_service_ends_what_root_began(made: Path, other: Path, state: Path) -> None:
    """Its settings file is root's: then it is all of the new, or all of the old and none of it."""
    service = 65534
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        here, place = Path(folder) / "state", Path(folder) / "etc" / "digits.toml"
        place.parent.mkdir()
        old, new = content(other), content(state)
        seen: list[bool] = []
        while True:
            copy_of(other, here)
            for path in (here, *here.rglob("*")):
                os.chown(path, service, service, follow_symlinks=False)
            settings_file(place, 2)
            os.umask(0o077)
            try:
                if not cut_at(3 * len(seen), lambda: restore(made, here, place)):
                    break
            finally:
                os.umask(0o022)
            ended = os.fork()
            if not ended:
                try:
                    os.setgid(service)
                    os.setuid(service)
                    finished(here)
                    os._exit(0)
                except BaseException as error:
                    print(repr(error), file=sys.stderr)
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(ended, 0)[1]) == 0
            found = content(here)
            assert found in (old, new)
            assert (found == new) == (place.read_text() == "[reader]\nagree = 7\n")
            assert not StateDirectory(here).is_unfinished
            seen.append(found == new)
        assert set(seen) == {True, False}
        assert {path.lstat().st_uid for path in here.rglob("*") if path.suffix != ".lock"} == {
            service
        }


def finished(state: Path) -> None:
    with hold_shared_lock(state):
        pass


def copy_of(stock: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(stock, to, symlinks=True)


@pytest.mark.slow
def test_a_kill_at_any_instant_leaves_all_of_the_old_or_all_of_the_new(
    made: Path, other: Path, state: Path, tmp_path: Path
) -> None:
    stock = tmp_path / "stock"
    other.rename(stock)
    old, new, chance = content(stock), content(state), random.Random(2)
    copy_of(stock, other)
    begun = time.monotonic()
    restore(made, other, None)
    takes = time.monotonic() - begun
    for _ in range(12):
        copy_of(stock, other)
        with child(lambda: restore(made, other, None)):
            time.sleep(chance.uniform(0, takes))
        finished(other)
        assert content(other) in (old, new)
        assert not StateDirectory(other).is_unfinished


def test_without_the_right_to_the_settings_what_was_begun_is_dropped(
    made: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between the mark and the settings file, and the appliance is not root."""
    (tmp_path / "etc").mkdir()
    place, before = settings_file(tmp_path / "etc" / "mine.toml", 2), content(other)
    with monkeypatch.context() as patch:
        patch.setattr(under_test, "finish_restore", lambda state, settings=None: False)
        restore(made, other, place)
    assert StateDirectory(other).restored.exists()
    place.unlink()
    (tmp_path / "etc").rmdir()
    finished(other)
    assert content(other) == before
    assert not StateDirectory(other).is_unfinished


@pytest.mark.parametrize("name", ["knowledge.new", "restore"])
def test_a_pipe_in_the_place_of_a_stage_is_removed_and_not_waited_for(
    other: Path, name: str
) -> None:
    os.mkfifo(other / name)
    finished(other)
    assert not StateDirectory(other).is_unfinished


def test_a_restore_that_an_older_version_began_says_what_to_do(other: Path) -> None:
    (other / "restore").mkdir()
    (other / "restore" / "plan.json").write_bytes(b"{}")
    with (
        pytest.raises(StateError, match=r"plan\.json: .* move what is in"),
        hold_shared_lock(other),
    ):
        pass


# ---- the layout of older versions ----


@pytest.fixture
def flat(state: Path) -> Path:
    """`state` as an older version has it, with a log that its captures need."""
    lay_flat(state)
    with closing(sqlite3.connect(state / "captures.db")) as opened:
        opened.execute("PRAGMA wal_autocheckpoint = 0")
        opened.execute("UPDATE changes SET number = number + 1")
        opened.commit()
        shutil.copy(state / "captures.db", state / "captures.db.copy")
        shutil.copy(state / "captures.db-wal", state / "captures.db-wal.copy")
    for name in ("captures.db", "captures.db-wal"):
        os.replace(state / f"{name}.copy", state / name)
    return state


def test_a_state_of_an_older_version_is_carried_over_once(flat: Path, tmp_path: Path) -> None:
    shutil.copytree(flat, tmp_path / "reference", symlinks=True)
    for _ in range(2):
        finished(flat)
        assert content(flat) == content(tmp_path / "reference")
        assert {path.name for path in flat.iterdir() if path.suffix != ".lock"} == {
            "knowledge", "owner.json",
        }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True])
def test_a_power_cut_while_a_layout_changes_loses_nothing(
    flat: Path, tmp_path: Path, back: bool
) -> None:
    """At each instant of carrying over, or of laying back, the next start has all of it."""
    stock, reference = tmp_path / "stock", tmp_path / "reference"
    shutil.copytree(flat, reference, symlinks=True)
    expected = content(reference)
    if back:
        carry_over(flat)
    flat.rename(stock)
    number = 0
    while True:
        for end in (carry_over, lay_flat):
            copy_of(stock, flat)
            going_on = cut_at(number, lambda: (lay_flat if back else carry_over)(flat))
            end(flat)
            copy_of(flat, tmp_path / "looked at")
            assert content(tmp_path / "looked at") == expected
            assert (flat / "knowledge").exists() == (end is carry_over)
        if not going_on:
            break
        number += 1
    assert number > 10


def test_files_of_both_layouts_stay_where_they_are(
    flat: Path, other: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An older version ran meanwhile, and nobody had laid the state back for it."""
    shutil.copytree(other / "knowledge", flat / "knowledge", symlinks=True)
    log = (flat / "captures.db-wal").read_bytes()
    finished(flat)
    assert content(flat) == content(other)
    assert (flat / "captures.db-wal").read_bytes() == log
    assert "captures.db lies unused" in caplog.text
    with pytest.raises(StateError, match="it is there already: move it elsewhere"):
        downgrade(flat)


def test_going_back_to_an_older_version_waits_for_the_appliance_to_stop(state: Path) -> None:
    with (
        hold_shared_lock(state),
        pytest.raises(StateError, match="the appliance runs there: stop it"),
    ):
        downgrade(state)
    before = content(state)
    downgrade(state)
    assert not (state / "knowledge").exists()
    assert content(state) == before


def test_an_older_version_that_still_runs_keeps_its_layout(flat: Path) -> None:
    with open(flat / "in-use.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        finished(flat)
        assert not (flat / "knowledge").exists()
    finished(flat)
    assert (flat / "knowledge").exists()


def test_a_backup_of_an_older_version_is_restored(flat: Path, other: Path, tmp_path: Path) -> None:
    """Its zip has the same names and the same manifest as one of today."""
    backup(tmp_path / "old.zip", flat, None)
    restore(tmp_path / "old.zip", other, None)
    assert content(other) == content(flat)


def test_a_restore_replaces_what_an_older_version_left(made: Path, flat: Path, other: Path) -> None:
    before = content(flat)
    backup(made, other, None)
    restore(made, flat, None)
    assert content(flat) == content(other)
    assert content(flat / "before-restore") == before


# ---- the disk ----


def limited(bytes: int, work: Callable[[], Any]) -> str:
    """Run `work` in a process whose files can be no larger, and return what it was refused with."""
    ready, tell = os.pipe()
    number = os.fork()
    if not number:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, bytes))
        try:
            work()
        except ApplianceError as error:
            os.write(tell, str(error).encode())
        finally:
            os._exit(0)
    os.close(tell)
    with open(ready, "rb") as told:
        said = told.read().decode()
    os.waitpid(number, 0)
    return said


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_nothing_is_changed(
    made: Path, state: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, good = everything(other), made.read_bytes()
    for most in (3_000, 10_000, 30_000):
        said = limited(most, lambda: restore(made, other, None))
        assert "nothing was changed" in said
        assert everything(other) == before
        said = limited(most, lambda: backup(made, state, None))
        assert "no backup is written" in said
        assert made.read_bytes() == good
        assert not list(tmp_path.glob(".made*"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(StateError, match=r"needs 0\.\d MB, and 0\.0 MB are free: make room"):
        restore(made, other, None)
    assert everything(other) == before


@pytest.mark.slow
def test_memory_stays_flat_for_many_captures(tmp_path: Path, state: Path) -> None:
    rng = np.random.default_rng(1)
    large = tmp_path / "large"
    large.mkdir()
    with closing(Captures(StateDirectory(large).captures)) as captures:
        captures.add_all(
            Capture(0, 1.0 + each, 7, 7, None, 0.5, "ab" * 32, glyph(each), rng.bytes(32_000))
            for each in range(650)
        )
    assert (StateDirectory(large).captures).stat().st_size > 20_000_000

    def peak(work: Callable[[], Any]) -> int:
        """Return how much memory a process had at most, in kB."""
        number = os.fork()
        if not number:
            try:
                work()
                os._exit(0)
            finally:
                os._exit(1)
        _, code, used = os.wait4(number, 0)
        assert code == 0
        return used.ru_maxrss

    small_file, large_file = tmp_path / "small.zip", tmp_path / "large.zip"
    small = peak(lambda: backup(small_file, state, None))
    assert peak(lambda: backup(large_file, large, None)) < small + 6000
    small = peak(lambda: restore(small_file, tmp_path / "a", None))
    assert peak(lambda: restore(large_file, tmp_path / "b", None)) < small + 6000
    assert rows(StateDirectory(tmp_path / "b").captures) == rows(StateDirectory(large).captures)


# ---- the commands ----


def test_the_commands_say_what_is_in_it(
    state: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "digits.toml"
    config.write_text('[mqtt]\nhost = "broker"\nuser = "u"\npassword = "p"\n')
    arguments = ["--config", str(config), "--state"]
    out = tmp_path / "out.zip"
    with hold_shared_lock(state):
        assert main(["backup", str(out), *arguments, str(state)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{out}: 0.")
    current = Vault(StateDirectory(state).networks).load_current().id
    for line in ("settings: 49 bytes", "captures: ", "networks: 3, ", f"reads: {current}"):
        assert f"\n  {line}" in told
    assert "password of the MQTT broker: keep it to yourself" in told
    assert "the owner's PIN, which could be\nguessed from what is kept of it" in told
    assert main(["restore", str(out), *arguments, str(other)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{other} is as it was at 20")
    assert f"What was there before is in {StateDirectory(other).before_restore}" in told
    assert f"The settings file is restored: {config}" in told
    assert main(["backup", str(out), "--state", str(tmp_path / "none")]) == 1
    assert "no such state directory" in capsys.readouterr().err
    assert main(["backup", str(tmp_path), "--state", str(state)]) == 1
    assert f"backup {tmp_path}: cannot be written" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "none.zip"), "--state", str(state)]) == 1
    assert "none.zip: No such file" in capsys.readouterr().err


def test_a_settings_file_out_of_reach_is_told_where_it_lies(
    made: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(made), "--state", str(other)]) == 0
    told = capsys.readouterr().out
    assert "etc/digits.toml cannot be written, and stays as it is; it is in the backup:" in told
    assert f"unzip -p {made} digits.toml" in told
    assert not (other / "digits.toml").exists()


def test_pictures_come_back(tmp_path: Path, made: Path) -> None:
    restore(made, tmp_path / "fresh", None)
    with closing(Captures(StateDirectory(tmp_path / "fresh").captures)) as captures:
        first = next(captures.iter_captures())
        assert first.picture == PICTURE
        np.testing.assert_array_equal(first.glyph, glyph(100))

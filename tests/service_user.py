"""The service's user, who lays traps in the state directory for whoever comes there as root."""

import importlib
import logging
import os
import pkgutil
import random
import shutil
import signal
import sqlite3
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from select import select
from typing import NamedTuple

import appliance
import model
from appliance.__main__ import main
from appliance.captures.store import Captures
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.networks.vault import Vault
from appliance.outputs.history import History
from appliance.reading import Reading
from appliance.settings.overrides import Changes
from appliance.storage.layout import StateDirectory, carry_over
from appliance.storage.recovery import PLACE, SETTINGS
from appliance.training.records import append_night
from model.files import open_regular
from model.network import build
from tests.captured import add_capture, glyph

USER = 12345
"""A number that no account has."""
MARK = "precious-4f1d"
PATIENCE = 30.0
"""Seconds after which a command is taken to hang."""

NAMES = (
    "knowledge", "knowledge/captures.db", "knowledge/captures.db-wal", "knowledge/captures.db-shm",
    "knowledge/captures.db-journal", "knowledge/captures.db.lock", "knowledge/captures.db.new",
    "knowledge/history.db", "knowledge/history.db-wal", "knowledge/settings.json",
    "knowledge/.settings.json.new", "knowledge/nights.jsonl", "captures.db", "captures.db-wal",
    "captures.db.lock",
    "networks", "settings.json", "knowledge.new", "knowledge.restored",
    "knowledge.restored/digits.toml", "in-use.lock", "run.lock", "retrain.lock", "retrain.json",
    ".retrain.json.new", "owner.json", ".owner.json.new", ".backup.copy", "night",
    "night/plan.json", "knowledge/networks", "knowledge/networks/.lock",
    "knowledge/networks/current", "knowledge/networks/.current.new",
    "knowledge/networks/promotions.txt",
    "knowledge/networks/.promotions.txt.new", "knowledge/networks/NEW.npz",
    "knowledge/networks/.NEW.npz.new", "knowledge/networks/NEW.report.json", "restore",
    "restore/plan.json",
    "before-restore", "mnist", "mnist/train-labels-idx1-ubyte",
    "mnist/.train-labels-idx1-ubyte.new",
)  # fmt: skip
"""What may lie in a state directory; NEW is the network that is promoted there."""


class House(NamedTuple):
    """A folder with the user's state directory, and with what is root's alone."""

    folder: Path
    new: str
    """The id of a network that can be promoted."""

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def roots(self) -> Path:
        """Root's own folder, with files that others may not read or may not write."""
        return self.folder / "roots"

    @property
    def out(self) -> Path:
        """Where root's commands write what they are told to write."""
        return self.folder / "out"

    def commands(self) -> dict[str, list[str]]:
        """Return the words of each command that an owner runs with sudo, by a short name."""
        state = ["--state", str(self.state), "--config", str(self.roots / "digits.toml")]
        out, networks = self.out, StateDirectory(self.state).networks
        return {
            "backup": ["backup", str(out / "b.zip"), *state],
            "restore": ["restore", str(self.folder / "made.zip"), *state],
            "captures list": ["captures", "list", *state],
            "captures report": ["captures", "report", *state],
            "captures export": ["captures", "export", str(out / "c.zip"), *state],
            "captures import": ["captures", "import", str(self.folder / "made-c.zip"), *state],
            "networks": ["networks", *state],
            "networks show": ["networks", "show", self.new, *state],
            "networks promote": ["networks", "promote", self.new, *state],
            "networks roll-back": ["networks", "roll-back", *state],
            "pin": ["pin", *state],
            "pin --new": ["pin", "--new", *state],
            "doctor": ["doctor", "--report", str(out / "r.txt"), *state],
            "retrain": ["retrain", *state],
            "data import": [
                "data", "import", str(self.folder / "data"), "--to", str(self.state / "mnist"),
            ],
            "simulate": [
                "simulate", "--out", str(networks), "--count", "1", "--digits", "1",
                "--seed", "1",
            ],
        }  # fmt: skip


@contextmanager
def house() -> Iterator[House]:
    """Lend a house where nothing is wrong yet."""
    folder = Path(tempfile.mkdtemp(prefix="digits-", dir="/tmp"))
    folder.chmod(0o755)
    made = House(folder, _fill(folder / "state"))
    made.roots.mkdir(mode=0o700)
    made.out.mkdir(mode=0o700)
    (folder / "data").mkdir()
    (folder / "data" / "train-labels-idx1-ubyte").write_bytes(bytes(100))
    for name, mode in (("secret", 0o600), ("of-group", 0o640), ("open", 0o644)):
        (made.roots / name).write_text(f"{MARK} {name}\n")
        (made.roots / name).chmod(mode)
    (made.roots / "digits.toml").write_text("[reader]\nagree = 4\n")
    # What is put back and imported is of the same appliance, before anything was wrong.
    words = made.commands()
    for command, name in (("backup", "b.zip"), ("captures export", "c.zip")):
        found = attempt(words[command])
        assert found.code == 0, found.said
        (made.out / name).rename(folder / f"made{'-c' * (name == 'c.zip')}.zip")
    shutil.copytree(made.state, folder / "stock", symlinks=True)
    try:
        yield made
    finally:
        shutil.rmtree(folder)


def _fill(state: Path) -> str:
    """Make a state directory with something of everything; return a network to be promoted."""
    state.mkdir(mode=0o750)
    carry_over(state)
    places = StateDirectory(state)
    with closing(Captures(places.captures)) as captures:
        for each in range(5):
            add_capture(captures, label=each, glyph=glyph(each))
    with closing(History(places.history, limit=50)) as history:
        for each in range(3):
            history.show(Reading(at=1000.0 + each, settled=each))
    vault = Vault(places.networks)
    ids = [vault.add(build([["dense", 784, 10]], each), {"seed": each}) for each in range(3)]
    vault.promote(ids[0])
    vault.promote(ids[1])
    append_night(state, {"at": 5.0, "outcome": "kept", "why": "no better", "outcomes": {}})
    Changes(state).change("reader", "agree", 3)
    OwnerPin(owner_file(state)).make_pin()
    _give(state)
    return ids[2]


def _give(state: Path) -> None:
    for path in (state, *state.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)


def renew(house: House) -> None:
    """Have the state directory as it was, and nothing of root's changed."""
    shutil.rmtree(house.state)
    shutil.copytree(house.folder / "stock", house.state, symlinks=True)
    _give(house.state)
    for path in house.out.iterdir():
        path.unlink()


# ---- the traps ----


def _link(path: Path, house: House) -> None:
    path.symlink_to(house.roots / "secret")


def _link_open(path: Path, house: House) -> None:
    path.symlink_to(house.roots / "open")


def _dangling(path: Path, house: House) -> None:
    path.symlink_to(house.roots / "not there yet")


def _to_folder(path: Path, house: House) -> None:
    path.symlink_to(house.roots)


def _pipe(path: Path, house: House) -> None:
    os.mkfifo(path)
    os.chown(path, USER, USER)


def _folder(path: Path, house: House) -> None:
    path.mkdir()
    os.chown(path, USER, USER)


KINDS: dict[str, Callable[[Path, House], None]] = {
    "a link to what others may not read": _link,
    "a link to what others may not write": _link_open,
    "a link to what is not there": _dangling,
    "a link to a folder": _to_folder,
    "a pipe": _pipe,
    "a folder": _folder,
}


def lay(house: House, name: str, kind: str) -> None:
    """Put a trap in the place of a name."""
    path = house.state / name.replace("NEW", house.new)
    _clear(path)
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        os.chown(path.parent, USER, USER)
    KINDS[kind](path, house)
    if path.is_symlink():
        os.chown(path, USER, USER, follow_symlinks=False)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def lay_journal(house: House, name: str = "captures.db") -> None:
    """Leave a rollback journal that names a file of root's as the one above it.

    SQLite takes it for what a power cut left, rolls back, and removes the file that it names.
    """
    file, victim = StateDirectory(house.state).knowledge / name, str(house.roots / "open").encode()
    for rest in ("-wal", "-shm"):
        file.with_name(name + rest).unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        (page,) = database.execute("PRAGMA page_size").fetchone()
    first = file.read_bytes()[:page]
    pages, nonce = file.stat().st_size // page, 12345
    magic = bytes([0xD9, 0xD5, 0x05, 0xF9, 0x20, 0xA1, 0x63, 0xD7])
    head = (magic + struct.pack(">IIIII", 1, nonce, pages, 512, page)).ljust(512, b"\0")
    total = (nonce + sum(first[place] for place in range(page - 200, 0, -200))) & 0xFFFFFFFF
    record = struct.pack(">I", 1) + first + struct.pack(">I", total)
    tail = struct.pack(">I", 0x40000000 // page + 1) + victim
    tail += struct.pack(">II", len(victim), sum(victim) & 0xFFFFFFFF) + magic
    file.with_name(f"{name}-journal").write_bytes(head + record + tail)
    _give(house.state)


def lay_damage(house: House) -> None:
    """Damage the captures, and lead the new file that is made of them elsewhere."""
    file = StateDirectory(house.state).captures
    data = bytearray(file.read_bytes())
    # The list of free pages: the check at a start finds it, and all rows can be read.
    data[32:40] = struct.pack(">II", 999, 5)
    file.write_bytes(data)
    lay(house, "knowledge/captures.db.new", "a link to what is not there")


def lay_plan(house: House) -> None:
    """Leave a restore that is to be ended: it takes a file of root's group to where others read."""
    stage = StateDirectory(house.state).restored
    stage.mkdir()
    (stage / SETTINGS).symlink_to(house.roots / "of-group")
    (house.state / "leak").mkdir()
    place = house.state / "leak" / "got"
    (stage / PLACE).write_text(str(place))
    _give(house.state)


PLOTS: dict[str, Callable[[House], None]] = {
    "a journal in captures.db's place": lay_journal,
    "a journal in history.db's place": lambda house: lay_journal(house, "history.db"),
    "damaged captures, and a link where the new file goes": lay_damage,
    "a restore that is to be ended": lay_plan,
}


def scramble(house: House, chance: random.Random) -> None:
    """Change one thing in the state directory, as its user may at any instant."""
    name = chance.choice(NAMES).replace("NEW", house.new)
    path, aside = house.state / name, house.state / f"aside-{chance.randrange(8)}"
    with suppress(OSError):
        if chance.random() < 0.5:
            os.replace(chance.choice((path, aside)), chance.choice((path, aside)))
        else:
            beside = house.state / f".trap-{chance.randrange(4)}"
            _clear(beside)
            KINDS[chance.choice(list(KINDS))](beside, house)
            with suppress(OSError):
                os.rmdir(path)
            os.replace(beside, path)


# ---- root, who walks in ----


class Found(NamedTuple):
    """How a command ended: its code (None: it hung), and what it said."""

    code: int | None
    said: str


def warm_up() -> None:
    """Import all that commands import where they need it: the user may not read this Python."""
    for name in ("idna", "utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le"):
        "name".encode(name)
    for package in (appliance, model):
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            with suppress(ImportError):
                importlib.import_module(each.name)


def attempt(words: list[str], patience: float = PATIENCE) -> Found:
    """Run a command as root in a process of its own, as `sudo digits` does."""
    with tempfile.TemporaryFile("w+", dir="/tmp") as told:
        code = waited(begun(words, told.fileno()), patience)
        told.seek(0)
        return Found(code, told.read())


def begun(words: list[str], out: int) -> int:
    """Begin a command in a process of its own that says what it says to `out`; return its number.

    What is imported here is imported there: the user may not read this Python.
    """
    number = os.fork()
    if number:
        return number
    code = 70
    try:
        os.setsid()
        for stream in (1, 2):
            os.dup2(out, stream)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Those of the test runner are not the command's.
        logging.getLogger().handlers.clear()
        code = main(words)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def waited(number: int, patience: float) -> int | None:
    """Return the code of a process; one that takes too long is killed, and has none."""
    process = os.pidfd_open(number)
    ended, _, _ = select([process], [], [], patience)
    os.close(process)
    if not ended:
        os.killpg(number, signal.SIGKILL)
    _, status = os.waitpid(number, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


def roots_own(house: House) -> dict[str, tuple[object, ...]]:
    """Return all that is root's with its content, mode, owner and number."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (house.folder, house.roots, *sorted(house.roots.rglob("*"))):
        at = path.lstat()
        content = path.read_bytes() if path.is_file() else sorted(os.listdir(path))
        found[str(path)] = content, at.st_mode, at.st_uid, at.st_gid, at.st_ino
    return found


def harm(house: House, before: dict[str, tuple[object, ...]], said: str) -> list[str]:
    """Return what a command did as root for the user: an empty list is what should be."""
    after = roots_own(house)
    wrong = [f"{name} was changed" for name in before if after.get(name) != before[name]]
    wrong += [f"{name} was made" for name in after if name not in before]
    # The user may go on changing names meanwhile.
    for folder, folders, files in os.walk(house.state):
        for path in (Path(folder) / name for name in (*folders, *files)):
            wrong += _told_to_user(path)
    for path in house.out.iterdir():
        if MARK.encode() in path.read_bytes():
            wrong.append(f"{path} has what is in a file of root's")
    return wrong + ["it says what is in a file of root's"] * (MARK in said)


def _told_to_user(path: Path) -> list[str]:
    """Return what is wrong with a file of the state directory after root was there."""
    wrong = []
    with suppress(OSError):
        if path.lstat().st_uid != USER:
            wrong.append(f"{path} is not the user's")
        with open(path, "rb", opener=open_regular) as file:
            if MARK.encode() in file.read():
                wrong.append(f"{path} tells what is in a file of root's")
    return wrong

"""Where each file of a state directory lies: all that a backup holds is in its folder `knowledge/`.

    knowledge/       captures.db, history.db, networks/, settings.json, nights.jsonl
    before-restore/  the `knowledge/` that the last restore replaced
    owner.json, mnist/, night/, retrain.json, *.lock: what no backup holds

Older versions had the files of `knowledge/` in the state directory itself. The first start
moves them, once; `lay_flat` moves them back for such a version.
"""

import logging
import os
from pathlib import Path

from model.files import sync

log = logging.getLogger(__name__)

CAPTURES, HISTORY = "captures.db", "history.db"
NETWORKS, OVERRIDES, NIGHTS = "networks", "settings.json", "nights.jsonl"
CAPTURES_LOCK = f"{CAPTURES}.lock"
_LOGS = "-journal", "-wal", "-shm"


class StateDirectory:
    """The places in a state directory.

    `knowledge` is the state directory itself until a start has made the folder: so a card that is
    read-only, and a version before that still runs, keep their files where they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "knowledge"

    @property
    def knowledge(self) -> Path:
        return self.folder if self.folder.is_dir() else self.path

    @property
    def captures(self) -> Path:
        return self.knowledge / CAPTURES

    @property
    def history(self) -> Path:
        return self.knowledge / HISTORY

    @property
    def networks(self) -> Path:
        return self.knowledge / NETWORKS

    @property
    def overrides(self) -> Path:
        """The settings that were changed on the page."""
        return self.knowledge / OVERRIDES

    @property
    def nights(self) -> Path:
        """What the nights came to, a line each."""
        return self.knowledge / NIGHTS

    @property
    def before_restore(self) -> Path:
        return self.path / "before-restore"

    @property
    def staging(self) -> Path:
        """Where a backup is unpacked and checked."""
        return self.path / "knowledge.new"

    @property
    def restored(self) -> Path:
        """A whole backup that is to take the place of `knowledge`."""
        return self.path / "knowledge.restored"

    @property
    def night(self) -> Path:
        """A training that is not at its end."""
        return self.path / "night"

    @property
    def progress(self) -> Path:
        """What a training tells of itself where systemd gives it no place in RAM."""
        return self.path / "retrain.json"

    @property
    def pin(self) -> Path:
        return self.path / "owner.json"

    @property
    def mnist(self) -> Path:
        return self.path / "mnist"

    @property
    def lock(self) -> Path:
        return self.path / "in-use.lock"

    @property
    def run_lock(self) -> Path:
        return self.path / "run.lock"

    @property
    def training_lock(self) -> Path:
        return self.path / "retrain.lock"

    @property
    def old_staging(self) -> Path:
        """Where a version before `knowledge/` laid a backup down."""
        return self.path / "restore"

    @property
    def backup_copy(self) -> Path:
        """Where a backup copies a database before it packs it."""
        return self.path / ".backup.copy"

    @property
    def is_unfinished(self) -> bool:
        """Tell whether a power cut or an older version left something to put in order."""
        left = self.staging, self.restored, self.old_staging, self.backup_copy
        return self.is_flat or any(os.path.lexists(each) for each in left)

    @property
    def is_flat(self) -> bool:
        """Tell whether something lies as older versions had it, or nothing is there yet."""
        return not self.folder.is_dir() or any(
            os.path.lexists(self.path / name)
            for name in (CAPTURES, CAPTURES_LOCK, HISTORY, NETWORKS, OVERRIDES, NIGHTS)
        )


def carry_over(state: Path) -> None:
    """Make `knowledge/`, and move into it what an older version left in the state directory.

    The next call goes on where a power cut broke one off. What is in `knowledge/` already stays.
    Whoever calls it holds the state's lock and the captures' alone. Raises OSError.
    """
    folder = StateDirectory(state).folder
    if not folder.is_dir():
        folder.mkdir()
        # As open as the state directory: networks are no secret, and captures have their own mode.
        folder.chmod(state.stat().st_mode & 0o777)
    # First what tells of nothing that is left to move: damaged databases that were put aside.
    for path in sorted(state.glob("*.db.damaged-*")):
        _move(path.name, state, folder)
    for name in (CAPTURES, HISTORY):
        if _is_to_move(name, state, folder):
            # A database goes after its logs: without them it would lose its newest rows.
            for rest in _LOGS:
                _move(f"{name}{rest}", state, folder)
            sync(folder)
            _move(name, state, folder)
    for name in (NETWORKS, OVERRIDES, NIGHTS):
        if _is_to_move(name, state, folder):
            _move(name, state, folder)
    if not os.path.lexists(state / CAPTURES):
        # Theirs lies beside them now.
        (state / CAPTURES_LOCK).unlink(missing_ok=True)
    sync(folder)
    sync(state)


def lay_flat(state: Path) -> None:
    """Move what is in `knowledge/` to where older versions look for it, and remove the folder.

    The next call goes on where a power cut broke one off; so does `carry_over`. Whoever calls it
    holds the state's lock alone. Raises OSError, also where something is in the way.
    """
    folder = StateDirectory(state).folder
    if not folder.is_dir():
        return
    for name in (CAPTURES, HISTORY, NETWORKS, OVERRIDES, NIGHTS):
        if os.path.lexists(folder / name) and os.path.lexists(state / name):
            raise FileExistsError(0, "it is there already: move it elsewhere", str(state / name))
    for name in (CAPTURES, HISTORY):
        # A database goes before its logs, so that `carry_over` can undo half of it.
        _move(name, folder, state)
        sync(state)
        for rest in _LOGS:
            _move(f"{name}{rest}", folder, state)
    for path in sorted(folder.iterdir()):
        _move(path.name, folder, state)
    sync(state)
    folder.rmdir()
    sync(state)


def _is_to_move(name: str, state: Path, folder: Path) -> bool:
    if not os.path.lexists(state / name):
        return False
    if os.path.lexists(folder / name):
        log.warning("%s lies unused: %s is what counts", state / name, folder / name)
        return False
    return True


def _move(name: str, source: Path, target: Path) -> None:
    if os.path.lexists(source / name):
        os.rename(source / name, target / name)

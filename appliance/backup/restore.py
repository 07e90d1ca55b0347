"""A backup put back: checked whole, laid down beside, then moved into its place.

Until `restore/plan.json` is there nothing has changed and what was laid down is dropped; from then
on whoever comes next moves the rest. So a power cut leaves all of the old or all of the new.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from appliance.errors import ApplianceError, BackupError, SettingsError, StateError
from appliance.settings.overrides import CHANGED
from appliance.training import records
from appliance.training.lock import is_training
from model.files import open_regular, read_regular, replace_file, sync

# Whatever writes into the state directory imports this one to lock it; what a backup is is imported
# where one is restored.
if TYPE_CHECKING:
    import zipfile

    from appliance.backup.archive import Manifest
    from appliance.storage.ownership import Placed

log = logging.getLogger(__name__)

KEPT = "before-restore"
"""Where the files that were replaced are, until the next restore."""

_LOGS = ("captures.db-wal", "captures.db-shm", "history.db-wal", "history.db-shm")
# A log that stayed would be taken for the new database's own. A training that is not at its end
# learns from what was before: it goes too.
_PLACES = (
    *_LOGS,
    "captures.db",
    "history.db",
    CHANGED,
    records.NIGHTS,
    "networks",
    "night",
    "retrain.json",
)
_LEFT = {*_PLACES, "digits.toml"}
_SPARE_BYTES = 4_000_000


class Restored(NamedTuple):
    """What was restored; `settings` is the settings file that was replaced, or None.

    `kept` tells that something was replaced, which is in `before-restore`, `left_out` how many rows
    of a database were damaged and stay in the backup.
    """

    manifest: "Manifest"
    settings: Path | None
    kept: bool
    left_out: Sequence[str] = ()


class SettingsFile(NamedTuple):
    """A settings file that is to be replaced: `out` takes its place, `old` was in it (or None)."""

    out: "Placed"
    old: bytes | None


@contextmanager
def in_use(state: Path, *, reads_on: bool = False) -> Iterator[str | None]:
    """Keep restores out for as long as the block lasts; what a power cut left of one is ended.

    Raises StateError while one is under way, and where it cannot be ended or nothing can be
    written; with `reads_on` the block is lent a sentence that says so. The kernel lets go when the
    process dies.
    """
    problem = None
    try:
        lock = _lock_file(state)
    except StateError as error:
        if not reads_on:
            raise
        log.warning("%s", error)
        yield str(error)
        return
    try:
        try:
            if (state / _STAGE).exists() and _taken(lock, fcntl.LOCK_EX):
                _finish_late(state)
        except StateError as error:
            if not reads_on:
                raise
            log.warning("%s", error)
            problem = str(error)
        if not _taken(lock, fcntl.LOCK_SH):
            raise StateError(f"{state}: a restore is under way: start again when it has ended")
        yield problem
    finally:
        os.close(lock)


def restore(
    source: IO[bytes],
    file: Path,
    state: Path,
    settings: SettingsFile | None,
    *,
    leave: Sequence[str] = (),
) -> Restored:
    """Put what is in a backup in the place of what is in a state directory, all of it or nothing.

    `file` is what an error calls the backup. With `settings` the backup's settings file takes that
    one's place. Files in `leave` stay as they are and are not looked at in the backup. Raises
    BackupError for what is not a whole backup, StateError where something runs there or nothing
    can be written.
    """
    from appliance.backup.archive import FULL, opened
    from appliance.backup.contents import SETTINGS

    try:
        with ExitStack() as held:
            with opened(source, file) as (archive, manifest):
                if SETTINGS not in manifest.files or SETTINGS in leave:
                    settings = None
                state.mkdir(parents=True, exist_ok=True)
                held.enter_context(_alone(state))
                _finish_late(state)
                left_out = _lay_down(archive, manifest, state, settings, leave)
            kept = finish(state, settings)
            return Restored(manifest, settings.out.path if settings else None, kept, left_out)
    except OSError as error:
        if isinstance(error, ApplianceError) or error.filename == str(file):
            raise
        step = "make room on the disk" if error.errno in FULL else "check the disk and its owner"
        what = f"{error.filename}: " if error.filename else ""
        raise StateError(
            f"{state}: the backup cannot be restored ({what}{error.strerror or error}): {step}; "
            f"{_so_far(state)}"
        ) from None


def _so_far(state: Path) -> str:
    if os.path.exists(state / _STAGE / _PLAN):
        return "it is begun, and the next start of the appliance ends it"
    return "nothing was changed"


def _finish_late(state: Path) -> None:
    """End or drop what a power cut left, and say so; raises StateError where neither can be."""
    try:
        finish(state)
    except StateError:
        raise
    except OSError as error:
        if os.path.exists(state / _STAGE / _PLAN):
            raise StateError(
                f"{state}: a restore was broken off and cannot be ended ({error.strerror}): check "
                "the disk and who owns the folder"
            ) from None
        log.warning(
            "a restore was broken off before it had changed anything, and is dropped (%s: %s): "
            "restore again",
            error.filename,
            error.strerror,
        )


def finish(state: Path, settings: SettingsFile | None = None) -> bool:
    """End what was begun, or drop what was only laid down; tell whether old files were put aside.

    Settings are put in their place by `settings`, else by whoever this is, where the plan says.
    Whoever calls it holds the lock. Raises OSError; then the next call goes on.
    """
    stage = state / _STAGE
    if not stage.exists():
        return False
    try:
        plan = json.loads(read_regular(stage / _PLAN))
        # A name that is none of these is a damaged one: what it stood for would be removed.
        if not set(plan["new"]) <= set(_PLACES) or not set(plan["leave"]) <= _LEFT:
            raise ValueError
    except FileNotFoundError:
        shutil.rmtree(stage)
        return False
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StateError(
            f"{stage / _PLAN}: damaged, so a restore cannot be ended: move what is in {stage} to "
            f"{state}, and remove {stage}"
        ) from None
    _put_settings(stage, plan, settings)
    kept, aside = stage / KEPT, False
    if kept.exists():
        for name in _PLACES:
            if name not in plan["leave"]:
                _move(name, state, stage, name in plan["new"])
        aside = any(kept.iterdir())
        if aside:
            _remove(state / KEPT)
            os.rename(kept, state / KEPT)
            sync(state)
            sync(stage)
    _drop(stage)
    log.info("a backup is restored in %s; what was there before is in %s", state, KEPT)
    return aside


_STAGE, _PLAN = "restore", "plan.json"


def _lay_down(
    archive: "zipfile.ZipFile",
    manifest: "Manifest",
    state: Path,
    settings: SettingsFile | None,
    leave: Sequence[str],
) -> list[str]:
    """Unpack and check all files beside the old ones, and mark them complete at the end.

    Returns what is damaged in the databases of the backup, and was left out.
    """
    from appliance.backup.archive import unpack
    from appliance.backup.contents import SETTINGS, check_file

    free = shutil.disk_usage(state).free
    if free < manifest.bytes + _SPARE_BYTES:
        raise StateError(
            f"{state}: the backup needs {manifest.bytes / 1e6:.1f} MB, and {free / 1e6:.1f} MB are "
            "free: make room on the disk; nothing was changed"
        )
    stage, left_out = state / _STAGE, []
    try:
        (stage / KEPT).mkdir(parents=True)
        if manifest.reads or any(name.startswith("networks/") for name in manifest.files):
            (stage / "networks").mkdir()
        for name, told in manifest.files.items():
            if name in leave:
                continue
            unpack(archive, name, told, stage / name)
            try:
                damage = check_file(name, stage / name)
                left_out += [damage] if damage else []
            except StateError as error:
                said = str(error).replace(f"{stage}/", "")
                raise StateError(f"{said}; nothing was changed") from None
            except SettingsError as error:
                said = str(error).replace(f"{stage}/", "")
                raise BackupError(
                    f"{said} (with --no-settings they are left as they are)"
                ) from None
            except ValueError as error:
                # WeightsError and ReportError are ValueErrors too.
                raise ValueError(str(error).replace(f"{stage}/", "")) from None
            os.utime(stage / name, (told.at, told.at))
        if manifest.reads:
            (stage / "networks" / "current").symlink_to(manifest.reads)
        if settings is None:
            (stage / SETTINGS).unlink(missing_ok=True)
        elif settings.old is not None:
            with open(stage / KEPT / SETTINGS, "xb", opener=open_regular) as file:
                file.write(settings.old)
        _settle(stage)
        plan = {
            "new": [name for name in _PLACES if (stage / name).exists()],
            "leave": list(leave),
            "settings": str(settings.out.path.absolute()) if settings else None,
        }
        with replace_file(stage / _PLAN) as file:
            file.write(json.dumps(plan).encode())
        return left_out
    except BaseException:
        with suppress(OSError):
            _drop(stage)
        raise


def _settle(stage: Path) -> None:
    """Have all files on the card, with the modes that the service gives them."""
    for path in (stage, *stage.rglob("*")):
        if path.is_symlink():
            continue
        # Captures are nobody else's, networks are no secret.
        open_to_all = 0o005 if "networks" in (path.name, path.parent.name) else 0
        path.chmod(0o750 | open_to_all if path.is_dir() else 0o640 | open_to_all & 0o004)
        sync(path)
    sync(stage.parent)


def _put_settings(stage: Path, plan: dict[str, Any], settings: SettingsFile | None) -> None:
    """Put the settings file in its place, the first of all; without the right to it all is dropped.

    It belongs to root, and the appliance, which may be the one to end this, is not root. What lies
    in its folder does not tell root where to write, or what.
    """
    from appliance.backup.contents import SETTINGS

    staged = stage / SETTINGS
    if not staged.exists():
        return
    try:
        new = read_regular(staged)
        if settings and settings.old != new:
            settings.out.file.write(new)
            settings.out.put()
        elif not settings:
            _replace(Path(plan["settings"]), new, stage)
    except OSError:
        _drop(stage)
        raise
    staged.unlink()
    sync(stage)


def _replace(place: Path, text: bytes, stage: Path) -> None:
    if not place.exists() or read_regular(place) != text:
        with replace_file(place) as file:
            keep_mode(file.fileno(), place, stage)
            file.write(text)


def keep_mode(new: int, place: Path, state: Path) -> None:
    """Give a new settings file the old one's mode and owner: it may hold a password.

    Where there is none the group of the state directory may read it. Raises OSError.
    """
    old = place.lstat() if os.path.lexists(place) else None
    os.fchmod(new, old.st_mode & 0o777 if old else 0o640)
    with suppress(PermissionError, FileNotFoundError):
        if old:
            os.fchown(new, old.st_uid, old.st_gid)
        else:
            os.fchown(new, -1, state.stat().st_gid)


def _move(name: str, state: Path, stage: Path, planned: bool) -> None:
    """Move an old file aside and the new one into its place; what was done before stays done."""
    old, new, kept = state / name, stage / name, stage / KEPT / name
    if planned and not new.exists():
        return
    if os.path.lexists(old):
        if not os.path.lexists(kept):
            os.rename(old, kept)
        elif planned or name in _LOGS:
            # Made by a command between a power cut and now, on a state of two halves.
            _remove(old)
        sync(kept.parent)
        sync(state)
    if planned:
        os.rename(new, old)
        sync(state)
        sync(stage)


def _drop(stage: Path) -> None:
    """Remove what was laid down; without its plan first, so that it is not taken for complete."""
    (stage / _PLAN).unlink(missing_ok=True)
    sync(stage)
    shutil.rmtree(stage)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# ---- the locks ----


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Hold the state directory alone; raises StateError while anything runs there."""
    lock = _lock_file(state)
    captures = None
    try:
        if not _taken(lock, fcntl.LOCK_EX):
            what = "a training runs" if is_training(state) else "the appliance runs"
            raise StateError(
                f"{state}: {what} there: stop it ('systemctl stop digits digits-retrain'), "
                "then restore; nothing was changed"
            )
        # Whoever has the captures open, such as a command, holds this.
        with suppress(FileNotFoundError):
            captures = open_regular(state / "captures.db.lock", os.O_RDONLY)
        if captures is not None and not _taken(captures, fcntl.LOCK_EX):
            raise StateError(
                f"{state}: another program has the captures open: wait for its end, then restore; "
                "nothing was changed"
            )
        yield
    finally:
        os.close(lock)
        if captures is not None:
            os.close(captures)


def _lock_file(state: Path) -> int:
    try:
        lock = open_regular(state / "in-use.lock", os.O_RDONLY | os.O_CREAT)
    except OSError as error:
        raise StateError(
            f"{state}: nothing can be written there ({error.strerror}): check the disk and who "
            "owns the state directory, or choose another with --state DIR"
        ) from None
    return lock


def _taken(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

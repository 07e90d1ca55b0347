"""Finishes or drops a restore or a backup that was broken off, and carries over an old layout.

The rule: `knowledge.restored/` is whole and replaces `knowledge/`; `knowledge.new/` is not whole,
and is removed.
"""

import errno
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from appliance.errors import StateError
from appliance.storage.layout import StateDirectory, carry_over
from model.files import read_regular, replace_file, sync

if TYPE_CHECKING:
    from appliance.storage.ownership import OutputFile

log = logging.getLogger(__name__)

SETTINGS = "digits.toml"
PLACE, REPLACED = "digits.toml.place", "digits.toml.replaced"
"""Beside a restored settings file: the path that it goes to, and what was there before."""


class SettingsFile(NamedTuple):
    """A settings file to be replaced: `out` is the new one, `old` what was in the old one."""

    out: "OutputFile"
    old: bytes | None


def recover(state: Path) -> None:
    """Finish or drop what was broken off, and carry over an old layout; raises StateError.

    The caller holds the state's lock exclusively.
    """
    try:
        finish_restore(state)
    except OSError as error:
        if isinstance(error, StateError):
            raise
        if os.path.lexists(StateDirectory(state).restored):
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
    try:
        for path in state.glob(f"{StateDirectory(state).backup_copy.name}*"):
            # As large as the captures, of a backup that was cut off: one that goes on has the lock.
            _remove(path)
        carry_over(state)
    except OSError as error:
        raise StateError(
            f"{state}: what a version before wrote cannot be moved ({error.filename}: "
            f"{error.strerror}): check the disk and who owns the folder"
        ) from None


def finish_restore(state: Path, settings: SettingsFile | None = None) -> bool:
    """Put a whole restore in its place; return whether there is something in `before-restore/`.

    The settings file is replaced through `settings`, else at the path that the restore names.
    Raises OSError; the next call goes on from there.
    """
    places = StateDirectory(state)
    _drop_old_stage(state)
    _remove(places.staging)
    if not places.restored.is_dir():
        return False
    kept = places.before_restore
    if places.folder.is_dir():
        _replace_settings(places, settings)
        _remove(kept)
        os.rename(places.folder, kept)
        sync(state)
    for path, name in (
        (places.restored / REPLACED, SETTINGS),
        # An unfinished training learns from what was before.
        (places.night, places.night.name),
        (places.progress, places.progress.name),
    ):
        if os.path.lexists(path):
            os.rename(path, kept / name)
    sync(kept)
    os.rename(places.restored, places.folder)
    sync(state)
    was_something = any(kept.iterdir())
    if not was_something:
        kept.rmdir()
    log.info("a backup is restored in %s; what was there before is in %s", state, kept.name)
    return was_something


def drop_restore(restored: Path) -> None:
    """Remove a restore; renamed first, so that half of it is never taken for whole."""
    staging = StateDirectory(restored.parent).staging
    os.rename(restored, staging)
    sync(staging.parent)
    shutil.rmtree(staging)


def copy_mode(new: int, place: Path, state: Path) -> None:
    """Give a new settings file the old one's mode and owner: it may hold a password.

    Without an old one, the state directory's group may read it. Raises OSError.
    """
    old = place.lstat() if os.path.lexists(place) else None
    os.fchmod(new, old.st_mode & 0o777 if old else 0o640)
    with suppress(PermissionError, FileNotFoundError):
        if old:
            os.fchown(new, old.st_uid, old.st_gid)
        else:
            os.fchown(new, -1, state.stat().st_gid)


def _replace_settings(places: StateDirectory, settings: SettingsFile | None) -> None:
    """Replace the settings file, the first step; where that fails the restore is dropped.

    The file is root's, and the appliance, which may finish a restore, is not root. Root itself
    never trusts the path or the text in the restore: it gets `settings`.
    """
    staged = places.restored / SETTINGS
    if os.path.lexists(staged):
        try:
            new = read_regular(staged)
            if settings and settings.old != new:
                settings.out.file.write(new)
                settings.out.put()
            elif not settings:
                _write(_read_place(places.restored / PLACE), new, places.path)
        except (OSError, ValueError):
            drop_restore(places.restored)
            raise
        staged.unlink()
        sync(places.restored)
    (places.restored / PLACE).unlink(missing_ok=True)


def _read_place(file: Path) -> Path:
    """Return the path that a file holds; raises OSError, also where it holds none."""
    place = os.fsdecode(read_regular(file))
    if "\0" in place:
        raise OSError(errno.EINVAL, "holds no path", str(file))
    return Path(place)


def _write(place: Path, text: bytes, state: Path) -> None:
    if not place.exists() or read_regular(place) != text:
        with replace_file(place) as file:
            copy_mode(file.fileno(), place, state)
            file.write(text)


def _drop_old_stage(state: Path) -> None:
    """Remove what an older version unpacked; raises StateError for a restore that it had begun.

    With a plan some files may be in their places already: no rule tells which are whole.
    """
    stage = StateDirectory(state).old_staging
    if os.path.lexists(stage / "plan.json"):
        raise StateError(
            f"{stage / 'plan.json'}: a version before was to end this restore: a restore cannot be "
            f"ended: move what is in {stage} to {state}, and remove {stage}"
        )
    _remove(stage)


def _remove(path: Path) -> None:
    # rmtree waits for a writer at a pipe.
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

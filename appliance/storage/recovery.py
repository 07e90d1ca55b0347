"""What a power cut left of a restore is ended or dropped, and an old layout is carried over.

The rule: `knowledge.restored/` is whole and takes the place of `knowledge/`; what is in
`knowledge.new/` is not, and is dropped.
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
    from appliance.storage.ownership import Placed

log = logging.getLogger(__name__)

SETTINGS = "digits.toml"
PLACE, REPLACED = "digits.toml.place", "digits.toml.replaced"
"""Beside a restored settings file: where it goes, and the text that was there before."""


class SettingsFile(NamedTuple):
    """A settings file that is to be replaced: `out` takes its place, `old` was in it (or None)."""

    out: "Placed"
    old: bytes | None


def recover(state: Path) -> None:
    """End or drop what a power cut left, and carry over an old layout.

    Whoever calls it holds the state's lock alone. Raises StateError where that cannot be done.
    """
    try:
        finish(state)
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
        carry_over(state)
    except OSError as error:
        raise StateError(
            f"{state}: what a version before wrote cannot be moved ({error.filename}: "
            f"{error.strerror}): check the disk and who owns the folder"
        ) from None


def finish(state: Path, settings: SettingsFile | None = None) -> bool:
    """Put a restore that is whole in its place; tell whether something was put aside for it.

    Settings are put in their place by `settings`, else by whoever this is, where the restore says.
    Raises OSError; then the next call goes on.
    """
    places = StateDirectory(state)
    _drop_old_stage(state)
    _remove(places.staging)
    if not places.restored.is_dir():
        return False
    kept = places.before_restore
    if places.folder.is_dir():
        _put_settings(places, settings)
        _remove(kept)
        os.rename(places.folder, kept)
        sync(state)
    for path, name in (
        (places.restored / REPLACED, SETTINGS),
        # A training that is not at its end learns from what was before.
        (places.night, places.night.name),
        (places.progress, places.progress.name),
    ):
        if os.path.lexists(path):
            os.rename(path, kept / name)
    sync(kept)
    os.rename(places.restored, places.folder)
    sync(state)
    aside = any(kept.iterdir())
    if not aside:
        kept.rmdir()
    log.info("a backup is restored in %s; what was there before is in %s", state, kept.name)
    return aside


def drop(restored: Path) -> None:
    """Remove a restore; by another name first, so that the rest of it is not taken for whole."""
    staging = StateDirectory(restored.parent).staging
    os.rename(restored, staging)
    sync(staging.parent)
    shutil.rmtree(staging)


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


def _put_settings(places: StateDirectory, settings: SettingsFile | None) -> None:
    """Put the settings file in its place, the first of all; without the right to it all is dropped.

    It belongs to root, and the appliance, which may be the one to end this, is not root. What lies
    in its folder does not tell root where to write, or what.
    """
    staged = places.restored / SETTINGS
    if os.path.lexists(staged):
        try:
            new = read_regular(staged)
            if settings and settings.old != new:
                settings.out.file.write(new)
                settings.out.put()
            elif not settings:
                _replace(_read_place(places.restored / PLACE), new, places.path)
        except (OSError, ValueError):
            drop(places.restored)
            raise
        staged.unlink()
        sync(places.restored)
    (places.restored / PLACE).unlink(missing_ok=True)


def _read_place(file: Path) -> Path:
    """Return the path that stands in a file; raises OSError, also where it is none."""
    place = os.fsdecode(read_regular(file))
    if "\0" in place:
        raise OSError(errno.EINVAL, "holds no path", str(file))
    return Path(place)


def _replace(place: Path, text: bytes, state: Path) -> None:
    if not place.exists() or read_regular(place) != text:
        with replace_file(place) as file:
            keep_mode(file.fileno(), place, state)
            file.write(text)


def _drop_old_stage(state: Path) -> None:
    """Drop what older versions had only laid down; raises StateError for a restore they began.

    With its plan some files may be in their places already: no rule tells which are whole.
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

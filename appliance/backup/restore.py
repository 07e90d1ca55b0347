"""A backup put back: unpacked and checked beside what is there, then renamed into its place.

Until all of it is whole nothing has changed; from then on `storage.recovery` ends what a power cut
broke off. So it is all of the old or all of the new.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from appliance.backup.archive import FULL, Manifest, open_backup, unpack
from appliance.backup.contents import check_file
from appliance.errors import ApplianceError, BackupError, SettingsError, StateError
from appliance.storage.layout import OVERRIDES, StateDirectory
from appliance.storage.recovery import (
    PLACE,
    REPLACED,
    SETTINGS,
    SettingsFile,
    drop_restore,
    finish_restore,
    recover,
)
from appliance.storage.state_lock import hold_exclusive_lock
from appliance.training.lock import is_training
from model.files import copy_regular, open_regular, sync

if TYPE_CHECKING:
    import zipfile

_SPARE_BYTES = 4_000_000


class Restored(NamedTuple):
    """What was restored; `settings` is the settings file that was replaced, or None.

    `kept` tells that something was replaced, which is in `before-restore`, `left_out` how many rows
    of a database were damaged and stay in the backup.
    """

    manifest: Manifest
    settings: Path | None
    kept: bool
    left_out: Sequence[str] = ()


def restore(
    source: IO[bytes],
    file: Path,
    state: Path,
    settings: SettingsFile | None,
    *,
    keep_settings: bool = False,
) -> Restored:
    """Put what is in a backup in the place of what is in a state directory, all of it or nothing.

    `file` is what an error calls the backup. With `settings` the backup's settings file takes that
    one's place; with `keep_settings` all settings stay as they are, and are not looked at in the
    backup. Raises BackupError for what is not a whole backup, StateError where something runs there
    or nothing can be written.
    """
    try:
        with ExitStack() as stack:
            with open_backup(source, file) as (archive, manifest):
                if SETTINGS not in manifest.files or keep_settings:
                    settings = None
                state.mkdir(parents=True, exist_ok=True)
                stack.enter_context(
                    hold_exclusive_lock(state, "restore", training=is_training(state))
                )
                recover(state)
                left_out = _lay_down(archive, manifest, state, settings, keep_settings)
            kept = finish_restore(state, settings)
            return Restored(manifest, settings.out.path if settings else None, kept, left_out)
    except OSError as error:
        if isinstance(error, ApplianceError) or error.filename == str(file):
            raise
        step = "make room on the disk" if error.errno in FULL else "check the disk and its owner"
        what = f"{error.filename}: " if error.filename else ""
        begun = os.path.lexists(StateDirectory(state).restored)
        outcome = "it is begun, and the next start of the appliance ends it"
        raise StateError(
            f"{state}: the backup cannot be restored ({what}{error.strerror or error}): {step}; "
            f"{outcome if begun else 'nothing was changed'}"
        ) from None


def _lay_down(
    archive: "zipfile.ZipFile",
    manifest: Manifest,
    state: Path,
    settings: SettingsFile | None,
    keep_settings: bool,
) -> list[str]:
    """Unpack and check all files beside the old ones; give them the name of a whole restore.

    Returns what is damaged in the databases of the backup, and was left out.
    """
    free = shutil.disk_usage(state).free
    if free < manifest.bytes + _SPARE_BYTES:
        raise StateError(
            f"{state}: the backup needs {manifest.bytes / 1e6:.1f} MB, and {free / 1e6:.1f} MB are "
            "free: make room on the disk; nothing was changed"
        )
    places = StateDirectory(state)
    stage, left_out = places.staging, list[str]()
    try:
        stage.mkdir()
        if manifest.reads or any(name.startswith("networks/") for name in manifest.files):
            (stage / "networks").mkdir()
        for name, member in manifest.files.items():
            if keep_settings and name in (SETTINGS, OVERRIDES):
                continue
            unpack(archive, name, member, stage / name)
            damage = _check(name, stage)
            left_out += [damage] if damage else []
            os.utime(stage / name, (member.at, member.at))
        if manifest.reads:
            (stage / "networks" / "current").symlink_to(manifest.reads)
        if keep_settings:
            with suppress(FileNotFoundError):
                copy_regular(places.overrides, stage / OVERRIDES)
        if settings is None:
            (stage / SETTINGS).unlink(missing_ok=True)
        else:
            _write(stage / PLACE, os.fsencode(settings.out.path.absolute()))
            if settings.old is not None:
                _write(stage / REPLACED, settings.old)
        _settle(stage)
        os.rename(stage, places.restored)
        sync(state)
        return left_out
    except BaseException:
        with suppress(OSError):
            drop_restore(places.restored) if places.restored.exists() else shutil.rmtree(stage)
        raise


def _check(name: str, stage: Path) -> str | None:
    """Check a file that was unpacked; return what was damaged in it and is left out, or None."""
    try:
        return check_file(name, stage / name)
    except StateError as error:
        text = str(error).replace(f"{stage}/", "")
        raise StateError(f"{text}; nothing was changed") from None
    except SettingsError as error:
        text = str(error).replace(f"{stage}/", "")
        raise BackupError(f"{text} (with --no-settings they are left as they are)") from None
    except ValueError as error:
        # WeightsError and ReportError are ValueErrors too.
        raise ValueError(str(error).replace(f"{stage}/", "")) from None


def _write(path: Path, data: bytes) -> None:
    with open(path, "xb", opener=open_regular) as file:
        file.write(data)


def _settle(stage: Path) -> None:
    """Have all files on the card, with the modes that the service gives them."""
    for path in (stage, *stage.rglob("*")):
        if path.is_symlink():
            continue
        # Captures are nobody else's, networks are no secret.
        is_open = path == stage or "networks" in (path.name, path.parent.name)
        path.chmod((0o755 if is_open else 0o750) if path.is_dir() else 0o644 if is_open else 0o640)
        sync(path)
    stage.chmod(stage.parent.stat().st_mode & 0o777)

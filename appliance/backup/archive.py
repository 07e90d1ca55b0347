"""What an appliance knows as one zip, written while it runs: settings, captures, history, networks.

`manifest.json` has the size and sha256 of every other file. Nothing is packed, so that what the
files take is known before any is read. The PIN's hash stays out: who has the file could try all
million PINs on it.
"""

import errno
import hashlib
import io
import json
import os
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from appliance import __version__
from appliance.backup.contents import (
    MOST_FILES,
    SETTINGS,
    check_file,
    clean_rows,
    is_night,
    leads_to_a_network,
    most_bytes,
)
from appliance.errors import ApplianceError, BackupError, StateError
from appliance.networks.vault import Vault
from appliance.storage.database import (
    connect,
    copy_database,
    open_to_examine,
    request_commit,
)
from appliance.storage.layout import CAPTURES, HISTORY, NIGHTS, OVERRIDES, StateDirectory
from appliance.storage.ownership import OutputFile
from appliance.storage.rows import is_damage
from appliance.storage.zip_check import ENTRY_BYTES, directory_bytes
from model.errors import ModelError
from model.files import NotRegularError, copy_regular, open_regular

FORMAT = 1
MANIFEST = "manifest.json"
BLOCK = 1 << 18
"""Bytes of a file that are in memory at once."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Add = Callable[[str, IO[bytes], float], None]
"""Adds a file with its name, its content and when it was changed (Unix seconds)."""

_MOST_MANIFEST_BYTES = 100_000
_NEWEST_ROWS = (
    f"{HISTORY}'s newest rows: the appliance does not write them now; stop it, and make another "
    "backup, if they matter"
)


@dataclass(frozen=True)
class Member:
    """One file of a backup: its size, its sha256, and when it was changed (Unix seconds)."""

    bytes: int
    sha256: str
    at: float


@dataclass(frozen=True)
class Manifest:
    """What is in a backup, which version of the appliance made it, and when (Unix seconds).

    `reads` is where the link to the network that reads leads; None where nothing was promoted yet.
    `left_out` names each file that was damaged, with what is wrong, and how many rows of a
    database; the zip does not tell it.
    """

    version: str
    made: float
    reads: str | None
    files: dict[str, Member]
    left_out: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.files.values())


# ---- out ----


def backup(out: OutputFile, state: Path, settings: IO[bytes] | None) -> Manifest:
    """Write a backup of a state directory and a settings file in one step; return what is in it.

    The appliance may run. Raises StateError, in a sentence, where it cannot be read or written.
    """
    try:
        # The settings may hold a password. A stick's file system knows no modes.
        with suppress(OSError):
            os.fchmod(out.file.fileno(), 0o600)
        with _scratch(state) as scratch:
            manifest = _write_archive(out.file, scratch, state, settings)
        out.put()
        return manifest
    except OSError as error:
        if isinstance(error, ApplianceError):
            raise
        step = "make room there" if error.errno in FULL else "check the disk and who owns it"
        where = error.filename or out.path
        raise StateError(
            f"{out.path}: no backup is written ({where}: {error.strerror or error}): {step}, or "
            "name another place"
        ) from None


def _write_archive(
    out: IO[bytes], scratch: Path, state: Path, settings: IO[bytes] | None
) -> Manifest:
    files: dict[str, Member] = {}
    left_out: list[str] = []
    places = StateDirectory(state)
    with zipfile.ZipFile(out, "w") as archive:

        def add(name: str, source: IO[bytes], at: float) -> None:
            files[name] = _add(archive, name, source, at)

        if settings is not None:
            add(SETTINGS, settings, os.fstat(settings.fileno()).st_mtime)
        with suppress(FileNotFoundError):
            _add_whole(OVERRIDES, places.overrides, add, left_out)
        with (
            suppress(FileNotFoundError),
            open(places.nights, "rb", opener=open_regular) as source,
        ):
            # A line that a power cut broke off is no night.
            lines = io.BytesIO(b"".join(line for line in source if is_night(line)))
            add(NIGHTS, lines, os.fstat(source.fileno()).st_mtime)
        for name, database in ((CAPTURES, places.captures), (HISTORY, places.history)):
            if os.path.lexists(database):
                if name == HISTORY and not _commit(database):
                    left_out.append(_NEWEST_ROWS)
                damage = _copy(name, database, scratch)
                if damage:
                    left_out.append(damage)
                with open(scratch, "rb", opener=open_regular) as source:
                    add(name, source, database.stat().st_mtime)
        reads = _add_networks(places.networks, add, left_out)
        if len(files) > MOST_FILES:
            raise StateError(
                f"{state}: {len(files)} files are more than a backup can hold ({MOST_FILES}): "
                "remove what is not the appliance's"
            )
        manifest = Manifest(__version__, time.time(), reads, files, left_out)
        content = {"format": FORMAT, **asdict(manifest)}
        del content["left_out"]
        archive.writestr(_info(MANIFEST), json.dumps(content, indent=1))
    return manifest


def _add_networks(folder: Path, add: Add, left_out: list[str]) -> str | None:
    """Add the networks with their reports and order; return where the link leads."""
    with Vault(folder).hold_changes():
        for path in sorted(folder.glob("*")):
            name = f"networks/{path.name}"
            if most_bytes(name) is not None:
                _add_whole(name, path, add, left_out)
        with suppress(OSError):
            link = os.readlink(folder / "current")
            return link if leads_to_a_network(link) else None
    return None


def _add_whole(name: str, path: Path, add: Add, left_out: list[str]) -> None:
    """Add a file, or tell what is wrong with it: one that is damaged could not be restored."""
    try:
        with open(path, "rb", opener=open_regular) as source:
            check_file(name, path)
            add(name, source, os.fstat(source.fileno()).st_mtime)
    except NotRegularError as error:
        left_out.append(f"{name} ({error.strerror})")
    except (ApplianceError, ModelError, ValueError) as error:
        left_out.append(f"{name} ({error})")


def _add(archive: zipfile.ZipFile, name: str, source: IO[bytes], at: float) -> Member:
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    most = most_bytes(name) or 0
    if size > most:
        raise StateError(f"{name} has {size} bytes, and can have {most}: no backup is written")
    info = _info(name)
    info.file_size = size
    digest = hashlib.sha256()
    with archive.open(info, "w") as member:
        for block in read_blocks(source):
            digest.update(block)
            member.write(block)
    return Member(size, digest.hexdigest(), at)


def _info(name: str) -> zipfile.ZipInfo:
    # Without a time: a zip knows none before 1980, where a Pi without a battery clock begins.
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o100600 << 16
    return info


def _commit(history: Path) -> bool:
    """Have what waits in a running appliance's history be in the file; return whether it is."""
    # What is wrong with the file the copy says; where nothing can be written nothing waits.
    with suppress(OSError, sqlite3.Error):
        if os.access(history.parent, os.W_OK):
            return request_commit(history)
    return True


def _copy(name: str, database: Path, to: Path) -> str | None:
    """Copy a database that may be written to meanwhile, without what is damaged in it.

    Returns what that is, in a sentence, or None.
    """
    try:
        try:
            if os.access(database.parent, os.W_OK):
                source = connect(database, "mode=rw", timeout=10)
            else:
                source = open_to_examine(database)
            with closing(source):
                copy_database(source, to)
            return check_file(name, to)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            # Page by page as it is on the card, of which what can be read is taken.
            if not to.stat().st_size:
                copy_regular(database, to)
            return clean_rows(name, to, str(error))
    except StateError as error:
        raise StateError(str(error).replace(str(to), str(database))) from None
    except sqlite3.Error as error:
        raise StateError(
            f"{database}: cannot be copied ({error}): check the disk; what is damaged is put aside "
            "and rescued when the appliance starts: no backup is written"
        ) from None


@contextmanager
def _scratch(state: Path) -> Iterator[Path]:
    """Lend a place for copies in a state directory: /tmp may be in RAM.

    Where the card is read-only there is no other.
    """
    if not os.access(state, os.W_OK):
        with tempfile.TemporaryDirectory() as elsewhere:
            yield Path(elsewhere) / "copy"
        return
    scratch = StateDirectory(state).backup_copy
    try:
        yield scratch
    finally:
        for rest in ("", "-journal", "-wal", "-shm", ".new"):
            scratch.with_name(f"{scratch.name}{rest}").unlink(missing_ok=True)


# ---- in ----


def read_blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(BLOCK):
        yield block


@contextmanager
def open_backup(source: IO[bytes], file: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """Lend a backup and its manifest, when the names and sizes are those that a backup can have.

    `file` is what an error calls it. What a block raises because of it is raised as a BackupError
    in a sentence.
    """
    try:
        if directory_bytes(source) > (MOST_FILES + 1) * ENTRY_BYTES:
            raise ValueError("it has more files than a backup can have")
        source.seek(0)
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive)
            if manifest.bytes > os.fstat(source.fileno()).st_size:
                raise ValueError("its files lie over each other")
            yield archive, manifest
    except StateError:
        raise
    except BackupError as error:
        raise BackupError(f"{file}: {error}: nothing was changed") from None
    except Exception as error:
        # zipfile, json, SQLite and numpy raise a dozen kinds for a damaged or hostile file.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = str(error)[:300] or type(error).__name__
        raise BackupError(
            f"{file}: not a whole backup of this appliance ({reason}): nothing was changed; "
            "name another"
        ) from None


def unpack(archive: zipfile.ZipFile, name: str, member: Member, to: Path) -> None:
    """Write a file of a backup to a new one, and to the card; raises ValueError, OSError."""
    digest = hashlib.sha256()
    with archive.open(name) as packed, open(to, "xb", opener=open_regular) as out:
        for block in read_blocks(packed):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != member.sha256:
        raise ValueError(f"{name} is not what the manifest says: it was damaged or changed")


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    sizes: dict[str, int] = {}
    for info in archive.infolist():
        name = info.filename
        kind = info.external_attr >> 16 & 0o170000
        if name != MANIFEST and most_bytes(name) is None:
            raise ValueError(f"{name[:80]!r} does not belong in it")
        if name in sizes:
            raise ValueError(f"{name!r} is in it twice")
        if info.flag_bits & 1:
            raise ValueError("it is encrypted")
        if kind not in (0, 0o100000):
            raise ValueError(f"{name!r} is no file")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError("it was packed by another program")
        sizes[name] = info.file_size
    size = sizes.pop(MANIFEST, None)
    if size is None:
        raise ValueError(f"{MANIFEST} is not in it")
    if size > _MOST_MANIFEST_BYTES:
        raise ValueError(f"{MANIFEST} has more than {_MOST_MANIFEST_BYTES} bytes")
    manifest = _parse_manifest(json.loads(archive.read(MANIFEST)))
    if sizes != {name: each.bytes for name, each in manifest.files.items()}:
        raise ValueError("its files are not those of its manifest")
    for name, size in sizes.items():
        if size > (most_bytes(name) or 0):
            raise ValueError(f"{name} has {size} bytes")
    return manifest


def _parse_manifest(content: Any) -> Manifest:
    """Return what a manifest says; raises BackupError for another format, else ValueError."""
    format = content.get("format") if isinstance(content, dict) else None
    if type(format) is not int or format < 1:
        raise ValueError(f"{MANIFEST} is not a backup's")
    if format > FORMAT:
        raise BackupError(
            f"a newer appliance made it ({str(content.get('version'))[:20]}, format {format}), and "
            f"this one knows format {FORMAT}: update it first ('sudo ./setup.sh update')"
        )
    try:
        files = {
            name: Member(int(each["bytes"]), str(each["sha256"]), float(each["at"]))
            for name, each in content["files"].items()
        }
        manifest = Manifest(
            str(content["version"])[:40], float(content["made"]), content["reads"], files
        )
        times = [manifest.made, *(each.at for each in files.values())]
        valid = all(0 <= at < 1e11 for at in times)
    except (KeyError, TypeError, AttributeError, OverflowError):
        valid = False
    if not valid or not (manifest.reads is None or leads_to_a_network(manifest.reads)):
        raise ValueError(f"{MANIFEST} is not a backup's")
    return manifest

"""The locks on a state directory: writers share one, a restore holds it, one appliance runs."""

import fcntl
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from appliance.errors import StateError
from appliance.storage.layout import CAPTURES_LOCK, StateDirectory
from model.files import open_regular

log = logging.getLogger(__name__)

_FLOCK = "hhqqi"
"""The kernel's `struct flock` of 64-bit offsets: type, whence, start, length, process."""
_MOST_NOTE_BYTES = 300


@contextmanager
def hold_shared_lock(state: Path, *, or_read_on: bool = False) -> Iterator[str | None]:
    """Keep restores out during the block, after finishing one that a power cut broke off.

    Raises StateError while a restore runs, and where one cannot be finished or nothing can be
    written; with `or_read_on` these two yield their sentence instead. The kernel releases the lock
    when the process dies.
    """
    problem = None
    try:
        lock = _open_lock(StateDirectory(state).lock)
    except StateError as error:
        if not or_read_on:
            raise
        log.warning("%s", error)
        yield str(error)
        return
    try:
        try:
            if StateDirectory(state).is_unfinished and _try_lock(lock, fcntl.LOCK_EX):
                from appliance.storage.recovery import recover

                with _hold_captures(state, "start again"):
                    recover(state)
        except StateError as error:
            if not or_read_on:
                raise
            log.warning("%s", error)
            problem = str(error)
        if not _try_lock(lock, fcntl.LOCK_SH):
            raise StateError(f"{state}: a restore is under way: start again when it has ended")
        yield problem
    finally:
        os.close(lock)


@contextmanager
def hold_exclusive_lock(state: Path, then: str, *, training: bool = False) -> Iterator[None]:
    """Keep everybody else out during the block; raises StateError while anything runs there.

    The error says whether a `training` runs or the appliance, and what to do when that has ended:
    `then`.
    """
    with ExitStack() as held:
        lock = _open_lock(StateDirectory(state).lock)
        held.callback(os.close, lock)
        if not _try_lock(lock, fcntl.LOCK_EX):
            what = "a training runs" if training else "the appliance runs"
            raise StateError(
                f"{state}: {what} there: stop it ('systemctl stop digits digits-retrain'), "
                f"then {then}; nothing was changed"
            )
        held.enter_context(_hold_captures(state, then))
        yield


@contextmanager
def hold_run_lock(state: Path, page: str) -> Iterator[None]:
    """Be the only appliance on a state directory during the block; raises StateError for a second.

    The error names the other one by its process, which the kernel tells, and by its `page`, which
    the lock file holds. The lock ends with the process, also when it begins anew as another
    program. Where nothing can be written there is none. Nothing else here may open the file: a
    process loses such a lock when it closes any descriptor of the file (fcntl(2)).
    """
    with ExitStack() as held:
        try:
            lock = open_regular(StateDirectory(state).run_lock, os.O_RDWR | os.O_CREAT)
        except OSError:
            # `hold_shared_lock` says it, and the appliance reads on.
            yield
            return
        held.callback(os.close, lock)
        # Not flock: of a record lock the kernel tells whose it is.
        while not _try_record_lock(lock):
            holder = _find_holder(lock)
            if holder is not None:
                other = os.pread(lock, _MOST_NOTE_BYTES, 0).decode(errors="replace")
                where = f", its page is at {other}" if other else ""
                raise StateError(
                    f"{state}: an appliance runs there already (process {holder}{where}): use that "
                    f"one, or stop it ('sudo systemctl stop digits' or 'kill {holder}') and start "
                    "again, or choose another directory with --state DIR"
                )
        _note(lock, page)
        yield


def _try_record_lock(lock: int) -> bool:
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _find_holder(lock: int) -> int | None:
    """Return the process that holds a record lock; None where it has ended meanwhile."""
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, *_, process = struct.unpack(_FLOCK, fcntl.fcntl(lock, fcntl.F_GETLK, wanted))
    return None if kind == fcntl.F_UNLCK else process


def _note(lock: int, page: str) -> None:
    """Have the file hold the page's address; the card is written to only where that changes."""
    data = page.encode()[:_MOST_NOTE_BYTES]
    with suppress(OSError):
        if os.pread(lock, _MOST_NOTE_BYTES + 1, 0) != data:
            os.ftruncate(lock, 0)
            os.pwrite(lock, data, 0)


@contextmanager
def _hold_captures(state: Path, then: str) -> Iterator[None]:
    """Keep every program out that has the captures open during the block; raises StateError.

    Such a program holds a lock beside them, a command too; older versions had both in the state
    directory itself.
    """
    places = StateDirectory(state)
    with ExitStack() as held:
        for folder in {places.path, places.knowledge}:
            file = folder / CAPTURES_LOCK
            if not file.is_file() or file.is_symlink():
                # What is no file is nobody's lock.
                continue
            lock = _open_lock(file)
            held.callback(os.close, lock)
            if not _try_lock(lock, fcntl.LOCK_EX):
                raise StateError(
                    f"{state}: another program has the captures open: wait for its end, then "
                    f"{then}; nothing was changed"
                )
        yield


def _open_lock(file: Path) -> int:
    try:
        return open_regular(file, os.O_RDONLY | os.O_CREAT)
    except OSError as error:
        raise StateError(
            f"{file.parent}: nothing can be written there ({error.strerror}): check the disk and "
            "who owns the state directory, or choose another with --state DIR"
        ) from None


def _try_lock(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

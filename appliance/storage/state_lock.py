"""The lock on a state directory: writers share it, a restore holds it exclusively."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.errors import StateError
from appliance.storage.layout import StateDirectory
from model.files import open_regular

log = logging.getLogger(__name__)


@contextmanager
def hold_shared_lock(state: Path, *, or_read_on: bool = False) -> Iterator[str | None]:
    """Keep restores out during the block, after finishing one that a power cut broke off.

    Raises StateError while a restore runs, and where one cannot be finished or nothing can be
    written; with `or_read_on` these two yield their sentence instead. The kernel releases the lock
    when the process dies.
    """
    problem = None
    try:
        lock = _open_lock(state)
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
    lock = _open_lock(state)
    captures = None
    try:
        if not _try_lock(lock, fcntl.LOCK_EX):
            what = "a training runs" if training else "the appliance runs"
            raise StateError(
                f"{state}: {what} there: stop it ('systemctl stop digits digits-retrain'), "
                f"then {then}; nothing was changed"
            )
        # Every program that has the captures open holds this lock, commands too.
        with suppress(FileNotFoundError):
            file = StateDirectory(state).captures
            captures = open_regular(file.with_name(f"{file.name}.lock"), os.O_RDONLY)
        if captures is not None and not _try_lock(captures, fcntl.LOCK_EX):
            raise StateError(
                f"{state}: another program has the captures open: wait for its end, then {then}; "
                "nothing was changed"
            )
        yield
    finally:
        os.close(lock)
        if captures is not None:
            os.close(captures)


def _open_lock(state: Path) -> int:
    try:
        return open_regular(StateDirectory(state).lock, os.O_RDONLY | os.O_CREAT)
    except OSError as error:
        raise StateError(
            f"{state}: nothing can be written there ({error.strerror}): check the disk and who "
            "owns the state directory, or choose another with --state DIR"
        ) from None


def _try_lock(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

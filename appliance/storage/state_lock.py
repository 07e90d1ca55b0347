"""The lock on a state directory: whoever writes there shares it, a restore has it alone."""

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
def in_use(state: Path, *, reads_on: bool = False) -> Iterator[str | None]:
    """Keep restores out for as long as the block lasts; what a power cut left of one is ended.

    Raises StateError while one is under way, and where it cannot be ended or nothing can be
    written; with `reads_on` the block is lent a sentence that says so. The kernel lets go when the
    process dies.
    """
    problem = None
    try:
        lock = _open_lock(state)
    except StateError as error:
        if not reads_on:
            raise
        log.warning("%s", error)
        yield str(error)
        return
    try:
        try:
            if StateDirectory(state).is_unfinished and _take(lock, fcntl.LOCK_EX):
                from appliance.storage.recovery import recover

                recover(state)
        except StateError as error:
            if not reads_on:
                raise
            log.warning("%s", error)
            problem = str(error)
        if not _take(lock, fcntl.LOCK_SH):
            raise StateError(f"{state}: a restore is under way: start again when it has ended")
        yield problem
    finally:
        os.close(lock)


@contextmanager
def alone(state: Path, then: str, *, training: bool = False) -> Iterator[None]:
    """Hold the state directory alone; raises StateError while anything runs there.

    `then` is what can be done when it has ended, `training` tells that a training is what runs.
    """
    lock = _open_lock(state)
    captures = None
    try:
        if not _take(lock, fcntl.LOCK_EX):
            what = "a training runs" if training else "the appliance runs"
            raise StateError(
                f"{state}: {what} there: stop it ('systemctl stop digits digits-retrain'), "
                f"then {then}; nothing was changed"
            )
        # Whoever has the captures open, such as a command, holds this.
        with suppress(FileNotFoundError):
            file = StateDirectory(state).captures
            captures = open_regular(file.with_name(f"{file.name}.lock"), os.O_RDONLY)
        if captures is not None and not _take(captures, fcntl.LOCK_EX):
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


def _take(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

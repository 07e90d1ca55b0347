"""One training at a time on a state directory: the lock, and whether somebody holds it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import StateError, TrainingRefused
from model.files import open_regular

_FILE = "retrain.lock"
_TRIES = 20
_PAUSE = 0.01


@contextmanager
def hold_training_lock(state: Path) -> Iterator[None]:
    """Hold the lock for as long as the block lasts; the kernel frees it when the process dies.

    Raises TrainingRefused where another process holds it, StateError where it cannot be made.
    """
    try:
        file = open_regular(state / _FILE, os.O_RDONLY | os.O_CREAT)
    except OSError as error:
        raise StateError(
            f"{state}: nothing can be written there ({error.strerror}): check the disk and who "
            "owns the state directory, or choose another with --state DIR"
        ) from None
    try:
        if not _lock(file):
            raise TrainingRefused("a retraining is running already: see the page's training view")
        yield
    finally:
        os.close(file)


def is_training(state: Path) -> bool:
    """Tell whether a process holds the lock."""
    try:
        file = open_regular(state / _FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    """Take the lock if nobody trains; `is_training` holds it for an instant, so try for a while."""
    for last in (*[False] * (_TRIES - 1), True):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not last:
                time.sleep(_PAUSE)
        else:
            return True
    return False

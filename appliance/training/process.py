"""Starts and ends a retraining for the page: `digits retrain` in a process of its own."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from appliance.errors import TrainingError
from appliance.training import records

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
_ENDED = (0, 130, -signal.SIGTERM)
"""The codes of a retraining that did its work or was told to end."""


class Trainer:
    """The retraining of one state directory: whether one runs, start one, end it.

    One that the timer or a person started is ended as well. `command` is what is run before
    `retrain` and its options; the settings file `config` is handed on where there is one.
    """

    def __init__(
        self,
        state: Path,
        *,
        config: Path | None = None,
        command: Sequence[str] = (sys.executable, "-m", "appliance"),
    ) -> None:
        self.state = state
        self._config, self._command = config, command
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def running(self) -> bool:
        """Tell whether a retraining runs, from the moment it is started."""
        return self._alive() or records.running(self.state)

    def start(self, *, from_scratch: bool = False) -> None:
        """Start one; raises TrainingError where one runs or the system has no room for it."""
        # It runs elsewhere, where a path relative to here leads to another place.
        words = [*self._command, "retrain", "--state", str(self.state.absolute())]
        words += ["--config", str(self._config.absolute())] if self._config else []
        words += ["--from-scratch"] if from_scratch else []
        with self._lock:
            if self.running():
                raise TrainingError("a training is running already: wait for its end, or stop it")
            try:
                # Of its own session: Ctrl-C in the terminal of the appliance is not for it.
                child = subprocess.Popen(
                    words, cwd=_ROOT, stdin=subprocess.DEVNULL, start_new_session=True
                )
            except OSError as error:
                raise TrainingError(
                    f"the training cannot be started ({error.strerror}): try again in a moment"
                ) from None
            self._child = child
        threading.Thread(target=_reap, args=(child,), name="training", daemon=True).start()

    def stop(self) -> None:
        """Tell the one that runs to end, which it does within seconds; raises TrainingError."""
        if records.running(self.state):
            told = records.progress(self.state) or {}
            pid = told.get("pid")
            # The number may be of a process before, and be another program's by now.
            if isinstance(pid, int) and _retrains(pid):
                with suppress(ProcessLookupError):
                    _end(pid)
                return
        child = self._child
        if child is not None and self._alive():
            child.terminate()
            return
        if records.running(self.state):
            raise TrainingError(
                "the training that runs cannot be found from here: end it where it was started"
            )
        raise TrainingError("no training is running: there is nothing to stop")

    def problem(self) -> str | None:
        """Return what is to be said of the one started last, where it failed without a word."""
        child = self._child
        if child is None or child.returncode is None or child.returncode in _ENDED:
            return None
        if (records.progress(self.state) or {}).get("pid") == child.pid:
            return None
        return (
            f"the training did not begin (code {child.returncode}): "
            "'journalctl -u digits' tells why, or 'digits retrain' by hand"
        )

    def _alive(self) -> bool:
        return self._child is not None and self._child.poll() is None


def _reap(child: "subprocess.Popen[bytes]") -> None:
    """Wait for the end of a child, so that no zombie is left of it."""
    code = child.wait()
    if code not in _ENDED:
        log.warning("the training that the page had started failed with code %d", code)


def _retrains(pid: int) -> bool:
    """Tell whether a process is a `digits retrain`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"retrain" in words


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise TrainingError(
            f"the training (process {pid}) belongs to another user: end it where it was started"
        ) from None

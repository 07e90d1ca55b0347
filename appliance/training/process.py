"""Starts and stops a training for the page: `digits retrain` in a process of its own."""

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
from appliance.training.lock import is_training
from appliance.training.records import load_progress

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
_GOOD_CODES = (0, 130, -signal.SIGTERM)
"""Exit codes of a training that finished, or that was stopped."""


class TrainingProcess:
    """Starts, stops and watches the training of one state directory.

    Also stops one that the timer or a person started. `command` stands before `retrain` and its
    options; `config`, the settings file, is handed on.
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

    def is_running(self) -> bool:
        """Tell whether a training runs, from the moment it is started."""
        return self._alive() or is_training(self.state)

    def start(self, *, from_scratch: bool = False) -> None:
        """Start a training; raises TrainingError where one runs or the system cannot start one."""
        # Absolute paths: it runs in another folder.
        words = [*self._command, "retrain", "--state", str(self.state.absolute())]
        words += ["--config", str(self._config.absolute())] if self._config else []
        words += ["--from-scratch"] if from_scratch else []
        with self._lock:
            if self.is_running():
                raise TrainingError("a training is running already: wait for its end, or stop it")
            try:
                # A session of its own: Ctrl-C in the appliance's terminal does not reach it.
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
        """Have the training end, which takes seconds; raises TrainingError where none can be."""
        if is_training(self.state):
            pid = (load_progress(self.state) or {}).get("pid")
            # The progress may be an earlier training's, and its pid another program's by now.
            if isinstance(pid, int) and _is_retrain_command(pid):
                with suppress(ProcessLookupError):
                    _terminate(pid)
                return
        child = self._child
        if child is not None and self._alive():
            child.terminate()
            return
        if is_training(self.state):
            raise TrainingError(
                "the training that runs cannot be found from here: end it where it was started"
            )
        raise TrainingError("no training is running: there is nothing to stop")

    def failure(self) -> str | None:
        """Return a sentence where the last training started here failed and left no reason."""
        child = self._child
        if child is None or child.returncode is None or child.returncode in _GOOD_CODES:
            return None
        if (load_progress(self.state) or {}).get("pid") == child.pid:
            return None
        return (
            f"the training did not begin (code {child.returncode}): "
            "'journalctl -u digits' tells why, or 'digits retrain' by hand"
        )

    def _alive(self) -> bool:
        return self._child is not None and self._child.poll() is None


def _reap(child: "subprocess.Popen[bytes]") -> None:
    """Wait for a child's end, so that it leaves no zombie."""
    code = child.wait()
    if code not in _GOOD_CODES:
        log.warning("the training that the page had started failed with code %d", code)


def _is_retrain_command(pid: int) -> bool:
    """Tell whether a process is a `digits retrain`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"retrain" in words


def _terminate(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise TrainingError(
            f"the training (process {pid}) belongs to another user: end it where it was started"
        ) from None

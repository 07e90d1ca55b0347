"""What the owner does to the appliance itself from the page: lights, settings, start, power."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from appliance.console import printable
from appliance.errors import PinError, PowerError
from appliance.settings.overrides import Changes
from model.files import open_regular

POWER = "DIGITS_POWER"
"""The environment variable that names the file through which systemd is asked (digits-power)."""
_MOST_LINES = 100
_SOON = 0.5


class Walks(Protocol):
    """LEDs that can be tested."""

    def walk(self) -> None:
        """Light each in turn; raises PinError while they are being tested."""


class LogTail(logging.Handler):
    """Keeps the log's last lines, for whoever has no terminal on the machine."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[tuple[float, str, str]] = deque(maxlen=_MOST_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        # Without its traceback: that is for the journal.
        self._lines.append(
            (record.created, record.levelname.lower(), printable(record.getMessage()))
        )

    def last(self) -> list[tuple[float, str, str]]:
        """Return (Unix seconds, level, text) of each line, the oldest first."""
        return list(self._lines)


class Control:
    """The switches of one appliance.

    `again` ends the run and begins it anew, `leds` are those that are lit, `pin_faults` has why
    "leds" or "button" are not there though they are set, `power` is the file that systemd watches,
    None where nothing does, `lines` holds the log's last lines, and `examine` returns the doctor's
    findings.
    """

    def __init__(
        self,
        *,
        changes: Changes,
        again: Callable[[], None],
        leds: Sequence[Walks] = (),
        pin_faults: Mapping[str, str] = MappingProxyType({}),
        power: Path | None = None,
        lines: LogTail | None = None,
        examine: Callable[[], list[dict[str, Any]]] = list,
    ) -> None:
        self.changes = changes
        self.lines = lines or LogTail()
        self.pin_faults = pin_faults
        self._again, self._leds, self._power = again, leds, power
        self._examine, self._examining = examine, threading.Lock()

    def run_doctor(self) -> list[dict[str, Any]] | None:
        """Return the doctor's findings, None while they are being looked for already."""
        if not self._examining.acquire(blocking=False):
            return None
        try:
            return self._examine()
        finally:
            self._examining.release()

    def test_leds(self) -> None:
        """Light each LED in turn; raises PinError where there are none, or they are being lit."""
        if not self._leds:
            raise PinError(
                self.pin_faults.get("leds")
                or "this appliance has no LEDs: wire some, and name their layout under [leds] in "
                "digits.toml"
            )
        for leds in self._leds:
            leds.walk()

    def restart(self) -> None:
        """Begin the run anew in half a second, when this has been answered."""
        threading.Timer(_SOON, self._again).start()

    def power(self, what: str) -> None:
        """Have systemd "reboot" or "power-off" the machine; raises PowerError where none does."""
        if self._power is None:
            raise PowerError(
                "this is switched off where it was started: only an appliance that setup.sh "
                "installed does it from the page"
            )
        try:
            with open(self._power, "w", opener=open_regular) as file:
                file.write(what)
        except OSError as error:
            raise PowerError(
                f"{self._power}: cannot be written ({error.strerror}): switch it off with 'sudo "
                "poweroff'"
            ) from None

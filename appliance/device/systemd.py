"""What systemd is told, and tells: that the loop goes on, and how often it had stood still."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from model.files import read_regular

MOST_STALLS = 3
WITHIN = 600.0
"""Seconds: as often as this it is begun anew; then it stays up without the camera, and says so."""


class Watchdog:
    """Tells systemd over its socket that the appliance is ready, and that its loop goes on.

    >>> watchdog = Watchdog()
    >>> watchdog.ready()
    >>> watchdog.alive()

    Where nobody listens nothing is sent. `alive` may be called often: it is told on a few times in
    the interval that systemd asks for. Source: sd_notify(3).
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # An abstract socket has a zero where its name has an @.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._interval = int(environment.get("WATCHDOG_USEC", 0)) / 4e6
        self._clock = clock
        self._told = -self._interval

    def ready(self) -> None:
        """Tell that the page answers and the loop runs."""
        self._tell("READY=1")

    def alive(self) -> None:
        """Tell that the loop goes on."""
        now = self._clock()
        if self._interval and now - self._told >= self._interval:
            self._told = now
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that it ends as it should."""
        self._tell("STOPPING=1")

    def _tell(self, words: str) -> None:
        if self._address:
            # systemd that is being restarted itself is no reason to stop reading.
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
                there.connect(self._address)
                there.send(words.encode())


def count_stalls(environment: Mapping[str, str] = os.environ) -> int:
    """Return how often in the last ten minutes systemd began the appliance anew as it stood still.

    The unit writes the machine's seconds since its start into `stalls` in its runtime directory:
    those do not jump when the clock is set.
    """
    folder = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    with suppress(OSError, ValueError):
        now = float(Path("/proc/uptime").read_text().split()[0])
        lines = read_regular(Path(folder) / "stalls").split() if folder else []
        return sum(0 <= now - float(line) < WITHIN for line in lines)
    return 0

"""The newest reading, for the page."""

import threading
import time
from collections.abc import Callable

from appliance.reading import Reading


class Latest:
    """Keeps one reading and its number; the number grows by one with each reading."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown_at = 0.0
        self._lock = threading.Lock()
        self._number = 0
        self._reading: Reading | None = None

    def show(self, reading: Reading) -> None:
        with self._lock:
            self._number += 1
            self._reading = reading
            self._shown_at = self._clock()

    def newest(self) -> tuple[int, Reading | None]:
        """Return (number, reading); number 0 and None before the first."""
        with self._lock:
            return self._number, self._reading

    def seconds_since(self) -> float | None:
        """Return how long ago the newest came, by a clock that nobody sets; None before it."""
        with self._lock:
            return self._clock() - self._shown_at if self._reading else None

    def close(self) -> None:
        """Nothing is held open; the last reading stays readable."""

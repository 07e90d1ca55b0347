"""The newest reading, for the page."""

import threading

from appliance.reading import Reading


class Latest:
    """Keeps one reading and its number; the number grows by one with each reading."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._reading: Reading | None = None

    def show(self, reading: Reading) -> None:
        with self._lock:
            self._number += 1
            self._reading = reading

    def newest(self) -> tuple[int, Reading | None]:
        """Return (number, reading); number 0 and None before the first."""
        with self._lock:
            return self._number, self._reading

    def close(self) -> None:
        """Nothing is held open; the last reading stays readable."""

"""The newest reading, for the page."""

import threading
import time
from collections import deque
from collections.abc import Callable

from appliance.reading import Reading

STARTING = "the camera is starting"
"""The fault before the first reading."""


class Recent:
    """Keeps the last few readings in which there was a mark, by number, without their large arrays.

    A person labels what was shown a second ago: by then there can be newer readings.
    """

    def __init__(self, size: int = 8) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, Reading]] = deque(maxlen=size)

    def keep(self, number: int, reading: Reading) -> None:
        if reading.glyph is not None:
            with self._lock:
                self._kept.append((number, reading._replace(ink=None, marks=())))

    def newest(self, count: int) -> list[tuple[int, Reading]]:
        """Return the last few with their numbers, the newest first."""
        with self._lock:
            return list(self._kept)[::-1][:count]

    def of(self, number: int) -> Reading | None:
        """Return the reading of a number, or None when it is not one of the last few."""
        with self._lock:
            return next((reading for each, reading in self._kept if each == number), None)


class Latest:
    """Keeps one reading and its number; the number grows by one with each reading.

    `recent` has the last few with a mark.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown_at = 0.0
        self._lock = threading.Lock()
        self._number = 0
        self._reading: Reading | None = None
        self.recent = Recent()

    def show(self, reading: Reading) -> None:
        with self._lock:
            self._number += 1
            self.recent.keep(self._number, reading)
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

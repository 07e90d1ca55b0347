"""The newest reading, for the page."""

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from appliance.reading import Frame, Reading

STARTING = "the camera is starting"
"""The fault before the first reading."""

_MARGIN = 0.4
_SIDE = 320


class Recent:
    """Keeps the last few readings with a mark, by number, without their large arrays.

    A person labels what was shown a second ago: by then there can be newer readings. Their frame
    is cropped to the mark with a margin of 0.4 of its longer side and scaled down to less than
    640 pixels a side; mark and ink are left out.
    """

    def __init__(self, size: int = 8) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, Reading]] = deque(maxlen=size)

    def keep(self, number: int, reading: Reading) -> None:
        if reading.glyph is not None:
            small = reading._replace(frame=_crop_to_mark(reading), ink=None, mark=None, marks=())
            with self._lock:
                self._kept.append((number, small))

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
        """Return the age of the newest reading by a monotonic clock; None before the first."""
        with self._lock:
            return self._clock() - self._shown_at if self._reading else None

    def close(self) -> None:
        """Do nothing: the last reading stays readable."""


def _crop_to_mark(reading: Reading) -> Frame | None:
    """Return a small copy of the frame around a reading's mark; None without frame or mark."""
    frame, box = reading.frame, reading.box
    if frame is None or box is None:
        return None
    height, width = frame.grey.shape
    across, down = width / frame.size[0], height / frame.size[1]
    x0, y0, x1, y1 = box
    margin = _MARGIN * max(x1 - x0, y1 - y0)
    top, bottom = max(0, int((y0 - margin) * down)), int((y1 + margin) * down) + 1
    left, right = max(0, int((x0 - margin) * across)), int((x1 + margin) * across) + 1
    grey = frame.grey[top:bottom, left:right]
    steps = max(grey.shape) // _SIDE
    down, across = (min(max(1, steps), side) for side in grey.shape)
    if down * across > 1:
        rows, columns = grey.shape[0] // down, grey.shape[1] // across
        blocks = grey[: rows * down, : columns * across].reshape(rows, down, columns, across)
        grey = np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
    else:
        grey = grey.copy()
    return Frame(grey, frame.at, grey.shape[::-1], frame.exposure)

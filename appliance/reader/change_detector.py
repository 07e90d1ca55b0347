"""Whether anything has changed in view: what makes an idle appliance cheap."""

import numpy as np

from appliance.reading import Array, Frame

_CELLS = 16
"""The thumbnail has about this many cells on the frame's shorter side."""
_LEAST_CHANGE = 3.0
"""Grey levels by which a cell's mean must change: a thin stroke through it makes more."""
_LONGEST = 10.0
"""Seconds after which a frame is new anyway: a slow change adds up unseen."""


class Still:
    """Compares each frame with the last one that was new, on a thumbnail of both.

    Its cells are a sixteenth of the frame's shorter side and each is the mean of all its pixels, so
    that a camera's noise is no change and a stroke is.
    """

    def __init__(self) -> None:
        self._cells: Array | None = None
        self._at = 0.0

    def same(self, frame: Frame) -> bool:
        """Tell whether a frame shows what the last new one did; if not, it is the new one."""
        cells = _thumbnail(frame)
        if (
            self._cells is not None
            and self._cells.shape == cells.shape
            and 0 <= frame.at - self._at < _LONGEST
            and float(np.abs(cells - self._cells).max(initial=0)) < _LEAST_CHANGE
        ):
            return True
        self._cells, self._at = cells, frame.at
        return False


def _thumbnail(frame: Frame) -> Array:
    """Return the means of a frame's cells, float32 in 0…255."""
    height, width = frame.grey.shape
    cell = max(1, min(height, width) // _CELLS)
    rows, columns = height // cell, width // cell
    used = frame.grey[: rows * cell, : columns * cell]
    # Rows first: long sums over whole rows are fast, many short ones are not.
    sums = used.reshape(rows, cell, columns * cell).sum(axis=1, dtype=np.uint32)
    sums = sums.reshape(rows, columns, cell).sum(axis=2, dtype=np.uint32)
    means: Array = sums.astype(np.float32) / np.float32(cell * cell)
    return means

"""Tells whether anything has changed in view: an idle appliance reads nothing twice."""

import numpy as np

from appliance.reading import Array, Frame

_CELLS = 16
"""The thumbnail has about this many cells along the frame's shorter side."""
_LEAST_CHANGE = 3.0
"""Grey levels by which a cell's mean must change; a thin stroke through it changes it by more."""
_LONGEST = 10.0
"""Seconds after which a frame counts as changed anyway: small changes may have added up."""


class ChangeDetector:
    """Compares the thumbnail of each frame with that of the last one that had changed.

    A cell is a sixteenth of the frame's shorter side, and the mean of all its pixels: the camera's
    noise averages out, a stroke does not.
    """

    def __init__(self) -> None:
        self._cells: Array | None = None
        self._at = 0.0

    def detect_change(self, frame: Frame) -> bool:
        """Return whether a frame has changed; if so, the next ones are compared with it."""
        cells = _thumbnail(frame)
        if (
            self._cells is not None
            and self._cells.shape == cells.shape
            and 0 <= frame.at - self._at < _LONGEST
            and float(np.abs(cells - self._cells).max(initial=0)) < _LEAST_CHANGE
        ):
            return False
        self._cells, self._at = cells, frame.at
        return True


def _thumbnail(frame: Frame) -> Array:
    """Return the means of a frame's cells, float32 (rows, columns) in 0…255."""
    height, width = frame.grey.shape
    cell = max(1, min(height, width) // _CELLS)
    rows, columns = height // cell, width // cell
    whole = frame.grey[: rows * cell, : columns * cell]
    # Rows first: long sums over whole rows are fast, many short ones are not.
    sums = whole.reshape(rows, cell, columns * cell).sum(axis=1, dtype=np.uint32)
    sums = sums.reshape(rows, columns, cell).sum(axis=2, dtype=np.uint32)
    means: Array = sums.astype(np.float32) / np.float32(cell * cell)
    return means

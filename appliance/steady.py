"""Several readings to one answer that does not flicker."""

from dataclasses import replace

from appliance.reading import Reading


class Steady:
    """Shows a digit once `agree` readings in a row gave it, and keeps it until as many disagree.

    "No digit" is an answer like any other: a digit stays until `agree` readings in a row see none.
    """

    def __init__(self, agree: int = 3) -> None:
        self._agree = agree
        self._last: int | None = None
        self._in_a_row = 0
        self._settled: int | None = None

    def update(self, reading: Reading, *, at_once: bool = False) -> Reading:
        """Return the reading with `settled` filled in; `at_once` settles it without a vote."""
        self._in_a_row = self._in_a_row + 1 if reading.digit == self._last else 1
        self._last = reading.digit
        if at_once or self._in_a_row >= self._agree:
            self._settled = reading.digit
        return replace(reading, settled=self._settled)

    def forget(self) -> None:
        """Start anew, as after a fault: what was in view then is no evidence now."""
        self._last, self._in_a_row, self._settled = None, 0, None

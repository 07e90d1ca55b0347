"""Several readings to one answer that does not flicker."""

from appliance.reading import Reading

GONE = 0.9
"""Seconds without a reading of the digit shown after which it is shown no more."""


class Steady:
    """Shows a digit once `agree` readings in a row gave it, and keeps it until another one does.

    A digit that is shown stays through odd readings, and goes when `agree` readings in a row saw
    none, or when none of the last 0.9 seconds saw it.
    """

    def __init__(self, agree: int = 3) -> None:
        self._agree = agree
        self._last: int | None = None
        self._in_a_row = 0
        self._settled: int | None = None
        self._supported = 0.0

    def update(self, reading: Reading, *, at_once: bool = False) -> Reading:
        """Return the reading with `settled` filled in; `at_once` settles it without a vote."""
        self._in_a_row = self._in_a_row + 1 if reading.digit == self._last else 1
        self._last = reading.digit
        if at_once or self._in_a_row >= self._agree:
            self._settled = reading.digit
        elif reading.digit != self._settled and reading.at - self._supported > GONE:
            self._settled = None
        if reading.digit == self._settled:
            self._supported = reading.at
        return reading._replace(settled=self._settled)

    def forget(self) -> None:
        """Start anew, as after a fault: what was in view then is no evidence now."""
        self._last, self._in_a_row, self._settled = None, 0, None

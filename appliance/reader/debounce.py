"""Debounces readings: several of them to one answer that does not flicker."""

from appliance.reading import Reading

GONE_AFTER = 0.9
"""Seconds after its last reading at which the settled digit goes, if the readings disagree."""


class Debouncer:
    """Settles on a digit once `agree` readings in a row gave it.

    A settled digit survives a stray reading. It changes when `agree` readings in a row give another
    digit or none, and goes when no reading of the last GONE_AFTER seconds gave it.
    """

    def __init__(self, agree: int = 3) -> None:
        self._agree = agree
        self._last: int | None = None
        self._streak = 0
        self._settled: int | None = None
        self._last_seen = 0.0

    def update(self, reading: Reading, *, at_once: bool = False) -> Reading:
        """Return the reading with `settled` filled in; `at_once` settles it without a vote."""
        self._streak = self._streak + 1 if reading.digit == self._last else 1
        self._last = reading.digit
        if at_once or self._streak >= self._agree:
            self._settled = reading.digit
        elif reading.digit != self._settled and not (
            # A clock that was set back would keep it until that time comes again.
            0 <= reading.at - self._last_seen <= GONE_AFTER
        ):
            self._settled = None
        if reading.digit == self._settled:
            self._last_seen = reading.at
        return reading._replace(settled=self._settled)

    def reset(self) -> None:
        """Start anew, as after a fault: readings from before it do not count."""
        self._last, self._streak, self._settled = None, 0, None

"""One log line whenever the answer changes."""

import logging

from appliance.reading import Reading

log = logging.getLogger(__name__)


class Journal:
    """Tells the log what is shown: a digit, or that there is none and why."""

    def __init__(self) -> None:
        self._told: int | None = None

    def show(self, reading: Reading) -> None:
        if reading.settled == self._told:
            return
        self._told = reading.settled
        if reading.settled is not None:
            log.info("reads %d (%.0f %%)", reading.settled, 100 * reading.confidence)
        else:
            # A digit is seen, but not often enough in a row to be the answer.
            unsure = f"not yet sure that it is {reading.digit}"
            log.info("no digit: %s", reading.fault or reading.reason or unsure)

    def close(self) -> None:
        """Nothing is held open."""

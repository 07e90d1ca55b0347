"""Logs each fault when it begins, hourly while it lasts, and when it has ended."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HOUR = 3600.0
"""Seconds after which a fault that lasts is logged again."""
SETTLED = 60.0
"""Seconds for which a part must work before its fault counts as ended."""
_MAX_SENTENCES = 10
"""So many different sentences of one part are logged within the hour."""


@dataclass
class _Fault:
    began: float
    # When each sentence was logged last.
    logged: dict[str, float] = field(default_factory=dict)
    count: int = 0
    # When the part began to work again, and for how long it must: twice as long after each relapse.
    works_since: float | None = None
    settles_in: float = SETTLED
    ended: float | None = None


class FaultLog:
    """Keeps the log short while a part fails again and again: the log is on an SD card.

    >>> faults = FaultLog(logging.getLogger("appliance"))
    >>> faults.report("camera", "no camera found")
    >>> faults.clear("camera", "the camera gives frames again")

    A fault ends when nothing was reported for a minute of work; one that comes back within an hour
    must stay away for twice as long each time, at most an hour. `clock` gives seconds.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._faults: dict[str, _Fault] = {}

    def report(self, part: str, sentence: str, defect: BaseException | None = None) -> None:
        """Log a part's fault, unless it was within the hour; a `defect` with its traceback."""
        now = self._clock()
        fault = self._faults.get(part)
        if fault is None or (fault.ended is not None and now - fault.ended >= HOUR):
            fault = self._faults[part] = _Fault(now)
        elif fault.ended is not None:
            settles_in = min(2 * fault.settles_in, HOUR)
            fault = self._faults[part] = _Fault(now, settles_in=settles_in)
        fault.works_since = None
        fault.count += 1
        if sentence not in fault.logged and len(fault.logged) < _MAX_SENTENCES:
            fault.logged[sentence] = now
            self._log.warning("%s", sentence, exc_info=defect)
        elif now - max(fault.logged.values()) >= HOUR:
            fault.logged = {sentence: now}
            hours = round((now - fault.began) / HOUR)
            often = f"for {hours} {'hour' if hours == 1 else 'hours'}, {fault.count} times"
            self._log.warning("%s (%s)", sentence, often)

    def clear(self, part: str, sentence: str) -> None:
        """Note that a part works; log the sentence once its fault has ended."""
        fault = self._faults.get(part)
        if fault is None or fault.ended is not None:
            return
        now = self._clock()
        if fault.works_since is None:
            fault.works_since = now
        if now - fault.works_since >= fault.settles_in:
            fault.ended = now
            self._log.info("%s", sentence)

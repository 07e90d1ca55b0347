"""What answering costs, by address: who asks without pause waits, and the loop reads on."""

import threading
import time
from collections.abc import Callable

SHARE = 0.1
"""Those who ask without pause are given no more of the processor's time in all…"""
AHEAD = 10.0
"""…after so many seconds of it: thirty children who open the page at once are answered at once."""
LONGEST = 5.0
"""Nobody waits for more seconds than this."""
MOST = 0.1
"""No answer counts for more: a picture that is read has a queue of its own."""
_ADDRESSES = 256


class Shares:
    """Counts the seconds that answers took, and divides what there is among who asks.

    May be asked from any thread. `clock` gives seconds that nobody sets.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[str, float] = {}
        self._at = clock()

    def spend(self, address: str, seconds: float) -> None:
        """Count an answer's seconds of the processor's time for an address."""
        with self._lock:
            self._pay_back()
            spent = self._spent.pop(address, 0.0) + min(seconds, MOST)
            self._spent[address] = spent
            if len(self._spent) > _ADDRESSES:
                # The one that asked longest ago comes first.
                del self._spent[next(iter(self._spent))]
            many = len(self._spent)
            self._spent[address] = min(spent, (AHEAD + LONGEST * SHARE) / many)

    def wait(self, address: str) -> float:
        """Return for how many seconds an address is to get no answer."""
        if address not in self._spent:
            return 0.0
        with self._lock:
            self._pay_back()
            many = max(1, len(self._spent))
            over = self._spent.get(address, 0.0) - AHEAD / many
            return min(LONGEST, max(0.0, over * many / SHARE))

    def _pay_back(self) -> None:
        """Forgive everybody an equal part of the share since the last time."""
        now = self._clock()
        if self._spent:
            part = (now - self._at) * SHARE / len(self._spent)
            self._spent = {who: left - part for who, left in self._spent.items() if left > part}
        self._at = now

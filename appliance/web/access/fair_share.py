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
QUEUED, MOST = "/api/v1/read", 0.1
"""A picture that is read has a queue of its own: it counts for no more seconds than this."""
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
            self._spent[address] = self._spent.pop(address, 0.0) + seconds
            if len(self._spent) > _ADDRESSES:
                # The one that asked longest ago comes first.
                del self._spent[next(iter(self._spent))]

    def over(self) -> frozenset[str]:
        """Return the addresses that are to get no answer now."""
        if not self._spent:
            self._at = self._clock()
            return frozenset()
        with self._lock:
            now, many = self._clock(), len(self._spent)
            # Everybody is forgiven an equal part of the share, and all that would take too long.
            part, most = (now - self._at) * SHARE / many, (AHEAD + LONGEST * SHARE) / many
            spent = {who: min(each, most) - part for who, each in self._spent.items()}
            self._spent = {who: left for who, left in spent.items() if left > 0}
            self._at = now
            return frozenset(who for who, left in self._spent.items() if left > AHEAD / many)

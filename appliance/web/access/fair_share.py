"""The processor's time by address: who asks without pause waits, and the loop reads on."""

import threading
import time
from collections.abc import Callable

BURST_SECONDS = 10.0
"""The processor's seconds that all addresses together may take at once: thirty children who open
the page at the same time are answered at the same time."""
SUSTAINED_SHARE = 0.1
"""After the burst, the share of the processor's time that they may take."""
LONGEST_WAIT = 5.0
"""Seconds after which any address may ask again."""
READ_PATH, READ_LIMIT = "/api/v1/read", 0.1
"""Reading a picture has a queue of its own: a request for it costs no more seconds than this."""
_MAX_ADDRESSES = 256


class FairShare:
    """Counts the seconds that answers take, and tells which addresses have to wait.

    Safe to call from any thread. `clock` is monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._debts: dict[str, float] = {}
        self._updated = clock()

    def charge(self, address: str, seconds: float) -> None:
        """Add seconds of the processor's time to what an address has taken."""
        with self._lock:
            self._debts[address] = self._debts.pop(address, 0.0) + seconds
            if len(self._debts) > _MAX_ADDRESSES:
                # The one that asked longest ago comes first.
                del self._debts[next(iter(self._debts))]

    def throttled_addresses(self) -> frozenset[str]:
        """Return the addresses that get no answer now; time that has passed pays their debts."""
        if not self._debts:
            self._updated = self._clock()
            return frozenset()
        with self._lock:
            now, count = self._clock(), len(self._debts)
            # Everybody is paid an equal part of the share. A debt is capped at what a wait of
            # LONGEST_WAIT pays.
            paid = (now - self._updated) * SUSTAINED_SHARE / count
            cap = (BURST_SECONDS + LONGEST_WAIT * SUSTAINED_SHARE) / count
            debts = {address: min(debt, cap) - paid for address, debt in self._debts.items()}
            self._debts = {address: debt for address, debt in debts.items() if debt > 0}
            self._updated = now
            limit = BURST_SECONDS / count
            return frozenset(address for address, debt in self._debts.items() if debt > limit)

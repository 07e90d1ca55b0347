"""How many pages are open, and how long each is to wait before it asks again."""

import threading
import time
from collections.abc import Callable

POLL_AFTER = "Poll-After"
"""The header that tells a page in how many seconds to ask again: the more pages, the later."""
SOONEST, LATEST = 0.5, 10.0
"""Seconds after which a page asks again: two pictures a second, or one in ten seconds at worst."""
SHARE = 0.1
"""All pages together are to take no more of the processor's time than this."""
PART = 1 / 25
"""What an answer costs, as a share of reading a frame, which tells how fast a machine is.

`tests/proofs/lookers.py` measured 1/44 on a laptop; what a Pi Zero's is nobody has."""
_MOST = 512


class Lookers:
    """Counts the open pages by the names that they give themselves; may be asked from any thread.

    `clock` gives seconds that nobody sets.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}

    def wait(self, page: str, reading_seconds: float) -> float:
        """Return in how many seconds a page may ask again, where reading a frame takes so long.

        A page that was not seen for twice as long as it was told to wait is closed.
        """
        now = self._clock()
        with self._lock:
            self._seen.pop(page, None)
            self._seen[page] = now
            wait = self._told(len(self._seen), reading_seconds)
            # The longest unseen come first.
            for other, at in list(self._seen.items()):
                if now - at <= 2 * wait + 1 and len(self._seen) <= _MOST:
                    break
                del self._seen[other]
            return self._told(len(self._seen), reading_seconds)

    @staticmethod
    def _told(pages: int, reading_seconds: float) -> float:
        return min(LATEST, max(SOONEST, pages * reading_seconds * PART / SHARE))

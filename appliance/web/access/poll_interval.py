"""How long an open page waits before it asks again: the more pages are open, the longer."""

import threading
import time
from collections.abc import Callable

POLL_AFTER = "Poll-After"
"""The header that tells a page in how many seconds to ask again."""
SHORTEST, LONGEST = 0.5, 10.0
"""Seconds between two requests of a page."""
PROCESSOR_SHARE = 0.1
"""The share of the processor's time that all pages together may take."""
ANSWER_COST = 1 / 25
"""The cost of an answer as a share of reading a frame, which tells how fast the machine is.

`tests/proofs/lookers.py` measured 1/44 on a laptop; nobody has measured a Pi Zero's."""
_MAX_PAGES = 512


class PollInterval:
    """Counts the open pages by the names that they give themselves. Safe to call from any thread.

    `clock` is monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last_seen: dict[str, float] = {}

    def next_poll(self, page: str, reading_seconds: float) -> float:
        """Return the seconds after which a page may ask again, where reading a frame takes so long.

        A page that stays away for twice its interval counts as closed.
        """
        now = self._clock()
        with self._lock:
            self._last_seen.pop(page, None)
            self._last_seen[page] = now
            interval = _interval(len(self._last_seen), reading_seconds)
            # Those that stayed away longest come first.
            for other, seen in list(self._last_seen.items()):
                if now - seen <= 2 * interval + 1 and len(self._last_seen) <= _MAX_PAGES:
                    break
                del self._last_seen[other]
            return _interval(len(self._last_seen), reading_seconds)


def _interval(pages: int, reading_seconds: float) -> float:
    needed = pages * reading_seconds * ANSWER_COST / PROCESSOR_SHARE
    return min(LONGEST, max(SHORTEST, needed))

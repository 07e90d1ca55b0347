"""The network that reads now, and how a promotion reaches the reader while it runs."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from appliance.networks.vault import Held, Vault
from appliance.reader.reader import Reader
from model.errors import WeightsError

log = logging.getLogger(__name__)

_EVERY = 1.0
"""Seconds between two looks at the vault."""


class Networks:
    """Has the reader read with the vault's current network, and tells which one that is.

    `held` is the one that the reader was made with. A file that the settings name, `chosen`, is
    used instead of the vault for as long as the appliance runs.
    """

    def __init__(
        self,
        vault: Vault,
        reader: Reader,
        held: Held,
        *,
        chosen: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.vault = vault
        self.chosen = chosen
        self._reader = reader
        self._held = held
        self._clock = clock
        self._looked_at = clock()
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """The id of the network that reads now."""
        return self._held.id

    def card(self) -> dict[str, Any]:
        """Return the card of the network that reads now, with its `id` and its `problem` or None.

        A problem is the sentence to tell when it reads instead of a damaged one.
        """
        held = self._held
        return {**held.card, "id": held.id, "problem": held.problem}

    def look(self, *, at_once: bool = False) -> None:
        """Notice a promotion and have the reader use that network from its next frame on.

        May be called often and from any thread: it looks once a second, or `at_once`.
        """
        if self.chosen or (self._clock() - self._looked_at < _EVERY and not at_once):
            return
        with self._lock:
            self._looked_at = self._clock()
            stamp = self.vault.stamp()
            if stamp != self._held.stamp:
                self._take(stamp)

    def _take(self, stamp: str) -> None:
        try:
            held = self.vault.current()
        except WeightsError as error:
            # What is in memory is whole.
            log.warning("%s; network %s goes on reading", error, self._held.id)
            self._held = self._held._replace(problem=str(error), stamp=stamp)
            return
        if held.problem:
            log.warning("%s", held.problem)
        another = held.id != self._held.id
        if another:
            self._reader.use(held.network, held.card["sha256"])
        self._held = held
        if another:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(held.promoted))
            log.info("reads with network %s from now on, promoted %s", held.id, at)

"""The network that reads now; a promotion reaches the reader while it runs."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from appliance.networks.vault import LoadedNetwork, Vault
from appliance.reader.reader import Reader
from model.errors import WeightsError

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0


class LiveNetwork:
    """Keeps a reader on the vault's current network.

    `loaded` is the network that the reader was made with. `configured_file`, a weights file that
    the settings name, reads instead of the vault's for as long as the appliance runs. `clock` is
    monotonic.
    """

    def __init__(
        self,
        vault: Vault,
        reader: Reader,
        loaded: LoadedNetwork,
        *,
        configured_file: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.vault = vault
        self.configured_file = configured_file
        self._reader = reader
        self._loaded = loaded
        self._clock = clock
        self._checked_at = clock()
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """The id of the network that reads now."""
        return self._loaded.id

    def card(self) -> dict[str, Any]:
        """Return the card of the network that reads now, with its `id` and its `problem`.

        The problem is a sentence when this network stands in for a damaged one, else None.
        """
        loaded = self._loaded
        return {**loaded.card, "id": loaded.id, "problem": loaded.problem}

    def refresh(self, *, at_once: bool = False) -> None:
        """Have the reader use a newly promoted network from its next frame on.

        Call it often, from any thread: it asks the disk once a second, or `at_once`.
        """
        if self.configured_file:
            return
        if self._clock() - self._checked_at < _POLL_SECONDS and not at_once:
            return
        with self._lock:
            self._checked_at = self._clock()
            stamp = self.vault.stamp()
            if stamp != self._loaded.stamp:
                self._switch(stamp)

    def _switch(self, stamp: str) -> None:
        try:
            loaded = self.vault.load_current()
        except WeightsError as error:
            # The network in memory is whole.
            log.warning("%s; network %s goes on reading", error, self._loaded.id)
            self._loaded = self._loaded._replace(problem=str(error), stamp=stamp)
            return
        if loaded.problem:
            log.warning("%s", loaded.problem)
        if loaded.id != self._loaded.id:
            self._reader.use(loaded.network, loaded.card["sha256"])
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(loaded.promoted))
            log.info("reads with network %s from now on, promoted %s", loaded.id, at)
        self._loaded = loaded

"""The networks on disk: candidates, the current one and those before it; a power cut loses none."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from appliance.errors import ApplianceError, StateError, VaultError
from appliance.networks.promotions import ID, SHIPPED, Promotions
from model import weights
from model.errors import WeightsError
from model.files import open_regular
from model.inference import OneDigit
from model.network import Network

log = logging.getLogger(__name__)

_LOCK_SECONDS = 10.0
_FACTS = (
    "preset", "parent", "command", "seed", "epochs", "best_epoch", "interrupted", "made", "seconds",
    "cpu_seconds", "training_multiply_adds", "parameters", "multiply_adds", "data", "digits",
    "captures", "validation_accuracy", "test", "own", "report",
)  # fmt: skip
"""The facts of a card in which `compare` sets two networks side by side."""


class LoadedNetwork(NamedTuple):
    """A network to read with, its card and its id.

    `problem` is a sentence when it stands in for a damaged one. `stamp` is `Vault.stamp` at the
    time of loading; `promoted` is when it was promoted (Unix seconds; None: never).
    """

    network: Network
    card: dict[str, Any]
    id: str
    problem: str | None = None
    stamp: str = ""
    promoted: float | None = None


class Entry(NamedTuple):
    """One network of the vault; `state` is current, previous, candidate, shipped or damaged.

    `bytes` is the size of its file, `made` is in Unix seconds. A damaged one's card has a `problem`
    and nothing else.
    """

    id: str
    card: dict[str, Any]
    state: str
    bytes: int
    made: float
    shipped: bool = False

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


class Vault:
    """The networks in one folder, a file `<id>.npz` each, with its report beside it.

    An id is the first 12 digits of the sha256 on the card. The folder is made at the first change.
    It keeps the newest `keep` networks, the current and the previous one; the shipped network is
    elsewhere, so that no damage to the folder reaches it. Threads and processes may share a folder:
    each change takes a lock, which the kernel frees when its process dies.
    """

    def __init__(self, folder: Path, *, shipped: Path = weights.SHIPPED, keep: int = 5) -> None:
        self.folder = folder
        self._shipped = shipped
        self._keep = keep
        self._promotions = Promotions(folder)
        # The entry of each file, valid for as long as its inode, size and times stay.
        self._entries: dict[str, tuple[tuple[int, ...], Entry]] = {}

    # ---- reading needs no lock ----

    def load_current(self) -> LoadedNetwork:
        """Return the current network; if it is damaged, the one before it, else the shipped one.

        Raises WeightsError only if the shipped one is damaged too.
        """
        stamp, promoted = self._promotions.stamp()
        problem = None
        for name in reversed(self._promotions.stack()):
            try:
                network, card, id = self._load(name)
            except (WeightsError, OSError) as error:
                problem = problem or f"the current network is damaged ({error})"
                continue
            if problem:
                which = "which ships" if name == SHIPPED else "promoted before it"
                problem += f": {id}, {which}, stands in; 'digits networks roll-back' makes it last"
            return LoadedNetwork(network, card, id, problem, stamp, promoted)
        raise WeightsError(f"{problem}, and so is each before it: install the appliance again")

    def stamp(self) -> str:
        """Return a text that changes with each promotion; costs two system calls."""
        return self._promotions.stamp()[0]

    def list_networks(self) -> list[Entry]:
        """Return every network, the newest first and the shipped one last."""
        shipped, names = self._read_entry(SHIPPED), self._names()
        entries = [entry for name in names if (entry := self._read_entry(name)).id != shipped.id]
        # Another process adds and removes networks: forget those that are gone.
        for gone in set(self._entries) - {*names, SHIPPED}:
            self._entries.pop(gone, None)
        entries.sort(key=lambda entry: entry.made, reverse=True)
        current, before = self._current_and_previous()
        states = {before: "previous", current: "current"}
        return [
            entry
            if entry.state == "damaged"
            else entry._replace(state=states.get(entry.id, entry.state))
            for entry in (*entries, shipped)
        ]

    def find(self, id: str) -> Entry:
        """Return the entry of a network; raises VaultError for an unknown id."""
        for entry in self.list_networks():
            if entry.id == id:
                return entry
        raise _unknown_error(id)

    def previous_id(self) -> str | None:
        """Return the id that `roll_back` would go to, or None where there is none."""
        return self._current_and_previous()[1]

    def compare(self, a: str, b: str) -> dict[str, tuple[Any, Any]]:
        """Return each fact of two networks' cards that either has, as (of a, of b).

        Raises VaultError for an unknown id.
        """
        one, two = self.find(a), self.find(b)
        facts = {key: (one.card.get(key), two.card.get(key)) for key in _FACTS}
        known = {key: pair for key, pair in facts.items() if pair != (None, None)}
        return {"id": (one.id, two.id), "state": (one.state, two.state), **known}

    # ---- changes take turns ----

    def add(self, network: Network, card: dict[str, Any]) -> str:
        """Add a folded network as a candidate and return its id; adding it again changes nothing.

        Raises StateError where it cannot be written; the others stay as they are.
        """
        id = weights.checksum(network)[:12]
        if id == self._read_entry(SHIPPED).id:
            return id
        with self._changing(f"network {id} is not kept"):
            newest = max((self._read_entry(name).made for name in self._names()), default=0.0)
            weights.save(self._file(id), network, card)
            # Also after the clock was set back the newest network is the last to be removed.
            made = max(time.time(), newest + 0.001)
            os.utime(self._file(id), (made, made))
            self._tidy()
        return id

    def promote(self, id: str) -> None:
        """Make a network the current one, in one step, after a test load.

        Raises VaultError for an unknown or damaged network, StateError where nothing can be
        written; the current one then stays.
        """
        name = SHIPPED if id == self._read_entry(SHIPPED).id else id
        if name != SHIPPED and id not in self._names():
            raise _unknown_error(id)
        with self._changing(f"network {id} is not promoted"):
            try:
                # A network that the reader cannot run is as good as damaged.
                OneDigit(self._load(name)[0])
            except (WeightsError, TypeError) as error:
                raise VaultError(
                    f"network {id} cannot read ({error}): it is not promoted; choose another"
                ) from None
            self._promotions.promote(name)
            self._tidy()

    def roll_back(self) -> str:
        """Go back to the network before the current one and return its id; repeat to go further.

        Skips networks that are damaged or gone; the last one is the shipped one. Raises VaultError
        where there is none before, StateError where nothing can be written.
        """
        with self._changing("nothing is rolled back"):
            self._entries.clear()
            stack = self._promotions.stack()
            place = self._find_previous(stack)
            if place is None:
                raise VaultError(
                    "there is no network before the current one: 'digits networks' lists those "
                    "that can be promoted"
                )
            self._promotions.roll_back(place)
            self._tidy()
            return self._id(stack[place])

    def trim(self) -> None:
        """Remove all networks but the current, the previous, the shipped and the newest `keep`."""
        with self._changing("old networks are not removed"):
            self._remove_surplus()

    @contextmanager
    def hold_changes(self) -> Iterator[None]:
        """Hold the lock for as long as the block lasts: others' changes wait.

        Raises StateError, OSError.
        """
        if not self.folder.is_dir():
            yield
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lock())
            except OSError as error:
                # On a read-only card nobody changes anything.
                if error.errno != errno.EROFS:
                    raise
            yield

    # ---- files ----

    def report_file(self, id: str) -> Path:
        """Return where a network's report on MNIST's test digits is (`model.evaluation_report`)."""
        return self.folder / f"{id}.report.json"

    def _file(self, name: str) -> Path:
        return self._shipped if name == SHIPPED else self.folder / f"{name}.npz"

    def _names(self) -> list[str]:
        """Return the ids that have a file in the folder."""
        try:
            files = [Path(file) for file in os.listdir(self.folder)]
        except OSError:
            return []
        return [file.stem for file in files if file.suffix == ".npz" and ID.fullmatch(file.stem)]

    def _load(self, name: str | None) -> tuple[Network, dict[str, Any], str]:
        """Return network, card and id of a name; raises WeightsError or OSError."""
        if name is None:
            raise WeightsError(f"{self._promotions.link} does not lead to a network of its folder")
        file = self._file(name)
        if name != SHIPPED and not os.path.lexists(file):
            raise WeightsError(f"{file} is not there")
        network, card = weights.load(file)
        id = str(card["sha256"])[:12]
        if name not in (SHIPPED, id):
            raise WeightsError(f"{file} holds the network {id}")
        return network, card, id

    def _read_entry(self, name: str) -> Entry:
        """Return the entry of a file as candidate, shipped or damaged; loads each file once."""
        file, shipped = self._file(name), name == SHIPPED
        try:
            at = os.lstat(file)
        except OSError:
            return Entry(name, {"problem": f"{file} is not there"}, "damaged", 0, 0.0, shipped)
        signature = (at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
        if name in self._entries and self._entries[name][0] == signature:
            return self._entries[name][1]
        try:
            _, card, id = self._load(name)
            state = "shipped" if shipped else "candidate"
        except (WeightsError, OSError) as error:
            id, card, state = name, {"problem": str(error)}, "damaged"
        entry = Entry(id, card, state, at.st_size, at.st_mtime, shipped)
        self._entries[name] = signature, entry
        return entry

    def _id(self, name: str | None) -> str:
        return self._read_entry(SHIPPED).id if name == SHIPPED else str(name)

    def _is_whole(self, name: str | None) -> bool:
        return name is not None and self._read_entry(name).state != "damaged"

    def _current_and_previous(self) -> tuple[str | None, str | None]:
        """Return the id that is read with, and the one that `roll_back` would go to."""
        stack = self._promotions.stack()
        current = next((name for name in reversed(stack) if self._is_whole(name)), None)
        place = self._find_previous(stack)
        return current and self._id(current), None if place is None else self._id(stack[place])

    def _find_previous(self, stack: list[str | None]) -> int | None:
        """Return the highest place below the top with another network that is whole, or None."""
        for place in reversed(range(len(stack) - 1)):
            if stack[place] != stack[-1] and self._is_whole(stack[place]):
                return place
        return None

    def _tidy(self) -> None:
        """Remove surplus networks; where that fails the change before it stands."""
        try:
            self._remove_surplus()
        except OSError as error:
            log.warning("%s: old networks are not removed (%s)", self.folder, error.strerror)

    def _remove_surplus(self) -> None:
        newest = sorted(self._names(), key=lambda name: self._read_entry(name).made, reverse=True)
        kept = {*newest[: self._keep], self._promotions.stack()[-1], *self._current_and_previous()}
        # Half-written files of a killed process go too: nobody else writes now.
        gone = set(newest) - kept
        reports = map(self.report_file, gone)
        for file in (*map(self._file, gone), *reports, *self.folder.glob(".*.new")):
            file.unlink(missing_ok=True)

    # ---- the lock ----

    @contextmanager
    def _changing(self, failure: str) -> Iterator[None]:
        """Hold the lock; raises StateError with the failure where the disk refuses."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock():
                self._promotions.begin()
                yield
        except ApplianceError:
            raise
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            step = "make room on the disk" if full else "check the disk and who owns the folder"
            raise StateError(
                f"{self.folder}: {failure} ({error.strerror or error}): {step}, then try again"
            ) from None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        # Read-only is enough: the service can lock a file that root has made.
        file = open_regular(self.folder / ".lock", os.O_RDONLY | os.O_CREAT)
        try:
            end = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise StateError(
                            f"{self.folder}: another process has been changing the networks for "
                            f"{_LOCK_SECONDS:.0f} seconds: try again when it has ended"
                        ) from None
                    time.sleep(0.02)
            yield
        finally:
            os.close(file)


def _unknown_error(id: str) -> VaultError:
    return VaultError(f"there is no network {id[:40]!r}: 'digits networks' lists those there are")

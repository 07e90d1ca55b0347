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
"""What two networks are compared in: what a person may ask of how one was made and how it reads."""


class LoadedNetwork(NamedTuple):
    """A network loaded to read with, its card and its id.

    `problem` is the sentence to tell when it only stands in for one that is damaged. `stamp` is
    what `Vault.stamp` was just before, `promoted` when (Unix seconds; None: never any).
    """

    network: Network
    card: dict[str, Any]
    id: str
    problem: str | None = None
    stamp: str = ""
    promoted: float | None = None


class Entry(NamedTuple):
    """One network of the vault; `state` is current, previous, candidate, shipped or damaged.

    `made` is in Unix seconds. The card of a damaged one holds nothing but the `problem`.
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
    """The networks in one folder, which is made at the first change; `<id>.npz` each.

    A network's report may be beside it and goes with it.

    An id is the first 12 digits of the sha256 on the card. Keeps the newest `keep`, and whatever is
    current or previous; the network that ships is always there, out of reach of what happens to
    the folder. Threads and processes may share one: changes take turns by a lock that ends with
    its process.
    """

    def __init__(self, folder: Path, *, shipped: Path = weights.SHIPPED, keep: int = 5) -> None:
        self.folder = folder
        self._shipped = shipped
        self._keep = keep
        self._promotions = Promotions(folder)
        # What each file was found to hold, for as long as its inode, size and times stay.
        self._found: dict[str, tuple[tuple[int, ...], Entry]] = {}

    # ---- looking changes nothing and needs no lock ----

    def load_current(self) -> LoadedNetwork:
        """Return the network to read with: the current, else one before it, else the shipped one.

        Raises WeightsError only if the shipped one is damaged too.
        """
        stamp, promoted = self._promotions.stamp()
        wrong = None
        for name in reversed(self._promotions.stack()):
            try:
                network, card, id = self._load(name)
            except (WeightsError, OSError) as error:
                wrong = wrong or f"the current network is damaged ({error})"
                continue
            if wrong:
                which = "which ships" if name == SHIPPED else "promoted before it"
                wrong += f": {id}, {which}, stands in; 'digits networks roll-back' makes it last"
            return LoadedNetwork(network, card, id, wrong, stamp, promoted)
        raise WeightsError(f"{wrong}, and so is each before it: install the appliance again")

    def stamp(self) -> str:
        """Return a text that is another one after each promotion; costs two calls of the kernel."""
        return self._promotions.stamp()[0]

    def list_networks(self) -> list[Entry]:
        """Return every network, the newest first and the shipped one last."""
        shipped, names = self._look(SHIPPED), self._names()
        entries = [entry for name in names if (entry := self._look(name)).id != shipped.id]
        # Another process adds one each night and removes one: those that are gone are forgotten.
        for gone in set(self._found) - {*names, SHIPPED}:
            self._found.pop(gone, None)
        entries.sort(key=lambda entry: entry.made, reverse=True)
        current, before = self._reading_and_before()
        states = {before: "previous", current: "current"}
        return [
            entry
            if entry.state == "damaged"
            else entry._replace(state=states.get(entry.id, entry.state))
            for entry in (*entries, shipped)
        ]

    def find(self, id: str) -> Entry:
        """Return one of the listing; raises VaultError for an id that is not in it."""
        for entry in self.list_networks():
            if entry.id == id:
                return entry
        raise _unknown(id)

    def previous_id(self) -> str | None:
        """Return the id that `roll_back` would go to, or None where there is none."""
        return self._reading_and_before()[1]

    def compare(self, a: str, b: str) -> dict[str, tuple[Any, Any]]:
        """Return each fact of two networks' cards that either has, as (of a, of b).

        Raises VaultError for an unknown id.
        """
        one, two = self.find(a), self.find(b)
        facts = {key: (one.card.get(key), two.card.get(key)) for key in _FACTS}
        told = {key: pair for key, pair in facts.items() if pair != (None, None)}
        return {"id": (one.id, two.id), "state": (one.state, two.state), **told}

    # ---- changes take turns ----

    def add(self, network: Network, card: dict[str, Any]) -> str:
        """Keep a folded network as a candidate and return its id; the same again does no harm.

        Raises StateError when it cannot be written; what is there stays as it is.
        """
        id = weights.checksum(network)[:12]
        if id == self._look(SHIPPED).id:
            return id
        with self._changing(f"network {id} is not kept"):
            newest = max((self._look(name).made for name in self._names()), default=0.0)
            weights.save(self._file(id), network, card)
            # A clock that was set back does not make the newest network the first to go.
            made = max(time.time(), newest + 0.001)
            os.utime(self._file(id), (made, made))
            self._tidy()
        return id

    def promote(self, id: str) -> None:
        """Make a network the current one, in one step, after it was loaded and found whole.

        Raises VaultError for one that is unknown or damaged and StateError when nothing can be
        written; the current one then stays.
        """
        name = SHIPPED if id == self._look(SHIPPED).id else id
        if name != SHIPPED and id not in self._names():
            raise _unknown(id)
        with self._changing(f"network {id} is not promoted"):
            try:
                # One that the reader has no way to read with is as good as damaged.
                OneDigit(self._load(name)[0])
            except (WeightsError, TypeError) as error:
                raise VaultError(
                    f"network {id} cannot read ({error}): it is not promoted; choose another"
                ) from None
            self._promotions.promote(name)
            self._tidy()

    def roll_back(self) -> str:
        """Make the network current that was so before, and return its id; again: one further back.

        One that is damaged or gone is passed over; the last is the one that ships. Raises
        VaultError when there is none before, and StateError when nothing can be written.
        """
        with self._changing("nothing is rolled back"):
            self._found.clear()
            stack = self._promotions.stack()
            place = self._place_before(stack)
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
        """Keep changes waiting for as long as the block lasts; raises StateError, OSError."""
        if not self.folder.is_dir():
            yield
            return
        with ExitStack() as held:
            try:
                held.enter_context(self._locked())
            except OSError as error:
                # On a card that is read-only nobody changes anything.
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

    def _look(self, name: str) -> Entry:
        """Return what a file holds, as a candidate, shipped or damaged; loads it once."""
        file, shipped = self._file(name), name == SHIPPED
        try:
            at = os.lstat(file)
        except OSError:
            return Entry(name, {"problem": f"{file} is not there"}, "damaged", 0, 0.0, shipped)
        signature = (at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
        if name in self._found and self._found[name][0] == signature:
            return self._found[name][1]
        try:
            _, card, id = self._load(name)
            state = "shipped" if shipped else "candidate"
        except (WeightsError, OSError) as error:
            id, card, state = name, {"problem": str(error)}, "damaged"
        entry = Entry(id, card, state, at.st_size, at.st_mtime, shipped)
        self._found[name] = signature, entry
        return entry

    def _id(self, name: str | None) -> str:
        return self._look(SHIPPED).id if name == SHIPPED else str(name)

    def _good(self, name: str | None) -> bool:
        return name is not None and self._look(name).state != "damaged"

    def _reading_and_before(self) -> tuple[str | None, str | None]:
        """Return the id that a reader is given, and the one that `roll_back` would go to."""
        stack = self._promotions.stack()
        current = next((name for name in reversed(stack) if self._good(name)), None)
        place = self._place_before(stack)
        return current and self._id(current), None if place is None else self._id(stack[place])

    def _place_before(self, stack: list[str | None]) -> int | None:
        """Return the uppermost place below the top that has another network, and a whole one."""
        for place in reversed(range(len(stack) - 1)):
            if stack[place] != stack[-1] and self._good(stack[place]):
                return place
        return None

    def _tidy(self) -> None:
        """Remove what is surplus; what cannot be removed does not undo the change before it."""
        try:
            self._remove_surplus()
        except OSError as error:
            log.warning("%s: old networks are not removed (%s)", self.folder, error.strerror)

    def _remove_surplus(self) -> None:
        newest = sorted(self._names(), key=lambda name: self._look(name).made, reverse=True)
        kept = {*newest[: self._keep], self._promotions.stack()[-1], *self._reading_and_before()}
        # What a killed process left half written goes too: nobody else writes now.
        gone = set(newest) - kept
        reports = map(self.report_file, gone)
        for file in (*map(self._file, gone), *reports, *self.folder.glob(".*.new")):
            file.unlink(missing_ok=True)

    # ---- the lock ----

    @contextmanager
    def _changing(self, failure: str) -> Iterator[None]:
        """Hold the lock; what the disk refuses is raised as a StateError that tells the failure."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
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
    def _locked(self) -> Iterator[None]:
        # Opened to read only, so that the service may lock what root has made.
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


def _unknown(id: str) -> VaultError:
    return VaultError(f"there is no network {id[:40]!r}: 'digits networks' lists those there are")

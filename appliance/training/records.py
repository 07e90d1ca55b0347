"""The nights on disk: what runs now, what each came to, and that only one runs at a time."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from appliance.errors import StateError
from model.files import open_regular, read_regular, replace_file

NIGHTS = "nights.jsonl"
"""What the nights came to, a line each, in the state directory."""
_MOST_PROGRESS_BYTES = 1_000_000
KEPT_NIGHTS = 100
"""Records that are kept at least; when there are twice as many the older half goes."""


_Kind = Callable[[Any], bool]


class Refused(Exception):
    """A night that is not begun, with the sentence why."""


@dataclass(eq=False, repr=False)
class Progress:
    """What the page shows of a night: `state` is preparing, training, waiting, deciding, ended."""

    file: Path
    state: str = "preparing"
    sentence: str = ""
    progress: float = 0.0
    epoch: int = 0
    of: int = 0
    pictures_per_second: float | None = None
    seconds_left: float | None = None
    temperature: float | None = None
    loss: float | None = None
    curve: list[tuple[float, float]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    written: int = 0
    pid: int = field(default_factory=os.getpid)
    started: float = field(default_factory=time.time)
    updated: float = 0.0

    def show(self) -> None:
        """Replace the file; a disk that refuses it does not end the training."""
        self.updated = time.time()
        self.written = written()
        told = self.as_json()
        beside = self.file.with_name(f".{self.file.name}.new")
        with suppress(OSError):
            # In RAM or not, what is told every few seconds is not worth a card's flush.
            with open(beside, "w", encoding="utf-8", opener=open_regular) as file:
                file.write(json.dumps(told))
            os.replace(beside, self.file)

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "file"}


class Rate:
    """Pictures a second, over the last minute or so."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since, self._count = clock(), 0

    def count(self, pictures: int) -> None:
        self._count += pictures
        if self._clock() - self._since > 60:
            # Half of the past is forgotten.
            self._since += (self._clock() - self._since) / 2
            self._count //= 2

    def per_second(self) -> float | None:
        passed = self._clock() - self._since
        return round(self._count / passed, 1) if passed > 0.5 else None


def progress_file(state: Path) -> Path:
    """Return where the progress is told: in RAM under systemd, else in the state directory."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(runtime or state) / "retrain.json"


def progress(state: Path) -> dict[str, Any] | None:
    """Return what the newest night tells of itself, with `running`; None where there was none.

    One begun by hand has no place in RAM that systemd gave it, so both places are looked at.
    """
    found = []
    for file in {progress_file(state), state / progress_file(state).name}:
        with suppress(OSError, ValueError, RecursionError):
            told = json.loads(read_regular(file, _MOST_PROGRESS_BYTES))
            if _fits(told, _PROGRESS, ("updated",)):
                found.append(Progress(file, pid=0).as_json() | told)
    if not found:
        return None
    return {**max(found, key=lambda told: told["updated"]), "running": running(state)}


def nights(state: Path, most: int = 20) -> list[dict[str, Any]]:
    """Return the records of the last nights, the newest first; damaged lines are left out."""
    found = []
    with suppress(OSError):
        lines = read_regular(state / NIGHTS).decode(errors="replace").splitlines()
        found = [record for line in lines if (record := night_of(line)) is not None]
    return found[::-1][:most]


def night_of(line: str | bytes) -> dict[str, Any] | None:
    """Return the record of a line of `nights.jsonl`, None for one that is damaged.

    It has when the night ended; of the rest, what is there is what it must be.
    """
    with suppress(ValueError, RecursionError):
        record = json.loads(line)
        if _fits(record, _NIGHT, ("at",)):
            return dict(record)
    return None


def add_night(state: Path, record: dict[str, Any]) -> None:
    """Append a record and let go of those of long ago; raises StateError."""
    file = state / NIGHTS
    try:
        with open(file, "ab+", opener=open_regular) as lines:
            size = lines.tell()
            # A line that a power cut left without its end spoils no other.
            broken = size and os.pread(lines.fileno(), 1, size - 1) != b"\n"
            lines.write(b"\n" * bool(broken) + json.dumps(record).encode() + b"\n")
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise StateError(
            f"{file}: the night's outcome cannot be written ({error.strerror}): check the disk"
        ) from None
    # The record is there already: what is too much can go after another night.
    with suppress(OSError):
        records = read_regular(file).splitlines(keepends=True)
        if len(records) >= 2 * KEPT_NIGHTS:
            with replace_file(file) as shorter:
                shorter.writelines(records[-KEPT_NIGHTS:])


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the lock that only one retraining can hold; raises Refused.

    The kernel lets go of it when its process dies. Raises StateError where it cannot be had.
    """
    try:
        file = open_regular(state / "retrain.lock", os.O_RDONLY | os.O_CREAT)
    except OSError as error:
        raise StateError(
            f"{state}: nothing can be written there ({error.strerror}): check the disk and who "
            "owns the state directory, or choose another with --state DIR"
        ) from None
    try:
        if not _locked(file):
            raise Refused("a retraining is running already: see the page's training view")
        yield
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    """Tell whether the lock could be taken; whoever only looks holds it for an instant."""
    for last in (*[False] * 19, True):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not last:
                time.sleep(0.01)
        else:
            return True
    return False


def running(state: Path) -> bool:
    """Tell whether a retraining holds the lock."""
    try:
        file = open_regular(state / "retrain.lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)


def _fits(record: Any, kinds: dict[str, _Kind], needed: Iterable[str]) -> bool:
    """Tell whether what a file holds has what is needed, and all of it of its kind."""
    return (
        isinstance(record, dict)
        and all(key in record for key in needed)
        and all(kinds[key](value) for key, value in record.items() if key in kinds)
    )


def _is_number(value: Any) -> bool:
    # A loss that diverged is none, and is told as it is.
    return type(value) in (int, float) and (abs(value) == inf or not abs(value) > 1e9)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e11


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1e12


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(kind: _Kind) -> _Kind:
    return lambda value: value is None or kind(value)


def _is_curve(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) == 2 and all(map(_is_number, each)) for each in value
    )


def _are_epochs(value: Any) -> bool:
    return isinstance(value, list) and all(
        _fits(each, _EPOCH, ("number", "of")) and 1 <= each["of"] < 1e6 for each in value
    )


def _are_outcomes(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, dict) and all(map(_is_count, each.values())) for each in value.values()
    )


_EPOCH: dict[str, _Kind] = {
    "number": _is_count,
    "of": _is_count,
    "loss": _or_none(_is_number),
    "validation": _or_none(_is_number),
    "camera": _or_none(_is_number),
}
_COURSE: dict[str, _Kind] = {"curve": _is_curve, "epochs": _are_epochs, "written": _is_count}
_NIGHT: dict[str, _Kind] = {
    **_COURSE,
    "at": _is_time,
    "outcome": _is_text,
    "why": _is_text,
    "outcomes": _are_outcomes,
    "candidate": _or_none(_is_text),
    "parent": _or_none(_is_text),
    "boot": _or_none(_is_text),
    "uptime": _is_number,
    "change": _is_count,
    "told": _is_flag,
    "finished": _is_flag,
}
_PROGRESS: dict[str, _Kind] = {
    **_COURSE,
    "state": _is_text,
    "sentence": _is_text,
    "progress": _is_number,
    "epoch": _is_count,
    "of": lambda value: _is_count(value) and value < 1e6,
    "pictures_per_second": _or_none(_is_number),
    "seconds_left": _or_none(_is_number),
    "temperature": _or_none(_is_number),
    "loss": _or_none(_is_number),
    "pid": _is_count,
    "started": _is_time,
    "updated": _is_time,
}


def written() -> int:
    """Return the bytes that this process has had written to storage, 0 where it is not told."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    return 0

"""What the page is told of training: the progress of this night, the outcome of each before it."""

import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from appliance.errors import StateError
from appliance.storage.layout import StateDirectory
from appliance.storage.rows import MAX_ID, MAX_TIME
from appliance.training.lock import is_training
from model.files import open_regular, read_regular, replace_file

KEPT_NIGHTS = 100
"""Records kept at least: at twice as many the older half is removed."""
_MOST_PROGRESS_BYTES = 1_000_000

_Check = Callable[[Any], bool]


@dataclass(eq=False, repr=False)
class Progress:
    """The progress of a night, a JSON file that the page reads.

    `state` is preparing, training, waiting, deciding or ended; `progress` is a share 0…1.
    """

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

    def save(self) -> None:
        """Replace the file in one step; a disk that refuses does not end the training."""
        self.updated = time.time()
        self.written = count_written_bytes()
        new = self.file.with_name(f".{self.file.name}.new")
        with suppress(OSError):
            # No fsync: a file rewritten every few seconds is not worth the SD card's wear.
            with open(new, "w", encoding="utf-8", opener=open_regular) as file:
                file.write(json.dumps(self.to_json()))
            os.replace(new, self.file)

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "file"}


class Rate:
    """Pictures a second, over the last one to two minutes. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since, self._count = clock(), 0

    def count(self, pictures: int) -> None:
        self._count += pictures
        if self._clock() - self._since > 60:
            # Forget the older half.
            self._since += (self._clock() - self._since) / 2
            self._count //= 2

    def per_second(self) -> float | None:
        passed = self._clock() - self._since
        return round(self._count / passed, 1) if passed > 0.5 else None


def progress_path(state: Path) -> Path:
    """Return the progress file: in RAM under systemd, else in the state directory."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    name = StateDirectory(state).progress
    return Path(runtime) / name.name if runtime else name


def load_progress(state: Path) -> dict[str, Any] | None:
    """Return the newest night's progress and whether it is `running`; None if there was no night.

    A training that a person started has no folder in RAM from systemd: both places are read.
    """
    candidates = []
    for file in {progress_path(state), StateDirectory(state).progress}:
        with suppress(OSError, ValueError, RecursionError):
            content = json.loads(read_regular(file, _MOST_PROGRESS_BYTES))
            if _is_valid(content, _PROGRESS, required=("updated",)):
                candidates.append(Progress(file, pid=0).to_json() | content)
    if not candidates:
        return None
    newest = max(candidates, key=lambda each: each["updated"])
    return {**newest, "running": is_training(state)}


def load_nights(state: Path, most: int = 20) -> list[dict[str, Any]]:
    """Return the records of the last nights, the newest first; damaged lines are left out."""
    records = []
    with suppress(OSError):
        lines = read_regular(StateDirectory(state).nights).decode(errors="replace").splitlines()
        records = [record for line in lines if (record := parse_night(line)) is not None]
    return records[::-1][:most]


def parse_night(line: str | bytes) -> dict[str, Any] | None:
    """Return the record in a line of `nights.jsonl`, or None for a damaged line.

    A record has at least `at`; every other field that it has is of its type.
    """
    with suppress(ValueError, RecursionError):
        record = json.loads(line)
        if _is_valid(record, _NIGHT, required=("at",)):
            return dict(record)
    return None


def append_night(state: Path, record: dict[str, Any]) -> None:
    """Append a record and remove the oldest ones; raises StateError."""
    file = StateDirectory(state).nights
    try:
        with open(file, "ab+", opener=open_regular) as lines:
            size = lines.tell()
            # A power cut may have left half a line: end it, or it spoils this one.
            broken = size and os.pread(lines.fileno(), 1, size - 1) != b"\n"
            lines.write(b"\n" * bool(broken) + json.dumps(record).encode() + b"\n")
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise StateError(
            f"{file}: the night's outcome cannot be written ({error.strerror}): check the disk"
        ) from None
    # The record is safe; if the disk is full the old ones can go after another night.
    with suppress(OSError):
        records = read_regular(file).splitlines(keepends=True)
        if len(records) >= 2 * KEPT_NIGHTS:
            with replace_file(file) as shorter:
                shorter.writelines(records[-KEPT_NIGHTS:])


def count_written_bytes() -> int:
    """Return the bytes that this process has sent to storage; 0 where the kernel does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    return 0


# ---- what a file may hold ----


def _is_valid(record: Any, checks: dict[str, _Check], required: Iterable[str]) -> bool:
    """Tell whether a record has the required fields, and each known field passes its check."""
    return (
        isinstance(record, dict)
        and all(key in record for key in required)
        and all(checks[key](value) for key, value in record.items() if key in checks)
    )


def _is_number(value: Any) -> bool:
    # The loss of a training that diverged is infinite or NaN.
    return type(value) in (int, float) and (abs(value) == inf or not abs(value) > 1e9)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MAX_TIME


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_ID


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _is_curve(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) == 2 and all(map(_is_number, each)) for each in value
    )


def _are_epochs(value: Any) -> bool:
    return isinstance(value, list) and all(
        _is_valid(each, _EPOCH, required=("number", "of")) and 1 <= each["of"] < 1e6
        for each in value
    )


def _are_outcomes(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, dict) and all(map(_is_count, each.values())) for each in value.values()
    )


_EPOCH: dict[str, _Check] = {
    "number": _is_count,
    "of": _is_count,
    "loss": _or_none(_is_number),
    "validation": _or_none(_is_number),
    "camera": _or_none(_is_number),
}
_CURVES: dict[str, _Check] = {"curve": _is_curve, "epochs": _are_epochs, "written": _is_count}
_NIGHT: dict[str, _Check] = {
    **_CURVES,
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
_PROGRESS: dict[str, _Check] = {
    **_CURVES,
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

"""A day of a camera that fails, at speed: python -m tests.proofs.failing_camera.

The loop and picamera2's own code over the stand-in for libcamera: the camera is held by another
program, gives no frame, gives a few and stalls, is not there, or has no memory. Reports open files,
threads and memory early and late, and how many lines the log has; ends with 1 if any grew.
"""

import argparse
import contextlib
import gc
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.camera import picamera
from appliance.camera.picamera import PiCamera
from appliance.device import machine
from appliance.loop import Loop
from appliance.reader.debounce import Debouncer
from appliance.reader.reader import Reader
from appliance.reading import Frame, Reading
from model.network import build
from tests.camera import libcamera
from tests.camera.versions import VERSIONS, imported

HOUR = 3600.0
EARLY_TRIES = 50
"""What Python and the libraries make once is there by then."""
MOST_LINES_AN_HOUR = 2
MOST_GROWTH_KB = 4000
STALLED = 0.02
"""Real seconds without a frame: the stand-in gives two hundred frames a second."""


@dataclass(frozen=True)
class Held:
    """What this process holds: open files, threads, and kB in RAM."""

    files: int
    threads: int
    kilobytes: int


@dataclass(frozen=True)
class Day:
    """A fault's day: the tries of the camera, what was held early and late, and the log's lines."""

    version: str
    fault: str
    tries: int
    early: Held
    late: Held
    lines: int
    sentences: list[str]

    def problems(self, hours: float) -> list[str]:
        """Return what grew, or was written too often, in so many hours."""
        early, late = self.early, self.late
        return [
            what
            for what, wrong in {
                "open files": late.files > early.files,
                "threads": late.threads > early.threads,
                "memory": late.kilobytes - early.kilobytes > MOST_GROWTH_KB,
                "lines": self.lines > MOST_LINES_AN_HOUR * hours + 10,
            }.items()
            if wrong
        ]


class FastClock:
    """The loop's clock and the Event that it waits for: a wait takes no time, and all of it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def set(self) -> None: ...

    def clear(self) -> None: ...


class Idle(Reader):
    """Answers nothing: what a frame shows is no matter here."""

    def read(self, frame: Frame) -> Reading:
        return Reading(at=frame.at, network=self.id)


def hold() -> Held:
    gc.collect()
    files, resident = machine.open_files(), machine.memory().resident
    assert files is not None
    assert resident is not None
    return Held(files, threading.active_count(), resident // 1024)


FAULTS: dict[str, Callable[[libcamera.Device], None]] = {
    "held": lambda device: setattr(device, "held", True),
    "stalled": lambda device: setattr(device, "stalled", True),
    "stalls": lambda device: setattr(device, "frames", 3),
    "no memory": lambda device: device.refusals.update(start=OSError(12, os.strerror(12))),
    "not there": lambda device: libcamera.PLUGGED_IN.clear(),
}


def spend_day(version: str, fault: str, hours: float) -> Day:
    """Run the loop with such a camera for so many hours of its own clock."""
    clock, tries = FastClock(), 0
    # The manager of the day before knows its camera alone.
    gc.collect()
    early: Held | None = None
    with imported(version) as library, count_lines() as lines:
        device = libcamera.Device()
        libcamera.PLUGGED_IN.append(device)
        FAULTS[fault](device)

        def open_camera() -> PiCamera:
            nonlocal tries, early
            tries += 1
            if tries == EARLY_TRIES:
                early = hold()
            if clock.now >= hours * HOUR:
                loop.stop()
            clock.now += picamera.STALLED
            return PiCamera(640, 480, library=library)

        loop = Loop(
            open_camera=open_camera,
            reader=Idle(build([["dense", 784, 10]])),
            debouncer=Debouncer(3),
            outputs=[],
            rate=4,
            clock=clock,
        )
        loop._wake = clock  # type: ignore[assignment]
        real, picamera.STALLED = picamera.STALLED, STALLED
        try:
            loop.run()
        finally:
            picamera.STALLED = real
        late = hold()
    if early is None:
        raise SystemExit(f"{tries} tries in {hours} hours: let it run for more --hours")
    return Day(version, fault, tries, early, late, len(lines), sorted(set(lines)))


@contextmanager
def count_lines() -> Iterator[list[str]]:
    """Collect each line of the log, and of stderr at its end, where libraries may write."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, handler = logging.getLogger(), Collector()
    level = root.level
    with tempfile.TemporaryFile("w+") as file:
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            yield lines
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            lines += file.read().splitlines()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="failing_camera", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="how long (default: a day)")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="only this one")
    parser.add_argument("--version", choices=VERSIONS, action="append", help="of picamera2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the reports there")
    args = parser.parse_args(arguments)
    days, failed = [], 0
    for version in args.version or VERSIONS:
        for fault in args.fault or FAULTS:
            day = spend_day(version, fault, args.hours)
            wrong = day.problems(args.hours)
            failed += bool(wrong)
            days.append(asdict(day))
            print(
                f"{'✘' if wrong else '✔'} picamera2 {version}, {fault}: {day.tries} tries in "
                f"{args.hours:g} hours; open files {day.early.files} → {day.late.files}, threads "
                f"{day.early.threads} → {day.late.threads}, memory {day.early.kilobytes:,} → "
                f"{day.late.kilobytes:,} kB; {day.lines} lines",
                flush=True,
            )
            for sentence in day.sentences if wrong else ():
                print(f"    {sentence}")
    if args.json:
        args.json.write_text(json.dumps(days, indent=1) + "\n")
    print(f"{len(days) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())

"""A `digits` command by a clock that a file sets: python -m tests.proofs.another_clock FILE run …

The file holds one double: the seconds by which `time.time` and what goes with it is ahead of the
machine's clock. Who writes another number into it sets the clock of the program that runs, as NTP
or a person would; the clocks that nobody can set (`time.monotonic`) go on as they are. With
`--small` before the command a night learns little, and is kept on the card as often as a long one.
"""

import argparse
import logging  # noqa: F401  (its formatter takes the real time.localtime for its own)
import mmap
import struct
import sys
import time
from pathlib import Path
from typing import Any

SECONDS = struct.Struct("d")
DIGITS, EPOCHS = 160, 2
"""A small night's base set, without what is held out of it, and how often it is gone through."""


def set_clock(file: Path, ahead: float) -> None:
    """Set the clock of whoever runs by this file."""
    if not file.exists():
        file.write_bytes(SECONDS.pack(ahead))
        return
    with open(file, "r+b") as held:
        held.write(SECONDS.pack(ahead))


def follow_clock(file: Path) -> None:
    """Have this process take its time from a file; before anything else asks for it."""
    with open(file, "rb") as opened:
        held = mmap.mmap(opened.fileno(), SECONDS.size, access=mmap.ACCESS_READ)
    really, parts = time.time, (time.localtime, time.gmtime)
    nanoseconds, words = time.time_ns, time.strftime

    def ahead() -> float:
        return float(SECONDS.unpack_from(held)[0])

    def now() -> float:
        return really() + ahead()

    def parted(kind: Any) -> Any:
        return lambda seconds=None: kind(now() if seconds is None else seconds)

    time.time = now
    time.time_ns = lambda: nanoseconds() + int(ahead() * 1e9)
    time.localtime, time.gmtime = map(parted, parts)
    time.strftime = lambda form, at=None: words(form, time.localtime() if at is None else at)


def use_forgetful_pins() -> None:
    """Take the mock pins that do not write down each of their states: it is not the appliance's."""
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory, MockPWMPin

    class Pin(MockPWMPin):  # type: ignore[misc]
        def _change_state(self, value: Any) -> Any:
            del self.states[1:]
            return super()._change_state(value)

    Device.pin_factory = MockFactory(pin_class=Pin)


def shrink_night() -> None:
    from functools import partial

    from appliance.commands import retrain as command
    from appliance.settings.schema import RetrainSettings
    from appliance.training import retrain
    from appliance.training.resumable_run import Sizes

    # One that takes all its hours is kept so often, this one after each batch.
    kept = RetrainSettings().hours * 3600 / retrain.CHECKPOINT_SECONDS
    retrain.CHECKPOINT_SECONDS = 0.0
    batch = round(DIGITS * EPOCHS / kept)
    little = partial(Sizes, examples=300, drawn_digits=200, batch=batch, epochs=EPOCHS)
    retrain.Sizes = little  # type: ignore[assignment,misc]
    # A loop at full speed leaves nothing to one who takes only what nobody else wants.
    command.lower_priority = lambda: None


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="of `digits`, with its options")
    args = parser.parse_args(words)
    command = args.command
    follow_clock(args.file)
    if command[0] == "--small":
        command = command[1:]
        shrink_night()
    if command[0] == "run":
        use_forgetful_pins()
    from appliance.__main__ import main

    return main(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

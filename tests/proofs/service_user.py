"""Plays the service's user against root: every trap for every command, and ten minutes of renames.

    sudo python -m tests.proofs.service_user
    sudo python -m tests.proofs.service_user --minutes 10

The first lays each kind of trap in the place of each name in a state directory and runs each
command as root, as `sudo digits` would; the second has the user change names as fast as it can
while root runs commands. Nothing of root's may be read, written, made, removed or given away, and
no command may hang. All of it is in a folder of its own below /tmp, which goes at the end.
"""

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.service_user import (
    KINDS,
    NAMES,
    PLOTS,
    USER,
    House,
    attempt,
    harm,
    house,
    lay,
    renew,
    roots_own,
    scramble,
    warm_up,
)

_PATIENCE = 60.0


class Tally:
    """What came of the commands."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()
        self.passed = self.failed = 0

    def run(self, house: House, command: str, trap: str) -> None:
        before = roots_own(house)
        found = attempt(house.commands()[command], _PATIENCE)
        wrong = harm(house, before, found.said)
        if found.code is None:
            wrong.append("it hangs")
        elif found.code not in (0, 1):
            wrong.append(f"it ended with {found.code}: {found.said[-300:]}")
        self.codes[f"{command}: {found.code}"] += 1
        self.passed += not wrong
        self.failed += bool(wrong)
        for each in wrong:
            print(f"✘ digits {command}, {trap}: {each}", flush=True)


def every_trap(tally: Tally) -> None:
    with house() as lent:
        for name in NAMES:
            for kind in KINDS:
                for command in lent.commands():
                    renew(lent)
                    lay(lent, name, kind)
                    tally.run(lent, command, f"{kind} as {name}")
            print(f"{name}: {tally.passed} passed, {tally.failed} failed", flush=True)
        for plot, lay_plot in PLOTS.items():
            for command in lent.commands():
                renew(lent)
                lay_plot(lent)
                tally.run(lent, command, plot)


def renames(tally: Tally, minutes: float, seed: int) -> None:
    chance, end = random.Random(seed), time.monotonic() + 60 * minutes
    with house() as lent:
        count = 0
        while time.monotonic() < end:
            # What is left of a state directory after a while would stop every command at once.
            renew(lent)
            with at_work(lent, seed + count):
                for _ in range(6):
                    tally.run(lent, chance.choice(list(lent.commands())), "while names change")
                    count += 1


@contextmanager
def at_work(house: House, seed: int) -> Iterator[None]:
    """Have the user change names without pause for as long as the block lasts."""
    number = os.fork()
    if not number:
        try:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            chance = random.Random(seed)
            while os.getppid() != 1:
                scramble(house, chance)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=0.0, metavar="M", help="renames alone")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("only root can give root up: run it with sudo", file=sys.stderr)
        return 2
    warm_up()
    tally = Tally()
    if args.minutes:
        renames(tally, args.minutes, args.seed)
    else:
        every_trap(tally)
    for what, count in sorted(tally.codes.items()):
        print(f"{what}  {count}")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""digits retrain: a night of training on what the owner corrected, and a gate at its end."""

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, enter, log_to_stderr, one_thread
from appliance.console import say
from appliance.errors import TrainingRefused

if TYPE_CHECKING:
    from appliance.settings.schema import RetrainSettings
    from model.datasets import Split


class _Ended(Exception):
    """Told to end while the examples are made."""


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "retrain",
        "learn from the captures, and read with what came of it if it is better",
        "digits retrain --hours 2\n"
        "Ended before its time (Ctrl-C, a power cut) it goes on from where it was. The candidate\n"
        "takes over only if it reads more of your held-out captures and no fewer of the rest.",
    )
    parser.add_argument("--state", metavar="DIR", help="where the captures and networks are")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="MNIST's files (default: mnist in the state dir)"
    )
    parser.add_argument(
        "--hours", type=_hours, metavar="H", help="at most so long (default: the settings' hours)"
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="begin with a new network, not with the one in use",
    )
    parser.add_argument(
        "--due",
        action="store_true",
        help="only if it is the hour for it and there is something new to learn (for the timer)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    one_thread()
    _step_aside()
    log_to_stderr()
    from appliance.backup.restore import in_use
    from appliance.settings.overrides import Changes
    from appliance.settings.schema import load, state_folder
    from appliance.training.lock import hold_training_lock

    settings = load(args.config)
    state = state_folder(args.state, settings)
    # What root names may be for root alone to read; what is installed is the service's.
    named = _base(args.data, given=True) if args.data else None
    enter(state)
    settings = Changes(state).applied(settings)
    try:
        with hold_training_lock(state), in_use(state), _told_to_end() as ended:
            return _retrain(args, settings.retrain, state, named, ended)
    except TrainingRefused as refused:
        if not args.due:
            raise
        # For the timer it is no failure that there is nothing to do.
        say(str(refused))
        return 0


@contextmanager
def _told_to_end() -> Iterator[list[int]]:
    """Lend a list that gets the number of each signal to end, for as long as the block lasts."""
    ended: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: ended.append(number))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _retrain(
    args: argparse.Namespace,
    settings: "RetrainSettings",
    state: Path,
    named: "Split | None",
    ended: list[int],
) -> int:
    from appliance.captures.store import Captures
    from appliance.networks.vault import Vault
    from appliance.training.examples import make_examples
    from appliance.training.retrain import Limits, Retraining
    from appliance.training.schedule import find_deadline, reason_to_wait
    from model.datasets import Split
    from model.presets import Preset

    captures = Captures(state / "captures.db")
    vault = Vault(state / "networks")
    try:
        if args.due:
            why_not = reason_to_wait(state, settings, captures)
            if why_not:
                raise TrainingRefused(why_not)

        def simulate(recipe: Preset, data: Split, seed: int) -> Split:
            from appliance.simulator.training_glyphs import simulate_example

            def camera(scan: Any, rng: Any) -> Any:
                if ended:
                    raise _Ended("it was told to end before it had begun: nothing is lost")
                return simulate_example(scan, rng)

            return make_examples(recipe, data, seed, camera=camera, processes=1)

        retraining = Retraining(
            state,
            vault=vault,
            captures=captures,
            base=named or _base(state / "mnist", given=False),
            limits=Limits(
                seconds=3600 * (args.hours or settings.hours),
                until=find_deadline(settings, time.time()) if args.due else None,
                hottest=settings.hottest,
            ),
            make_examples=simulate,
            from_scratch=args.from_scratch,
            stopping=lambda: bool(ended),
        )
        record = retraining.run()
    except _Ended as told:
        say(str(told))
        return 130
    finally:
        captures.close()
    # One that had come to its verdict when it was told is done.
    return 130 if ended and record["outcome"] == "left" else 0


def _base(folder: Path, *, given: bool) -> "Split | None":
    """Return the base set's training digits, or None where none is installed.

    Raises DatasetError for one that is damaged or not whole, and for a folder that was named and
    has none.
    """
    from model.datasets import MNIST_SHA256, list_missing, load_split

    # A download that came to nothing leaves a folder.
    if not given and len(list_missing(folder)) == len(MNIST_SHA256):
        return None
    return load_split(folder, "train")


def _step_aside() -> None:
    """Leave the processor to whatever else wants it: reading goes on while this trains."""
    with suppress(OSError):
        os.nice(19)
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # Should memory run out this ends first, also where the kernel has no memory groups.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def _hours(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text[:20]} is not more than 0 and up to 100")
    return value

"""digits retrain: a night of training on what the owner corrected, and a gate at its end."""

import argparse
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, enter_state, log_to_stderr, use_one_thread
from appliance.commands.stop_signals import StopSignals
from appliance.console import say
from appliance.errors import TrainingRefused

if TYPE_CHECKING:
    from appliance.settings.schema import RetrainSettings
    from model.datasets import Split


class _Stopped(Exception):
    """A signal came while the examples were made."""


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
    use_one_thread()
    lower_priority()
    log_to_stderr()
    from appliance.settings.overrides import Changes
    from appliance.settings.schema import load, state_folder
    from appliance.storage.state_lock import hold_shared_lock
    from appliance.training.lock import hold_training_lock

    settings = load(args.config)
    state = state_folder(args.state, settings)
    # Read as root: a folder that root names may be readable for root alone.
    named = load_base_set(args.data, required=True) if args.data else None
    enter_state(state)
    settings = Changes(state).apply_to(settings)
    try:
        with hold_training_lock(state), hold_shared_lock(state), StopSignals() as signals:
            return _retrain(args, settings.retrain, state, named, signals)
    except TrainingRefused as refused:
        if not args.due:
            raise
        # For the timer it is no failure that there is nothing to do.
        say(str(refused))
        return 0


def _retrain(
    args: argparse.Namespace,
    settings: "RetrainSettings",
    state: Path,
    named: "Split | None",
    signals: StopSignals,
) -> int:
    from appliance.captures.store import Captures
    from appliance.networks.vault import Vault
    from appliance.storage.layout import StateDirectory
    from appliance.training.examples import make_examples
    from appliance.training.retrain import Limits, Retraining
    from appliance.training.schedule import find_deadline, reason_to_wait
    from model.datasets import Split
    from model.presets import Preset

    captures = Captures(StateDirectory(state).captures)
    vault = Vault(StateDirectory(state).networks)
    try:
        if args.due:
            reason = reason_to_wait(state, settings, captures)
            if reason:
                raise TrainingRefused(reason)

        def simulate(recipe: Preset, data: Split, seed: int) -> Split:
            from appliance.simulator.training_glyphs import simulate_example

            def camera(scan: Any, rng: Any) -> Any:
                if signals.came:
                    raise _Stopped("it was told to end before it had begun: nothing is lost")
                return simulate_example(scan, rng)

            return make_examples(recipe, data, seed, camera=camera, processes=1)

        retraining = Retraining(
            state,
            vault=vault,
            captures=captures,
            base=named or load_base_set(StateDirectory(state).mnist, required=False),
            limits=Limits(
                seconds=3600 * (args.hours or settings.hours),
                until=find_deadline(state, settings, time.time()) if args.due else None,
                hottest=settings.hottest,
            ),
            make_examples=simulate,
            from_scratch=args.from_scratch,
            stopping=lambda: signals.came,
            sleep=signals.wait,
        )
        record = retraining.run()
    except _Stopped as stopped:
        say(str(stopped))
        return 130
    finally:
        captures.close()
    # A training that came to its verdict before the signal is done.
    return 130 if signals.came and record["outcome"] == "left" else 0


def load_base_set(folder: Path, *, required: bool) -> "Split | None":
    """Return the base set's training digits, or None where a folder has none and need not.

    Raises DatasetError for a base set that is damaged, incomplete, or required and missing.
    """
    from model.datasets import MNIST_SHA256, list_missing, load_split

    # A failed download leaves an empty folder.
    if not required and len(list_missing(folder)) == len(MNIST_SHA256):
        return None
    return load_split(folder, "train")


def lower_priority() -> None:
    """Give way to every other process: reading goes on during a training."""
    with suppress(OSError):
        os.nice(19)
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # If memory runs out the kernel ends this process first, also without memory groups.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def _hours(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text[:20]} is not more than 0 and up to 100")
    return value

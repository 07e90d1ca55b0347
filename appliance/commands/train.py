"""digits train: a new network from MNIST."""

import argparse
import shlex
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, check_writable, positive_int, use_one_thread
from appliance.commands.stop_signals import StopSignals
from appliance.console import clock, say
from appliance.training.examples import make_examples

if TYPE_CHECKING:
    from model.datasets import Split
    from model.presets import Preset
    from model.train import Epoch, Training


class _PresetHelp(argparse.RawDescriptionHelpFormatter):
    """Lists the presets at the end of the help: only whoever asks for it waits for numpy."""

    def add_text(self, text: str | None) -> None:
        if text and text.endswith("{presets}"):
            from model.presets import PRESETS

            names = textwrap.fill(", ".join(PRESETS), 78, break_on_hyphens=False)
            text = text.replace("{presets}", names)
        super().add_text(text)


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "train",
        "train a network on MNIST and write it to a weights file",
        "digits train --data ~/mnist --out new.npz --seed 1\n"
        "Ctrl-C ends the training early and keeps the best network so far. Without\n"
        "--through-camera a network learns from the scans alone and answers each with a digit.\n"
        "The presets:\n{presets}",
    )
    parser.formatter_class = _PresetHelp
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="MNIST's files, or a folder with mnist_train.csv and mnist_test.csv",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="weights to write")
    parser.add_argument(
        "--preset",
        default="appliance",
        metavar="NAME",
        help="which network (default: appliance)",
    )
    parser.add_argument(
        "--through-camera",
        action="store_true",
        help="learn also from simulated photographs, and to answer 'not a digit' (appliance only)",
    )
    parser.add_argument(
        "--epochs", type=positive_int, metavar="N", help="default: the preset's own"
    )
    parser.add_argument(
        "--patience",
        type=positive_int,
        metavar="N",
        help="end after N epochs that are no better on the held-out digits (default: never)",
    )
    parser.add_argument("--seed", type=_not_negative, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--plan", action="store_true", help="say what the training would cost, and do no more"
    )
    parser.set_defaults(run=run, wrong_usage=parser.error)


def run(args: argparse.Namespace) -> int:
    use_one_thread()
    from appliance.errors import StateError
    from model.cost import describe_cost
    from model.datasets import load_split
    from model.presets import get_preset
    from model.train import train

    recipe = get_preset(args.preset)
    if args.through_camera:
        recipe = recipe.for_camera()
    if args.patience:
        if not recipe.validation:
            args.wrong_usage(f"--patience: {recipe.name} holds no digits out to be patient for")
        recipe = replace(recipe, patience=args.patience)
    epochs = args.epochs or recipe.epochs
    if args.plan:
        digits = len(load_split(args.data, "train")) if args.data else 60_000
        say(f"{recipe.name}: {recipe.summary}\n{describe_cost(recipe, digits, epochs)}")
        return 0
    if args.data is None or args.out is None:
        missing = "--data DIR" if args.data is None else "--out FILE"
        args.wrong_usage(f"{missing} is needed, but for a --plan")
    data = recipe.training_part(load_split(args.data, "train"))
    # A night's work must not be lost for want of a place to write it: find out now.
    check_writable("--out", args.out)
    if any(args.out.exists() and args.out.samefile(f) for f in (args.data, *args.data.glob("*"))):
        raise StateError(f"--out {args.out}: is a file of the data set: name another")
    say(f"{recipe.name}: {recipe.summary}\n{describe_cost(recipe, len(data), epochs)}")
    camera = None
    if args.through_camera:
        with StopSignals() as signals:
            # Else Ctrl-C would wait for all that the other processes have begun.
            signals.interrupt()
            camera = make_examples(recipe, data, args.seed)
    progress = Progress(epochs)
    with StopSignals() as signals:

        def on_batch(epoch: int, share: float) -> None:
            progress.batch(epoch, share)
            if signals.came:
                say("\nending with the best network so far")
                raise KeyboardInterrupt

        training = train(
            recipe,
            data,
            seed=args.seed,
            epochs=epochs,
            camera=camera,
            on_epoch=lambda epoch, network: progress.epoch(epoch),
            on_batch=on_batch,
        )
        if training.best is None:
            why = "diverged" if training.diverged else "was interrupted"
            say(f"digits: the training {why} before anything was learned: nothing is written")
            return 1 if training.diverged else 130
        _measure_and_save(args, recipe, training, epochs, data, camera)
    return 130 if training.interrupted else 0


def _measure_and_save(
    args: argparse.Namespace,
    recipe: "Preset",
    training: "Training",
    epochs: int,
    data: "Split",
    camera: "Split | None",
) -> None:
    """Evaluate the network on the test digits, and write it with its card."""
    import numpy as np

    from appliance.errors import StateError
    from model import weights
    from model.calibration import calibrate
    from model.cost import multiply_adds
    from model.datasets import is_csv_file, load_split
    from model.errors import DatasetError
    from model.evaluate import evaluate
    from model.train import batches, list_held_out

    assert training.best is not None
    network = recipe.for_pixels(training.network)
    card: dict[str, Any] = {
        "preset": recipe.name,
        "command": shlex.join(
            ["digits", "train", "--data", "MNIST", "--out", args.out.name]
            + ["--preset", recipe.name, "--epochs", str(epochs), "--seed", str(args.seed)]
            + (["--patience", str(args.patience)] if args.patience else [])
            + (["--through-camera"] if args.through_camera else [])
        ),
        "seed": args.seed,
        "epochs": len(training.epochs),
        "best_epoch": training.best.number,
        "interrupted": training.interrupted,
        "training_multiply_adds": multiply_adds(recipe, len(data), len(training.epochs)),
        "numpy": np.__version__,
        "data": data.checksums,
        "validation_accuracy": _round(training.best.validation),
    }
    if camera is not None:
        calibration = calibrate(
            network,
            (
                batch
                for held_out in list_held_out(recipe, data, camera, args.seed)
                for batch in batches(*held_out, recipe.batch)
            ),
        )
        network = calibration.network
        card["camera"] = {
            "examples": len(camera),
            "validation_accuracy": _round(training.best.camera),
            "temperature": _round(calibration.temperature),
            "calibration_error": {
                "before": _round(calibration.before),
                "after": _round(calibration.after),
            },
        }
        say(
            f"calibration error {calibration.before:.2%}, "
            f"with temperature {calibration.temperature:.3f} {calibration.after:.2%}"
        )
    try:
        if is_csv_file(args.data):
            raise DatasetError(f"{args.data} is what was trained on")
        test = load_split(args.data, "test")
    except (DatasetError, OSError) as error:
        # The network is worth more than its mark.
        say(f"not measured on the test digits: {error}")
    else:
        tally = evaluate(network, test)
        card["data"] = {**card["data"], **test.checksums}
        card["test"] = {"accuracy": tally.accuracy, "right": tally.right, "total": tally.total}
        say(f"test digits: {tally.accuracy:.2%} ({tally.right} of {tally.total})")
    try:
        card = weights.save(args.out, network, card)
    except OSError as error:
        raise StateError(f"{args.out}: cannot be written ({error.strerror})") from None
    say(f"written: {args.out} (sha256 of its weights {card['sha256'][:16]}…)")


class Progress:
    """A bar on a terminal; one line an epoch there and everywhere else."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._terminal = sys.stdout is not None and sys.stdout.isatty()
        self._started = self._drawn = time.monotonic()

    def batch(self, epoch: int, share: float) -> None:
        now = time.monotonic()
        if not self._terminal or now - self._drawn < 0.2:
            return
        self._drawn = now
        full = round(share * 30)
        left = (now - self._started) * (self._epochs / (epoch - 1 + share) - 1)
        bar = "█" * full + "·" * (30 - full)
        say(f"epoch {epoch}/{self._epochs} {bar} {clock(left)} left ", end="", redraw=True)

    def epoch(self, epoch: "Epoch") -> None:
        held_out = ""
        if epoch.validation is not None:
            best = ", best so far" if epoch.best else ""
            of_both = (
                "" if epoch.camera is None else f" of digits, {epoch.camera:.2%} through the camera"
            )
            held_out = f"validation {epoch.validation:.2%}{of_both}{best}, "
        line = (
            f"epoch {epoch.number}/{epoch.of}: loss {epoch.loss:.4f}, {held_out}"
            f"{clock(time.monotonic() - self._started)}"
        )
        say(line, redraw=self._terminal)


def _round(value: float | None) -> float | None:
    """Round to the four places that a card has."""
    return None if value is None else round(value, 4)


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is not 0 or more")
    return value

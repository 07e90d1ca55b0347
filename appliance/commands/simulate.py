"""digits simulate: writes simulated photographs as PNG files, with their labels."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, positive_int
from appliance.console import say

if TYPE_CHECKING:
    import numpy as np

    from appliance.simulator.paper import Conditions
    from appliance.simulator.scenes import Scene, Writing

    Writer = Callable[[np.random.Generator], tuple[Writing, int]]

LABELS = "labels.jsonl"
MOST_DIGITS = 12


class _ListFactors(argparse.Action):
    """Prints the factors with their descriptions and exits, as --version does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from appliance.simulator.paper import FACTORS

        for name, description in FACTORS.items():
            say(f"{name:12} {description}")
        parser.exit()


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "simulate",
        "write simulated photographs of digits, or of none, with their labels",
        "digits simulate --out sheets --count 20 --digits 2-12 --factor light=0.5\n"
        f"{LABELS} has a line for each picture: its file, digits, boxes (x0, y0, x1, y1), factors\n"
        "and seed. Without --factor a natural mix is drawn for each.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to write to")
    parser.add_argument("--count", type=positive_int, default=10, metavar="N", help="default: 10")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default: 0")
    parser.add_argument(
        "--digits", type=_span, default=(1, 1), metavar="N|N-M",
        help=f"digits on a sheet, 1 to {MOST_DIGITS} (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="write MNIST's test digits (default: the project's own hand)",
    )  # fmt: skip
    parser.add_argument(
        "--hand", nargs="+", metavar="VARIANT", help="only these variants of the project's own hand"
    )
    parser.add_argument(
        "--factor", action="append", type=_factor, metavar="NAME=STRENGTH",
        help="one factor from 0 to 1 and no other (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--nothing", metavar="KIND", help="no digit: letters, hand, uniform, …")
    parser.add_argument(
        "--list", nargs=0, action=_ListFactors, help="print the factors, and what they do"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import numpy as np
    from PIL import Image

    from appliance.simulator.paper import Conditions, random_conditions

    write_digit = _choose_writer(args)
    _check_kind(args.nothing)
    folder = _make_folder(args.out)
    fixed = Conditions(**dict(args.factor)) if args.factor else None
    with open(folder / LABELS, "w", encoding="utf-8") as labels:
        for number in range(args.count):
            seed = [abs(args.seed), number]
            rng = np.random.default_rng(seed)
            conditions = fixed or random_conditions(rng)
            scene = _render_scene(args, conditions, write_digit, rng)
            file = f"{number:06}.png"
            Image.fromarray(scene.grey).save(folder / file)
            line = {
                "file": file,
                "digits": scene.digits,
                "boxes": scene.boxes,
                "factors": {k: round(v, 4) for k, v in vars(conditions).items() if v},
                "seed": seed,
            }
            print(json.dumps(line), file=labels)
    say(f"{args.count} pictures and {LABELS} in {folder}")
    return 0


def _render_scene(
    args: argparse.Namespace,
    conditions: "Conditions",
    write_digit: "Writer",
    rng: "np.random.Generator",
) -> "Scene":
    from appliance.simulator import scenes

    if args.nothing:
        return scenes.render_no_digit(args.nothing, conditions, rng)
    count = int(rng.integers(args.digits[0], args.digits[1] + 1))
    writings, digits = zip(*(write_digit(rng) for _ in range(count)), strict=True)
    if count == 1:
        return scenes.render_digit(digits[0], writings[0], conditions, rng)
    return scenes.render_sheet(digits, writings, conditions, rng)


def _choose_writer(args: argparse.Namespace) -> "Writer":
    """Return the function that picks one digit: a scan of MNIST, or the project's own strokes."""
    from appliance.errors import SettingsError
    from appliance.simulator.handwriting import HANDS

    if args.data:
        if args.hand:
            raise SettingsError("--hand is of the project's own hand: leave out --data")
        return _scan_writer(args.data)
    names = sorted({name for variants in HANDS.values() for name in variants})
    wanted: Sequence[str] = args.hand or names
    for name in wanted:
        if name not in names:
            raise SettingsError(f"--hand {name[:40]}: no such variant: one of {', '.join(names)}")
    variants_of = {
        digit: [strokes for name, strokes in variants.items() if name in wanted]
        for digit, variants in HANDS.items()
    }
    digits = [digit for digit, variants in variants_of.items() if variants]

    def write_digit(rng: "np.random.Generator") -> "tuple[Writing, int]":
        digit = digits[rng.integers(len(digits))]
        variants = variants_of[digit]
        return variants[rng.integers(len(variants))], digit

    return write_digit


def _scan_writer(folder: Path) -> "Writer":
    import numpy as np

    from model.datasets import Scaling, load_split

    data = load_split(folder, "test")
    scaling = Scaling()

    def write_digit(rng: "np.random.Generator") -> "tuple[Writing, int]":
        images, labels = data.take(np.array([rng.integers(len(data))]))
        return scaling(images[0]).reshape(28, 28), int(labels[0])

    return write_digit


def _check_kind(kind: str | None) -> None:
    from appliance.errors import SettingsError
    from appliance.simulator.scenes import NO_DIGIT_KINDS

    if kind is not None and kind not in NO_DIGIT_KINDS:
        raise SettingsError(
            f"--nothing {kind[:40]}: no such kind: one of {', '.join(NO_DIGIT_KINDS)}"
        )


def _make_folder(folder: Path) -> Path:
    """Create the folder if need be and return it; raises StateError if it cannot be written to."""
    from appliance.commands.options import check_writable
    from appliance.errors import StateError
    from appliance.storage.ownership import become_owner

    become_owner(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a folder's name"
        raise StateError(f"--out {folder}: cannot be made ({reason}): name another") from None
    check_writable("--out", folder / LABELS)
    return folder


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        span = int(first), int(last or first)
    except ValueError:
        span = 0, 0
    if not 1 <= span[0] <= span[1] <= MOST_DIGITS:
        raise argparse.ArgumentTypeError(
            f"{text[:20]} is no number or span from 1 to {MOST_DIGITS}, like 4 or 2-12"
        )
    return span


def _factor(text: str) -> tuple[str, float]:
    from appliance.simulator.paper import FACTORS

    name, _, strength = text.partition("=")
    if name not in FACTORS:
        raise argparse.ArgumentTypeError(f"no factor '{name[:40]}': one of {', '.join(FACTORS)}")
    try:
        value = float(strength)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text[:60]}: a strength is a number from 0 to 1")
    return name, value

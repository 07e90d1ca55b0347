"""digits reproduce: the books' and articles' networks trained again, theirs beside ours."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, use_one_thread
from appliance.console import clock, say
from appliance.training.examples import make_examples

if TYPE_CHECKING:
    from model.books.workbench import Drawing, Outcome, Workbench


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "reproduce",
        "train the networks of the books and articles again, and print theirs beside ours",
        "digits reproduce by-hand neuron\nWithout a NAME all rows are done, which takes hours.",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows of the table (default: all)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="MNIST's files")
    parser.add_argument(
        "--drawings", type=Path, metavar="DIR", help="28×28 pictures in folders named 0 to 9"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one epoch of 2,000 digits, to see that it runs"
    )


def run(args: argparse.Namespace) -> int:
    use_one_thread()
    names = row_names(args.names)
    done = list(run_rows(names, make_workbench(args)))
    return 0 if len(done) == len(names) else 1


def row_names(names: list[str]) -> list[str]:
    """Return each name once, all rows' for none; raises PresetError for a row there is not."""
    from model.books.rows import ROWS
    from model.errors import PresetError

    for name in names:
        if name not in ROWS:
            raise PresetError(f"there is no row {name!r}: choose of {', '.join(ROWS)}")
    return list(dict.fromkeys(names or ROWS))


def make_workbench(args: argparse.Namespace) -> "Workbench":
    """Return what the rows are trained on; raises DatasetError and PictureError."""
    from model.books.workbench import Workbench
    from model.datasets import is_csv_file, load_split
    from model.errors import DatasetError

    if args.data and is_csv_file(args.data):
        raise DatasetError(f"{args.data}: reproduce needs training and test digits: name a folder")
    return Workbench(
        training=load_split(args.data, "train") if args.data else None,
        test=load_split(args.data, "test") if args.data else None,
        drawings=_load_drawings(args.drawings) if args.drawings else (),
        examples=make_examples,
        quick=args.quick,
        say=say,
    )


def run_rows(names: list[str], workbench: "Workbench") -> "Iterator[tuple[str, Outcome, float]]":
    """Train and print each row, and yield its name, outcome and seconds.

    A row whose data is missing is named and left out.
    """
    from model.books.rows import ROWS
    from model.errors import DatasetError

    for name in names:
        say(f"{name} …")
        started = time.monotonic()
        try:
            outcome = ROWS[name](workbench)
        except DatasetError as error:
            say(f"{name}: not done: {error}")
            continue
        seconds = time.monotonic() - started
        say(f"{name}: {outcome.recipe} ({clock(seconds)})")
        for line in outcome.lines:
            say(f"  {line.what}: theirs {line.theirs}, ours {line.ours}")
        if outcome.note:
            say(f"  {outcome.note}")
        yield name, outcome, seconds


def _load_drawings(folder: Path) -> "list[Drawing]":
    """Return the 28×28 pictures in a folder's folders 0 to 9, inverted: bright on dark."""
    from appliance.errors import PictureError
    from appliance.picture import open_picture
    from model.books.workbench import Drawing

    drawings = []
    for digit in range(10):
        for file in sorted((folder / str(digit)).glob("*.png")):
            if not file.is_file():
                raise PictureError(f"{file}: not a file: take it out of the folder")
            grey = open_picture(file, file.name).grey
            if grey.shape != (28, 28):
                raise PictureError(f"{file}: it is {grey.shape[1]}×{grey.shape[0]}, not 28×28")
            name = "the noisy " + str(digit) if "noisy" in file.name else str(digit)
            drawings.append(Drawing(name, digit, 255 - grey.ravel()))
    if not drawings:
        raise PictureError(f"{folder}: there are no pictures in folders named 0 to 9 in it")
    return drawings

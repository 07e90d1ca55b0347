"""digits reproduce: the books' and articles' networks trained again, theirs beside ours."""

import argparse
import json
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, claim, one_thread
from appliance.console import clock, say
from appliance.training.examples import make_examples

if TYPE_CHECKING:
    from model.books.workbench import Drawing, Outcome, Plot

HEAD = """\
# Theirs and ours

Every network of the books and articles that this project grew from, trained again by its own
trainer. Written by

    digits reproduce --data MNIST --drawings DRAWINGS

where MNIST is a folder with MNIST's four files and DRAWINGS one with the book author's own 28×28
digits. Accuracies are of MNIST's 10,000 test digits, with the number that is right, after the last
epoch and of seed 1, unless a line says otherwise; where digits are held out of the training set,
of the epoch that did best on those. The seconds are of the machine that wrote the table, one
thread, and include measuring. A figure after the last epoch was not chosen; "best" figures are, as
their sources' are.
"""


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "reproduce",
        "train the networks of the books and articles again, and print theirs beside ours",
        "digits reproduce by-hand neuron\n"
        "Without a NAME all rows are done; the document's last column has the seconds that each\n"
        "took. Rows that were done before stay in the document.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows of the table (default: all)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="MNIST's files")
    parser.add_argument(
        "--drawings", type=Path, metavar="DIR", help="28×28 pictures in folders named 0 to 9"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one epoch of 2,000 digits, to see that it runs; writes nothing",
    )
    parser.add_argument(
        "--docs",
        type=Path,
        default=Path("docs/measured"),
        metavar="DIR",
        help="where reproduction.md is written, with its plots (default: docs/measured)",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FILE",
        help="also write the pictures of the row back-query as they are, side by side, as a PNG",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    one_thread()
    from appliance.errors import StateError
    from model.books.rows import ROWS
    from model.books.workbench import Ground
    from model.datasets import is_csv_file, load_split
    from model.errors import DatasetError, PresetError

    for name in args.names:
        if name not in ROWS:
            raise PresetError(f"there is no row {name!r}: choose of {', '.join(ROWS)}")
    if not args.quick:
        _check(args.docs)
        if args.pictures:
            claim("--pictures", args.pictures)
    if args.data and is_csv_file(args.data):
        raise DatasetError(f"{args.data}: reproduce needs training and test digits: name a folder")
    ground = Ground(
        training=load_split(args.data, "train") if args.data else None,
        test=load_split(args.data, "test") if args.data else None,
        drawings=_drawings(args.drawings) if args.drawings else (),
        examples=make_examples,
        quick=args.quick,
        say=say,
    )
    failed = 0
    for name in dict.fromkeys(args.names or ROWS):
        say(f"{name} …")
        try:
            started = time.monotonic()
            outcome = ROWS[name](ground)
            seconds = time.monotonic() - started
        except DatasetError as error:
            say(f"{name}: not done: {error}")
            failed += 1
            continue
        say(_as_text(name, outcome, seconds))
        if not args.quick:
            try:
                _write(args.docs, name, outcome, seconds)
            except OSError as error:
                raise StateError(f"{args.docs}: cannot be written ({error.strerror})") from None
            if args.pictures and outcome.plot and outcome.plot.pictures:
                _write_pictures(args.pictures, outcome.plot.pictures)
    return 1 if failed else 0


def _check(folder: Path) -> None:
    """Raise StateError now for a folder that a row could not be written to in the end."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    claim("--docs", folder / "reproduction.md")
    _done_before(folder)


def _done_before(folder: Path) -> dict[str, Any]:
    """Return the rows that are in the folder's store already, by their names."""
    from appliance.errors import StateError

    store = folder / "reproduction.json"
    if not store.is_file():
        return {}
    try:
        done = json.loads(store.read_text(encoding="utf-8"))
        _document(done)
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        raise StateError(
            f"{store}: not what 'digits reproduce' wrote: move it away, then run again"
        ) from None
    rows: dict[str, Any] = done
    return rows


def _as_text(name: str, outcome: "Outcome", seconds: float) -> str:
    lines = [f"{name}: {outcome.recipe} ({clock(seconds)})"]
    lines += [f"  {line.what}: theirs {line.theirs}, ours {line.ours}" for line in outcome.lines]
    return "\n".join([*lines, f"  {outcome.note}"] if outcome.note else lines)


def _write(folder: Path, name: str, outcome: "Outcome", seconds: float) -> None:
    """Put one row into the document, beside those that were done before."""
    from model.books.rows import ROWS
    from model.files import replace_file

    done = _done_before(folder)
    picture = _draw(folder / "reproduction", name, outcome.plot) if outcome.plot else None
    done[name] = {
        "recipe": outcome.recipe,
        "lines": [asdict(line) for line in outcome.lines],
        "note": outcome.note,
        "plot": picture,
        "seconds": round(seconds),
    }
    done = {name: done[name] for name in ROWS if name in done}
    with replace_file(folder / "reproduction.json") as file:
        file.write(json.dumps(done, indent=1, ensure_ascii=False).encode() + b"\n")
    with replace_file(folder / "reproduction.md") as file:
        file.write(_document(done).encode())


def _document(done: dict[str, Any]) -> str:
    parts = [HEAD, "| row | what | theirs | ours | s |\n|---|---|---|---|---:|"]
    for name, row in done.items():
        for number, line in enumerate(row["lines"]):
            first, seconds = (f"`{name}`", row["seconds"]) if number == 0 else ("", "")
            parts.append(
                f"| {first} | {line['what']} | {line['theirs']} | {line['ours']} | {seconds} |"
            )
    parts.append("\n## The rows\n")
    for name, row in done.items():
        parts.append(f"- `{name}`: {row['recipe']}." + (f" {row['note']}" if row["note"] else ""))
    plots = [
        f"\n![{name}](reproduction/{row['plot']})" for name, row in done.items() if row["plot"]
    ]
    return "\n".join([*parts, *(["\n## Plots", *plots] if plots else [])]) + "\n"


def _draw(folder: Path, name: str, plot: "Plot") -> str | None:
    """Draw a row's plot where matplotlib is installed; return its file's name."""
    try:
        import matplotlib
    except ImportError:
        say(f"  {name}: no plot: install the extra 'plots' (matplotlib) for one")
        return None
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "digits"
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    if plot.pictures:
        figure, axes = pyplot.subplots(2, 5, figsize=(7, 3.2))
        for digit, (axis, picture) in enumerate(zip(axes.flat, plot.pictures, strict=True)):
            axis.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
            axis.set_title(str(digit), fontsize=9)
            axis.axis("off")
        figure.suptitle(plot.title, fontsize=10)
        file = f"{name}.png"
    else:
        figure, axis = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
        for label, (x, y) in plot.curves.items():
            few = len(x) <= 60
            axis.plot(x, y, label=label, marker="o" if few else None, markersize=3, linewidth=1.2)
        axis.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
        axis.grid(alpha=0.3)
        if any(plot.curves):
            axis.legend()
        file = f"{name}.svg"
    figure.savefig(
        folder / file, dpi=110, metadata={"Date": None} if file.endswith("svg") else None
    )
    pyplot.close(figure)
    return file


def _write_pictures(file: Path, pictures: list[list[list[float]]]) -> None:
    """Write pictures (rows, columns) in 0…1 side by side: bright is what is near 1."""
    import numpy as np
    from PIL import Image

    from appliance.errors import StateError
    from model.files import replace_file

    grey = np.rint(np.hstack(pictures) * 255).astype(np.uint8)
    try:
        with replace_file(file) as target:
            Image.fromarray(grey).save(target, "PNG", optimize=True)
    except OSError as error:
        raise StateError(f"{file}: cannot be written ({error.strerror})") from None


def _drawings(folder: Path) -> "list[Drawing]":
    """Return the 28×28 pictures in a folder's folders 0 to 9, turned to bright on dark."""
    from appliance.errors import PictureError
    from appliance.picture import open_picture
    from model.books.workbench import Drawing

    found = []
    for digit in range(10):
        for file in sorted((folder / str(digit)).glob("*.png")):
            if not file.is_file():
                raise PictureError(f"{file}: not a file: take it out of the folder")
            grey = open_picture(file, file.name).grey
            if grey.shape != (28, 28):
                raise PictureError(f"{file}: it is {grey.shape[1]}×{grey.shape[0]}, not 28×28")
            name = "the noisy " + str(digit) if "noisy" in file.name else str(digit)
            found.append(Drawing(name, digit, 255 - grey.ravel()))
    if not found:
        raise PictureError(f"{folder}: there are no pictures in folders named 0 to 9 in it")
    return found

"""reproduction: the rows of `digits reproduce` as a document, with their plots and figures."""

import argparse
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands import reproduce
from appliance.commands.options import add_command, check_writable
from appliance.console import say

if TYPE_CHECKING:
    from model.books.workbench import Outcome, Plot

HEAD = """\
# Theirs and ours

Every network of the books and articles that this project grew from, trained again by its own
trainer. Written by

    python -m tests.bench reproduction --data MNIST --drawings DRAWINGS

where MNIST is a folder with MNIST's four files and DRAWINGS one with the book author's own 28×28
digits; `digits reproduce NAME` trains one row and prints it. Accuracies are of MNIST's 10,000 test
digits, with the number that is right, after the last epoch and of seed 1, unless a line says
otherwise; where digits are held out of the training set, of the epoch that did best on those. The
seconds are of the machine that wrote the table, one thread, and include measuring. A figure after
the last epoch was not chosen; "best" figures are, as their sources' are.
"""


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "reproduction",
        "train the networks of the books and articles again, and write theirs beside ours",
        "python -m tests.bench reproduction by-hand neuron\n"
        "Rows that were done before stay in the document. --quick writes nothing.",
    )
    reproduce.add_options(parser)
    parser.add_argument(
        "--docs", type=Path, default=Path("docs/measured"), metavar="DIR",
        help="where reproduction.md is written, with its plots (default: docs/measured)",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", type=Path, metavar="FILE",
        help="also write the pictures of the row back-query, side by side, as a PNG",
    )  # fmt: skip
    parser.set_defaults(measure=measure)


def measure(args: argparse.Namespace) -> None:
    names = reproduce.row_names(args.names)
    if not args.quick:
        with suppress(OSError):
            args.docs.mkdir(parents=True, exist_ok=True)
        check_writable("--docs", args.docs / "reproduction.md")
        load_rows(args.docs)
        if args.pictures:
            check_writable("--pictures", args.pictures)
    for name, outcome, seconds in reproduce.run_rows(names, reproduce.make_workbench(args)):
        if args.quick:
            continue
        write_row(args.docs, name, outcome, seconds)
        if args.pictures and outcome.plot and outcome.plot.pictures:
            write_pictures(args.pictures, outcome.plot.pictures)


def load_rows(folder: Path) -> dict[str, Any]:
    """Return the rows that are in the folder's store already, by name; raises StateError."""
    from appliance.errors import StateError

    store = folder / "reproduction.json"
    if not store.is_file():
        return {}
    try:
        rows: dict[str, Any] = json.loads(store.read_text(encoding="utf-8"))
        render_document(rows)
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        raise StateError(
            f"{store}: not what this bench wrote: move it away, then run again"
        ) from None
    return rows


def write_row(folder: Path, name: str, outcome: "Outcome", seconds: float) -> None:
    """Put one row into the document, beside those that were done before."""
    from model.books.rows import ROWS
    from model.files import replace_file

    rows = load_rows(folder)
    rows[name] = {
        "recipe": outcome.recipe,
        "lines": [asdict(line) for line in outcome.lines],
        "note": outcome.note,
        "plot": save_plot(folder / "reproduction", name, outcome.plot) if outcome.plot else None,
        "seconds": round(seconds),
    }
    rows = {name: rows[name] for name in ROWS if name in rows}
    text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    for suffix, content in (("json", text), ("md", render_document(rows))):
        with replace_file(folder / f"reproduction.{suffix}") as file:
            file.write(content.encode())


def render_document(rows: dict[str, Any]) -> str:
    """Return the rows as Markdown: one table, what each row is, and the plots."""
    parts = [HEAD, "| row | what | theirs | ours | s |\n|---|---|---|---|---:|"]
    for name, row in rows.items():
        for number, line in enumerate(row["lines"]):
            first, seconds = (f"`{name}`", row["seconds"]) if number == 0 else ("", "")
            parts.append(
                f"| {first} | {line['what']} | {line['theirs']} | {line['ours']} | {seconds} |"
            )
    parts.append("\n## The rows\n")
    for name, row in rows.items():
        parts.append(f"- `{name}`: {row['recipe']}." + (f" {row['note']}" if row["note"] else ""))
    plots = [
        f"\n![{name}](reproduction/{row['plot']})" for name, row in rows.items() if row["plot"]
    ]
    return "\n".join([*parts, *(["\n## Plots", *plots] if plots else [])]) + "\n"


def save_plot(folder: Path, name: str, plot: "Plot") -> str | None:
    """Draw a row's plot where matplotlib is installed; return its file's name."""
    try:
        import matplotlib
    except ImportError:
        say(f"  {name}: no plot: install the extra 'plots' (matplotlib) for one")
        return None
    matplotlib.use("agg")
    # One result gives one file.
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
            marker = "o" if len(x) <= 60 else None
            axis.plot(x, y, label=label, marker=marker, markersize=3, linewidth=1.2)
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


def write_pictures(file: Path, pictures: list[list[list[float]]]) -> None:
    """Write pictures (rows, columns) in 0…1 side by side as a PNG: bright is what is near 1."""
    import numpy as np
    from PIL import Image

    from model.files import replace_file

    grey = np.rint(np.hstack(pictures) * 255).astype(np.uint8)
    with replace_file(file) as target:
        Image.fromarray(grey).save(target, "PNG", optimize=True)

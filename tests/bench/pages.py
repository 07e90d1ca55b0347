"""What a bench found, as a page with tables, as JSON, and as a plot where matplotlib is there."""

import argparse
import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from appliance.commands.options import check_writable
from appliance.console import say


def make_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, its first column to the left and the others to the right."""
    lines = [
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
    ]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def format_percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def make_folder(args: argparse.Namespace) -> Path | None:
    """Return where the bench is to be written, made if need be; None for nowhere.

    Raises StateError now for a place that could not be written to in the end.
    """
    if args.out is None and args.quick:
        return None
    folder = Path(args.out or "docs/measured")
    with suppress(OSError, ValueError):
        folder.mkdir(parents=True, exist_ok=True)
    check_writable("--out", folder / f"reading-{args.what}.md")
    return folder


def publish(
    folder: Path | None,
    what: str,
    text: str,
    figures: dict[str, Any],
    paint: Callable[[Any], None] | None = None,
) -> None:
    """Print a bench's page, and write it with its figures and its plot if there is a folder.

    `paint` draws on a matplotlib figure.
    """
    from model.files import replace_file

    text = "\n".join(_wrap(line) for line in text.split("\n"))
    print(text)
    if folder is None:
        return
    name = f"reading-{what}"
    if paint is not None and _save_plot(folder / f"{name}.svg", paint):
        text += f"\n\n![{what}]({name}.svg)"
    for file, content in (
        (folder / f"{name}.md", text),
        (folder / f"{name}.json", json.dumps(figures, indent=1, ensure_ascii=False)),
    ):
        with replace_file(file) as target:
            target.write(content.encode() + b"\n")
    say(f"written: {folder / name}.md and .json")


def _wrap(line: str) -> str:
    """Return a paragraph in lines of at most 100 characters; rows of a table stay whole."""
    return line if line.startswith("|") else textwrap.fill(line, 100, break_on_hyphens=False)


def _save_plot(file: Path, paint: Callable[[Any], None]) -> bool:
    """Draw a plot where matplotlib is installed, and tell whether it was."""
    try:
        import matplotlib
    except ImportError:
        say("no plot: install the extra 'plots' (matplotlib) for one")
        return False
    matplotlib.use("agg")
    # One result gives one file.
    matplotlib.rcParams["svg.hashsalt"] = "digits"
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    paint(figure)
    figure.savefig(file, metadata={"Date": None})
    return True

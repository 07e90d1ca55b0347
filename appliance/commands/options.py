"""What several commands share: common options, the reader, the log, the state directory's owner."""

import argparse
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.console import PrintableFormatter

if TYPE_CHECKING:
    from appliance.reader.reader import Reader


def add_command(parsers: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Return a new sub-command's parser, whose help ends with an example."""
    parser: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_reader(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network",
        type=Path,
        metavar="FILE",
        help="weights file (default: the settings', else the one that ships)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")


def use_one_thread() -> None:
    """Keep numpy's BLAS, not yet loaded, to one thread, so that one seed gives one result.

    How many threads share a sum decides how it is rounded. A Pi Zero has one core anyway.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def check_writable(option: str, file: Path) -> None:
    """Raise StateError now for a file that could not be written when the work is done.

    Root becomes the owner of the file's folder, for good.
    """
    from appliance.storage.ownership import become_owner, create_output

    become_owner(file.parent)
    create_output(option, file).drop()


def enter_state(state: Path, *, there: bool = True) -> None:
    """Become the owner of a state directory where this is root, before anything in it is opened.

    The owner of an installed appliance's is its service. Raises StateError where this user cannot
    write there, and for a missing directory unless `there` is false: it is made later.
    """
    from appliance.errors import StateError
    from appliance.storage.ownership import become_owner

    if there and not state.is_dir():
        raise StateError(
            f"{state}: there is no such state directory: name the appliance's with --state DIR"
        )
    become_owner(state)
    if not state.is_dir():
        return
    found = state.stat()
    if os.geteuid() not in (0, found.st_uid) and not os.access(state, os.W_OK):
        owner = f"number {found.st_uid}"
        with suppress(KeyError):
            owner = state.owner()
        raise StateError(
            f"{state}: the state directory belongs to the user {owner}: run the command with sudo, "
            "or choose another with --state DIR"
        )


def load_reader(args: argparse.Namespace) -> "Reader":
    """Return the reader of the given file, else of the settings' file, else of the shipped one.

    Never the vault's current network: a measurement names what it measures.
    """
    from appliance.reader.reader import Reader
    from appliance.settings.schema import load
    from model import weights

    settings = load(args.config).reader
    file = args.network or (Path(settings.network) if settings.network else weights.SHIPPED)
    return Reader(weights.load(file.resolve())[0], least_confidence=settings.least_confidence)


def log_to_stderr() -> None:
    """Write the log to stderr, with times unless the journal adds them."""
    form = "%(message)s" if "JOURNAL_STREAM" in os.environ else "%(asctime)s %(message)s"
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def positive_int(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text[:20]} is not from 1 to 1,000,000")
    return value

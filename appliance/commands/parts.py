"""What several commands share: their common options and the reader they use."""

import argparse
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from appliance.reader import Reader
    from model.datasets import Bytes, Split


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


def one_thread() -> None:
    """Keep numpy's BLAS, not yet loaded, to one thread, so that one seed gives one result.

    How many threads share a sum decides how it is rounded. A Pi Zero has one core anyway.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def check_writable(option: str, file: Path) -> None:
    """Raise StateError now for a file that could not be written when the work is done."""
    from appliance.errors import StateError
    from model.files import probe

    try:
        probe(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file's name"
        raise StateError(f"{option} {file}: cannot be written ({reason}): name another") from None


def load_reader(args: argparse.Namespace) -> "Reader":
    """Return the reader that `digits run` would use with the same settings."""
    from appliance.reader import Reader
    from appliance.settings import load
    from model import weights

    settings = load(args.config).reader
    file = args.network or (Path(settings.network) if settings.network else weights.SHIPPED)
    return Reader(weights.load(file)[0], least_confidence=settings.least_confidence)


def photographs(data: "Split", count: int, seed: int) -> "Bytes | None":
    """Return the first digits of a data set as a camera sees them, uint8 (count, 784).

    They are in a file that vanishes with the process. A digit that the vision does not find stays
    as it was scanned.
    """
    if not count:
        return None
    import numpy as np

    from appliance.vision.photograph import photograph
    from model.datasets import Scaling, vanishing

    count = min(count, len(data))
    started = time.monotonic()
    rng = np.random.default_rng(seed)
    scaling = Scaling()
    with vanishing() as file:
        for row in range(count):
            image = data.take(np.array([row]))[0][0]
            seen = photograph(scaling(image).reshape(28, 28), rng)
            if seen is not None:
                image = np.rint(seen * np.float32(255)).astype(np.uint8)
            file.write(image.tobytes())
        file.flush()
        say(f"{count} digits photographed in simulation, {clock(time.monotonic() - started)}")
        seen_as: Bytes = np.memmap(file, np.uint8, "r", 0, (count, 784))
        return seen_as


def say(text: str, end: str = "\n") -> None:
    """Print a line of progress; a terminal or a pipe that went away does not end a training."""
    with suppress(OSError, ValueError):
        print(text, end=end, flush=True)


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text[:20]} is not from 1 to 1,000,000")
    return value

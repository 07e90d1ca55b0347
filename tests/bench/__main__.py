"""python -m tests.bench: how good, how fast and how large the reader and its networks are."""

import argparse
import sys
from collections.abc import Sequence

from appliance.__main__ import run_command
from appliance.commands.options import use_one_thread
from tests.bench import (
    calibration,
    frames,
    hands,
    nothing,
    owner,
    reproduction,
    robustness,
    sheets,
    speed,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one bench and return its exit code; without a name, the one of the networks' speed."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return run_command("tests.bench", make_parser, words)


def make_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure the reader on simulated paper, or networks beside other libraries.",
        epilog="example: python -m tests.bench robustness --data mnist",
    )
    speed.add_options(parser)
    parser.set_defaults(run=run, measure=speed.measure)
    kinds = parser.add_subparsers(dest="what", metavar="WHAT")
    readers = robustness, nothing, sheets, hands, calibration, frames, owner
    for bench in (speed, *readers, reproduction):
        bench.add(kinds)
    return parser


def run(args: argparse.Namespace) -> int:
    use_one_thread()
    args.measure(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())

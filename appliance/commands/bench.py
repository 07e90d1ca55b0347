"""digits bench: how good, how fast and how large the reader and its networks are, measured."""

import argparse
from typing import Any

from appliance.commands.benches import (
    calibration,
    frames,
    hands,
    networks,
    nothing,
    owner,
    robustness,
    sheets,
)
from appliance.commands.parts import add_command, one_thread


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "bench",
        "measure the reader on simulated paper, or the networks beside other libraries",
        "digits bench robustness --data mnist\n"
        "Without WHAT the networks are measured: digits bench --markdown docs/benchmark.md",
    )
    networks.add_options(parser)
    parser.set_defaults(run=run, measure=networks.measure)
    kinds = parser.add_subparsers(dest="what", metavar="WHAT")
    for kind in (networks, robustness, nothing, sheets, hands, calibration, frames, owner):
        kind.add(kinds)


def run(args: argparse.Namespace) -> int:
    one_thread()
    args.measure(args)
    return 0

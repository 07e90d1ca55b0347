"""What several commands share: their common options and the network they use."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.network import Network


def add_command(
    parsers: Any, name: str, summary: str, example: str, **more: Any
) -> argparse.ArgumentParser:
    """Return a new sub-command's parser, whose help ends with an example."""
    parser: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )
    return parser


def add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network", type=Path, metavar="FILE", help="weights file (default: the one that ships)"
    )


def load_network(file: Path | None) -> "tuple[Network, dict[str, Any]]":
    """Return the network of a weights file, or the shipped one, and its card."""
    from model import weights

    return weights.load(file or weights.SHIPPED)

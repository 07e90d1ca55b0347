"""The `digits` command: sub-commands, errors of one line, exit codes."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from appliance import __version__
from appliance.errors import ApplianceError
from model.errors import ModelError

# The commands' modules import numpy, Flask and the rest only when they run.
COMMANDS = "run", "read", "train", "evaluate", "data", "doctor"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed in a sentence, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="digits",
        description="Read handwritten digits with a camera; train and measure the network.",
        epilog="example: digits run --camera folder:data/samples",
    )
    parser.add_argument("--version", action="version", version=f"digits {__version__}")
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"appliance.commands.{name}").add(parsers)
    args = parser.parse_args(arguments)
    try:
        return int(args.run(args))
    except (ApplianceError, ModelError) as error:
        print(f"digits: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("digits: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        sys.stderr.close()
        return 1


if __name__ == "__main__":
    sys.exit(main())

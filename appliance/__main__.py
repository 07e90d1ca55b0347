"""The `digits` command: sub-commands, errors of one line, exit codes."""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    # Nothing is open yet. KeyboardInterrupt could be lost: raised in what the import system calls
    # back, it is printed and the import goes on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress

from appliance import __version__
from appliance.console import PrintableStream, printable
from appliance.errors import ApplianceError
from model.errors import ModelError

# The commands' modules import numpy, Flask and the rest only when they run.
COMMANDS = (
    "run", "read", "train", "retrain", "networks", "captures", "backup", "restore", "evaluate",
    "simulate", "reproduce", "data", "pin", "doctor",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed in a sentence, 2 wrong usage."""
    return run_command(
        "digits", make_parser, sys.argv[1:] if arguments is None else list(arguments)
    )


def run_command(
    name: str, make_parser: Callable[[list[str]], argparse.ArgumentParser], words: list[str]
) -> int:
    """Parse the words, call their parser's `run`, and return the exit code of `main`.

    `name` begins each error's line.
    """
    for stream in (sys.stdout, sys.stderr):
        # A file's name or a ✔ that the terminal cannot show is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with ExitStack() as printing:
        # Without a terminal a stream can be None.
        if sys.stdout is not None:
            printing.enter_context(redirect_stdout(PrintableStream(sys.stdout)))
        if sys.stderr is not None:
            printing.enter_context(redirect_stderr(PrintableStream(sys.stderr)))
        return _run(name, make_parser, words)


def _run(
    name: str, make_parser: Callable[[list[str]], argparse.ArgumentParser], words: list[str]
) -> int:
    try:
        args = make_parser(words).parse_args(words)
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
            # What a command has begun it may have to undo.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = int(args.run(args))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except (ApplianceError, ModelError) as error:
        print(f"{name}: {printable(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        # Python flushes stdout once more at its end: what cannot be written is to go nowhere.
        with suppress(OSError, AttributeError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            where = f"{error.filename}: " if error.filename else ""
            sentence = f"{where}{error.strerror}: check the path and its owner"
            print(f"{name}: {printable(sentence)}", file=sys.stderr)
        return 1


def make_parser(words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="digits",
        description="Read handwritten digits with a camera; train and measure the network.",
        epilog="example: digits run --camera folder:data/samples",
    )
    parser.add_argument("--version", action="version", version=f"digits {__version__}")
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # The others' parsers take a Pi Zero a second of each start.
    for name in words[:1] if words[:1] and words[0] in COMMANDS else COMMANDS:
        importlib.import_module(f"appliance.commands.{name}").add(parsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""What a command says: lines of progress, and no text from elsewhere that moves the cursor."""

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO


def printable(text: object) -> str:
    r"""Return a text as one line, what is no letter, sign or space as its escape, such as `\x1b`.

    Control characters, marks that turn the direction of writing and other line ends are none.
    """
    return _escaped(str(text), keep="")


class PrintableStream:
    """A text stream that lets nothing but text, tabs and the ends of lines through."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(_escaped(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class PrintableFormatter(logging.Formatter):
    """Keeps a record's message to one line, and the lines of its traceback apart from others."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {printable(line)}" for line in lines)


def say(text: str, end: str = "\n", *, redraw: bool = False) -> None:
    """Print a line of progress; a terminal or a pipe that went away does not end a training.

    With `redraw` it takes the place of the one that stands on the terminal.
    """
    with suppress(OSError, ValueError):
        if redraw:
            getattr(sys.stdout, "stream", sys.stdout).write("\r\x1b[K")
        print(text, end=end, flush=True)


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _escaped(text: str, keep: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode()
        for each in text
    )

"""digits read: reads picture files and prints a line for each."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from appliance.commands.options import add_command, add_reader, load_reader
from appliance.console import printable


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "read",
        "read the digit in each picture",
        "digits read --json photo.jpg\nexit status: 0 when every file could be opened, else 2",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="pictures, or folders of them"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_reader(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from appliance.errors import PictureError
    from appliance.picture import open_picture, pictures_in

    reader = load_reader(args)
    unread = 0
    for file in _list_files(args.files, pictures_in):
        try:
            frame = open_picture(file, str(file))
        except (PictureError, OSError) as error:
            message = str(error)
            if not isinstance(error, PictureError):
                message = f"{file}: cannot be opened ({error.strerror})"
            print(f"digits: {printable(message)}", file=sys.stderr)
            unread += 1
            continue
        reading = reader.read(frame)
        if args.json:
            print(json.dumps({"file": str(file), **reading.to_json()}))
        elif reading.digit is None:
            print(f"{printable(file)}: no digit: {reading.reason}")
        else:
            print(f"{printable(file)}: {reading.digit} ({reading.confidence:.0%})")
    return 2 if unread else 0


def _list_files(paths: list[Path], pictures_in: Callable[[Path], list[Path]]) -> Iterator[Path]:
    """Yield the files, and in the place of a folder its pictures; an empty one as it is."""
    for path in paths:
        yield from (path.is_dir() and pictures_in(path)) or [path]

"""digits read: reads picture files and prints a line for each."""

import argparse
import json
import sys
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
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JPEG or PNG pictures")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_reader(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from appliance.errors import PictureError
    from appliance.picture import open_picture

    reader = load_reader(args)
    unread = 0
    for file in args.files:
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

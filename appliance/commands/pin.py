"""digits pin: the owner's PIN, which every change on the page needs."""

import argparse
from pathlib import Path
from typing import Any

from appliance.commands.options import add_command, enter_state


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "pin",
        "make the PIN that changes on the page need; --new makes another and ends the old one",
        "digits pin --new\non an installed appliance: sudo digits pin --new",
    )
    parser.add_argument("--new", action="store_true", help="make another, if there is one already")
    parser.add_argument("--state", metavar="DIR", help="the state directory")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from appliance.device.owner_pin import OwnerPin, owner_file
    from appliance.errors import StateError
    from appliance.settings.schema import load, state_folder

    state = state_folder(args.state, load(args.config))
    enter_state(state)
    owner = OwnerPin(owner_file(state))
    if owner.problem and not args.new:
        raise StateError(owner.problem)
    if not args.new and owner.exists:
        print("A PIN exists, and nobody can read it back: 'digits pin --new' makes another.")
        return 0
    print(f"The owner's PIN is {owner.make_pin()}. It is shown this once: write it down.")
    return 0

"""digits restore: a backup put in the place of what the appliance knows, all of it or nothing."""

import argparse
import shlex
from typing import Any

from appliance.commands.backup import add_place, tell, when
from appliance.commands.parts import add_command, check_owner
from appliance.printable import printable


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "restore",
        "put a backup in the place of what is there; the appliance must not run",
        "digits restore digits.zip\n"
        "on an installed appliance, before it: sudo systemctl stop digits digits-retrain.timer\n"
        "Captures are replaced: 'digits captures import' adds those of an export to them instead.",
    )
    add_place(parser)
    parser.add_argument(
        "--no-settings",
        action="store_true",
        help="leave the settings, those of the file and those changed on the page, as they are",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from appliance import settings as known
    from appliance.backup_files import SETTINGS
    from appliance.changes import CHANGED
    from appliance.restore import KEPT, restore, writable

    state = known.state_folder(args.state, known.load(args.config))
    check_owner(state, there=False)
    place = args.config or known.CONFIG
    leave = (SETTINGS, CHANGED) if args.no_settings else ()
    may = not args.no_settings and writable(place)
    done = restore(args.file, state, place if may else None, leave=leave)
    made = done.manifest
    print(f"{state} is as it was at {when(made.made)}, by version {printable(made.version)}:")
    tell(made)
    if done.kept:
        print(f"What was there before is in {state / KEPT}, until the next restore.")
    if done.settings:
        print(f"The settings file is restored: {done.settings}")
    elif args.no_settings:
        print("The settings stay as they were.")
    elif SETTINGS in made.files:
        print(f"{place} cannot be written, and stays as it is; it is in the backup:")
        print(f"  unzip -p {shlex.quote(str(args.file))} {SETTINGS}")
    print("The PIN stays as it was.")
    return 0

"""digits restore: a backup put in the place of what the appliance knows, all of it or nothing."""

import argparse
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.backup import add_place, tell, when
from appliance.commands.options import add_command, enter_state

if TYPE_CHECKING:
    from appliance.storage.recovery import SettingsFile
from appliance.console import printable


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
    from appliance.backup.contents import SETTINGS
    from appliance.backup.restore import restore
    from appliance.settings import schema as known
    from appliance.storage.layout import StateDirectory
    from appliance.storage.ownership import open_input

    state = known.state_folder(args.state, known.load(args.config))
    place = args.config or known.CONFIG
    with ExitStack() as held:
        source = held.enter_context(open_input(args.file))
        settings = None if args.no_settings else settings_file(place, state, held)
        enter_state(state, there=False)
        done = restore(source, args.file, state, settings, keep_settings=args.no_settings)
    made = done.manifest
    print(f"{state} is as it was at {when(made.made)}, by version {printable(made.version)}:")
    tell(made)
    for sentence in done.left_out:
        print(f"left out: {sentence}")
    if done.kept:
        before = StateDirectory(state).before_restore
        print(f"What was there before is in {before}, until the next restore.")
    if done.settings:
        print(f"The settings file is restored: {done.settings}")
    elif args.no_settings:
        print("The settings stay as they were.")
    elif SETTINGS in made.files:
        print(f"{place} cannot be written, and stays as it is; it is in the backup:")
        print(f"  unzip -p {shlex.quote(str(args.file))} {SETTINGS}")
    print("The PIN stays as it was.")
    return 0


def settings_file(place: Path, state: Path, held: ExitStack) -> "SettingsFile | None":
    """Return the settings file that a backup's takes the place of, None where nobody here may."""
    from appliance.errors import StateError
    from appliance.storage.ownership import open_input, open_output
    from appliance.storage.recovery import SettingsFile, copy_mode

    try:
        out = held.enter_context(open_output("--config", place, state))
        copy_mode(out.file.fileno(), place, state)
        old = None
        if place.exists():
            with open_input(place) as file:
                old = file.read()
        return SettingsFile(out, old)
    except (StateError, OSError):
        return None

"""digits backup: what the appliance knows as one file, written while it runs."""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, enter_state
from appliance.console import printable

if TYPE_CHECKING:
    from appliance.backup.archive import Manifest

_CALLED = {
    "digits.toml": "settings",
    "settings.json": "settings changed on the page",
    "captures.db": "captures",
    "history.db": "history",
    "nights.jsonl": "what the nights came to",
}


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "backup",
        "write settings, captures, history and networks to one file; the appliance may run",
        "digits backup digits.zip\non an installed appliance: sudo digits backup digits.zip",
    )
    add_place(parser)
    parser.set_defaults(run=run)


def add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup, a zip")
    parser.add_argument("--state", metavar="DIR", help="where the appliance writes")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")


def run(args: argparse.Namespace) -> int:
    from appliance.backup.archive import backup
    from appliance.settings import schema as known
    from appliance.storage.ownership import open_input, open_output
    from appliance.storage.state_lock import hold_shared_lock

    settings = known.load(args.config)
    state = known.state_folder(args.state, settings)
    file = args.config or known.CONFIG
    with ExitStack() as held:
        source = held.enter_context(open_input(file)) if file.is_file() else None
        out = held.enter_context(open_output("backup", args.file, state))
        enter_state(state)
        held.enter_context(hold_shared_lock(state, or_read_on=True))
        made = backup(out, state, source)
    print(f"{args.file}: {made.bytes / 1e6:.1f} MB")
    tell(made)
    for sentence in made.left_out:
        print(f"left out: {printable(sentence)}")
    if settings.reader.network:
        print(f"The network that the settings name is not in it: {settings.reader.network}")
    if settings.mqtt.password:
        print("The settings in it have the password of the MQTT broker: keep it to yourself.")
    print(
        "Not in it: MNIST, a training that is not at its end, and the owner's PIN, which could be"
    )
    print("guessed from what is kept of it. On another card 'sudo digits pin --new' makes one.")
    return 0


def tell(of: "Manifest") -> None:
    """Print what is in a backup and how large it is."""
    for name, each in of.files.items():
        if name in _CALLED:
            print(f"  {_CALLED[name]}: {each.bytes:,} bytes")
    networks = [each.bytes for name, each in of.files.items() if name.endswith(".npz")]
    if networks:
        print(f"  networks: {len(networks)}, {sum(networks):,} bytes")
    reads = (of.reads or "shipped").removesuffix(".npz")
    print(f"  reads: {'the network that ships' if reads == 'shipped' else reads}")


def when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))

"""digits captures: list and judge the labelled glyphs, export them to a zip, import them."""

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, enter_state, positive_int
from appliance.console import printable

if TYPE_CHECKING:
    from appliance.captures.store import Captures
    from appliance.settings.schema import Settings
    from model.network import Network


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "captures",
        "what the owner labelled on the page: list it, judge it, export and import it",
        "digits captures export captures.zip",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = add_command(verbs, "list", "the newest captures", "digits captures list --label 7")
    show.add_argument(
        "--label", type=int, choices=range(11), metavar="N", help="0 to 9, or 10 for no digit"
    )
    show.add_argument(
        "--limit", type=positive_int, default=20, metavar="N", help="how many (default: 20)"
    )
    show.set_defaults(run=run_list)
    judge = add_command(
        verbs,
        "report",
        "how many a digit, which look mislabelled or alike, and whether they are enough",
        "digits captures report",
    )
    judge.set_defaults(run=run_report)
    export = add_command(
        verbs, "export", "write all of them to a zip", "digits captures export captures.zip"
    )
    export.set_defaults(run=run_export)
    import_ = add_command(
        verbs,
        "import",
        "add those of a zip, all or none; known ones are left out",
        "digits captures import captures.zip",
    )
    import_.set_defaults(run=run_import)
    for verb in (export, import_):
        verb.add_argument("file", type=Path, metavar="FILE", help="PNG pictures and JSON lines")
    for verb in (show, judge, export, import_):
        verb.add_argument("--state", metavar="DIR", help="where the appliance writes")
        verb.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")


def run_list(args: argparse.Namespace) -> int:
    from appliance.captures.store import name_label
    from appliance.storage.rows import local_time

    with _open_captures(*_find_state(args)) as captures:
        for each in captures.list_newest(args.label, limit=args.limit):
            when = f"{local_time(each.at):%Y-%m-%d %H:%M:%S}"
            reading = (
                printable(each.reason)
                if each.said is None
                else f"{each.said} with {each.confidence:.0%}"
            )
            kind = "corrected" if each.corrected else "confirmed"
            print(
                f"{each.id:6}  {when}  {name_label(each.label):11}  {kind}, was read as: {reading}"
            )
        print(f"{sum(captures.count_labels().values())} captures; the limit is {captures.limit}")
    return 0


def run_report(args: argparse.Namespace) -> int:
    from appliance.captures.audit import audit
    from appliance.captures.store import name_label

    state, settings = _find_state(args)
    with _open_captures(state, settings) as captures:
        found = audit(captures, _load_network(state, settings).probabilities)
    print("label      " + "".join(f"{digit:5}" for digit in range(10)) + "  not a digit")
    counts = list(found.counts.values())
    print("captures   " + "".join(f"{count:5}" for count in counts[:10]) + f"{counts[10]:13}")
    print("", *found.sentences, sep="\n")
    for each in found.mislabelled:
        looks = f"looks like {name_label(each.looks_like)} ({each.confidence:.0%})"
        print(f"  {each.id}: labelled {name_label(each.label)}, {looks}")
    for group in found.alike:
        print(f"  alike: {', '.join(map(str, group))}")
    return 0


def run_export(args: argparse.Namespace) -> int:
    from appliance.captures.archive import export_zip
    from appliance.storage.ownership import open_output

    state, settings = _find_state(args)
    with (
        open_output("export", args.file, state) as out,
        _open_captures(state, settings) as captures,
    ):
        count = export_zip(captures, out.file)
        out.put()
    print(f"{count} captures are in {args.file}")
    return 0


def run_import(args: argparse.Namespace) -> int:
    from appliance.captures.archive import import_zip
    from appliance.storage.ownership import open_input

    with open_input(args.file) as file, _open_captures(*_find_state(args)) as captures:
        done = import_zip(captures, file, str(args.file))
    print(f"{done.added} captures were added, {done.known} were there already")
    return 0


def _find_state(args: argparse.Namespace) -> "tuple[Path, Settings]":
    from appliance.settings.schema import load, state_folder

    settings = load(args.config)
    return state_folder(args.state, settings), settings


@contextmanager
def _open_captures(state: Path, settings: "Settings") -> "Iterator[Captures]":
    from appliance.captures.store import Captures
    from appliance.storage.layout import StateDirectory

    enter_state(state)
    file = StateDirectory(state).captures
    with closing(Captures(file, limit=settings.captures.limit)) as captures:
        yield captures


def _load_network(state: Path, settings: "Settings") -> "Network":
    """Return the network that the appliance reads with."""
    from appliance.networks.vault import Vault
    from appliance.storage.layout import StateDirectory
    from model import weights

    if settings.reader.network:
        return weights.load(Path(settings.reader.network).resolve())[0]
    return Vault(StateDirectory(state).networks).load_current().network

"""digits networks: the networks on this appliance; which one reads, and which did before."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command, enter_state
from appliance.console import printable

if TYPE_CHECKING:
    from appliance.networks.vault import Vault


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "networks",
        "list, show, compare and promote the networks on this appliance, or roll back",
        "digits networks promote 0123456789ab",
    )
    _add_common_options(parser)
    parser.set_defaults(run=run_list, json=False, state=None, config=None)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="without a VERB: list")
    for name, summary, run, ids in (
        ("list", "every network, the newest first", run_list, ()),
        ("show", "one network's card", run_show, ("id",)),
        ("compare", "two networks' cards side by side", run_compare, ("a", "b")),
        ("promote", "read with this network from now on", run_promote, ("id",)),
        ("roll-back", "read with the network before the current one again", run_roll_back, ()),
    ):
        words = {"id": "0123456789ab", "a": "0123456789ab", "b": "ba9876543210"}
        example = " ".join(["digits networks", name, *(words[each] for each in ids)])
        verb = add_command(verbs, name, summary, example)
        for each in ids:
            verb.add_argument(each, metavar=each.upper(), help="as 'digits networks' lists it")
        _add_common_options(verb)
        verb.set_defaults(run=run)


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    # They may stand before the verb or after it: an option that is absent there changes nothing.
    missing: Any = argparse.SUPPRESS
    parser.add_argument("--state", metavar="DIR", default=missing, help="the state directory")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=missing, help="settings file (TOML)"
    )
    parser.add_argument("--json", action="store_true", default=missing, help="for programs")


def run_list(args: argparse.Namespace) -> int:
    vault, configured = _open_vault(args)
    entries = vault.list_networks()
    if args.json:
        print(json.dumps({"networks": [each.to_json() for each in entries], "file": configured}))
        return 0
    print(f"{'id':12}  {'state':9}  {'made':16}  {'MNIST':16}  {'own digits':10}  parent")
    for each in entries:
        print(
            f"{each.id:12}  {each.state:9}  {_format_time(each.made):16}  "
            f"{_format_mnist(each.card):16}  {_format_share(each.card.get('own')):10}  "
            f"{printable(each.card.get('parent') or '–')}"
        )
    _warn_of_problem(vault)
    _warn_of_configured_file(configured)
    return 0


def run_show(args: argparse.Namespace) -> int:
    entry = _open_vault(args)[0].find(args.id)
    if args.json:
        print(json.dumps(entry.to_json()))
        return 0
    print(f"{entry.id}, {entry.state}, made {_format_time(entry.made)}, {entry.bytes} bytes")
    for key, value in entry.card.items():
        print(f"{printable(key)}: {_format_value(value)}")
    return 0


def run_compare(args: argparse.Namespace) -> int:
    facts = _open_vault(args)[0].compare(args.a, args.b)
    if args.json:
        print(json.dumps(facts))
        return 0
    for key, (one, two) in facts.items():
        print(f"{printable(key)}:\n  {_format_value(one)}\n  {_format_value(two)}")
    return 0


def run_promote(args: argparse.Namespace) -> int:
    vault, configured = _open_vault(args, change=True)
    vault.promote(args.id)
    return _report_current(args, args.id, configured)


def run_roll_back(args: argparse.Namespace) -> int:
    vault, configured = _open_vault(args, change=True)
    return _report_current(args, vault.roll_back(), configured)


def _report_current(args: argparse.Namespace, id: str, configured: str) -> int:
    if args.json:
        print(json.dumps({"current": id, "file": configured}))
        return 0
    print(f"network {id} is the current one: a running appliance reads with it within seconds")
    _warn_of_configured_file(configured)
    return 0


def _open_vault(args: argparse.Namespace, *, change: bool = False) -> "tuple[Vault, str]":
    """Return the vault, and the weights file that the settings name instead of it, or ''."""
    from appliance.networks.vault import Vault
    from appliance.settings.schema import load, state_folder
    from appliance.storage.ownership import become_owner

    settings = load(args.config)
    state = state_folder(args.state, settings)
    if change:
        enter_state(state, there=False)
    else:
        become_owner(state)
    return Vault(state / "networks"), settings.reader.network


def _warn_of_problem(vault: "Vault") -> None:
    problem = vault.load_current().problem
    if problem:
        print(f"digits: {printable(problem)}", file=sys.stderr)


def _warn_of_configured_file(file: str) -> None:
    if file:
        print(
            f"digits: the settings name {file}, which reads instead: take 'network' under [reader] "
            "out of them, then 'sudo systemctl restart digits', to read with the current one",
            file=sys.stderr,
        )


def _format_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _format_mnist(card: dict[str, Any]) -> str:
    """Return the score on MNIST's test digits, else on its held-out ones."""
    held_out = card.get("validation_accuracy")
    if card.get("test") or not isinstance(held_out, float):
        return _format_share(card.get("test"))
    return f"{100 * held_out:.2f} % held out"


def _format_share(score: Any) -> str:
    """Return a score as a percentage, or a dash where it was not measured."""
    try:
        return f"{100 * score['right'] / score['total']:.2f} %"
    except (TypeError, KeyError, ZeroDivisionError):
        return "–"


def _format_value(value: Any) -> str:
    return (
        "–" if value is None else printable(value) if isinstance(value, str) else json.dumps(value)
    )

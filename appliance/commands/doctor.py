"""digits doctor: what a person would check by hand."""

import argparse
import json
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.commands.options import add_command
from appliance.commands.stop_signals import StopSignals
from appliance.console import printable

if TYPE_CHECKING:
    from appliance.doctor.checks import Finding
    from appliance.settings.schema import LoadedSettings, Settings


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "doctor",
        "check the machine, the libraries, the network, the camera, the pins and the state",
        "digits doctor --report support_report.txt\n"
        "✔ is well, ✘ is not and says what to do, – cannot be told on this machine\n"
        "exit status: 0 when nothing is wrong, else 1",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")
    parser.add_argument("--state", metavar="DIR", help="the state directory to check")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--leds", action="store_true", help="light the LEDs in turn, if the appliance does not run"
    )
    parser.add_argument(
        "--qr", action="store_true", help="the page's address as a QR code, not on a terminal alone"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write it all with settings and log, without secrets, as text or FILE.json",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from appliance.commands.run import open_camera
    from appliance.doctor import board, checks, support_report
    from appliance.settings import schema as known
    from appliance.storage.ownership import become_owner, open_output

    loaded, wrong = _settings_of_file(args.config)
    state = known.state_folder(args.state, loaded.settings)
    with ExitStack() as held:
        out, log = None, []
        if args.report:
            out = held.enter_context(open_output("--report", args.report, state))
            # The journal is root's to read, and what is in the state directory its owner's.
            log = board.log()
        become_owner(state)
        settings, changes = _with_changes(loaded.settings, state)
        if args.leds:
            sentence = (
                "watch the LEDs: where there are some and no appliance runs, 0 to 9 are shown"
            )
            print(sentence, file=sys.stderr)
        with StopSignals() as signals:
            # Not before: to open the report's file this process forks, which threads forbid.
            signals.interrupt()
            found = checks.examine(settings, state, open_camera=open_camera, walk=args.leds)
        findings = [*wrong, *found]
        if args.json:
            print(json.dumps({"findings": [finding.to_json() for finding in findings]}))
        else:
            for finding in findings:
                print(printable(f"{finding.mark} {finding.what}: {finding.sentence}"))
        if not args.json and (args.qr or sys.stdout.isatty()):
            _show_code(checks.find_page_address(settings.web))
        if out:
            told = known.list_settings(settings, loaded, changes)
            support_report.write(out, support_report.report(findings, settings, told, state, log))
            print(f"the report is in {args.report}", file=sys.stderr)
    return 1 if any(finding.good is False for finding in findings) else 0


def _settings_of_file(file: Path | None) -> "tuple[LoadedSettings, list[Finding]]":
    """Return a settings file; where it is refused the defaults, and a finding that says so."""
    from appliance.doctor.checks import Finding
    from appliance.errors import SettingsError
    from appliance.settings import schema as known

    try:
        return known.read(file), []
    except SettingsError as error:
        sentence = f"{error}; the rest is looked at with the defaults"
        nothing = known.LoadedSettings(Path(os.devnull), known.Settings())
        return nothing, [Finding("settings", False, sentence)]


def _with_changes(
    settings: "Settings", state: Path
) -> "tuple[Settings, dict[str, dict[str, Any]]]":
    """Return settings with what was changed on the page, and that."""
    from appliance.errors import SettingsError
    from appliance.settings.overrides import Changes

    changes = Changes(state)
    with suppress(SettingsError):
        return changes.apply_to(settings), changes.tables
    return settings, {}


def _show_code(address: str | None) -> None:
    """Print an address as a QR code in half blocks, where that can be."""
    with suppress(ImportError, LookupError, UnicodeError):
        import segno

        "▀".encode(sys.stdout.encoding or "ascii")
        if address:
            segno.make_qr(address).terminal(border=2, compact=True)

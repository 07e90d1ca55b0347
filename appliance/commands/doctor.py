"""digits doctor: what a person would check by hand."""

import argparse
import json
from pathlib import Path
from typing import Any

from appliance.commands.parts import add_command


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "doctor",
        "check the libraries, the network, the camera, the pins and the state directory",
        "digits doctor --json\nexit status: 0 when nothing is wrong, else 1",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")
    parser.add_argument("--state", metavar="DIR", help="the state directory to check")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from appliance import doctor, settings
    from appliance.changes import Changes
    from appliance.commands.run import open_camera

    loaded = settings.load(args.config)
    state = settings.state_folder(args.state, loaded)
    findings = doctor.examine(Changes(state).applied(loaded), state, open_camera=open_camera)
    if args.json:
        print(json.dumps({"findings": [finding.as_json() for finding in findings]}))
    else:
        for finding in findings:
            print(f"{'✔' if finding.good else '✘'} {finding.what}: {finding.sentence}")
    return 0 if all(finding.good for finding in findings) else 1

"""The doctor's report as one file, to be sent to somebody who is to help; it holds no secrets."""

import ipaddress
import json
import re
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from appliance.console import printable
from appliance.device import machine
from appliance.device.owner_pin import DIGITS
from appliance.doctor import board
from appliance.doctor.checks import Finding
from appliance.errors import StateError
from appliance.settings.schema import EffectiveSetting, Settings
from appliance.storage.ownership import Placed
from appliance.training.records import load_nights

_PRIVATE = {("mqtt", "host"), ("mqtt", "user")}
_NIGHTS = 7
_TOLD = "at", "outcome", "why", "captures", "seconds", "finished"
"""What is told of a night; its curves are not."""
_PIN = re.compile(rf"(PIN\D{{0,40}})\b\d{{{DIGITS}}}\b")
_ADDRESSES = (
    re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d)"),
    re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]*"),
)
"""What may be an address of four numbers, or a longer one with colons, as a time has them too."""
_NOTE = (
    "No PIN, password, key or picture is in here. Of names there is this machine's own; addresses "
    "and the MQTT broker are ***."
)


def report(
    findings: Sequence[Finding],
    settings: Settings,
    in_force: Sequence[EffectiveSetting],
    state: Path,
    log: Sequence[str],
) -> dict[str, Any]:
    """Return the findings with what explains them: versions, settings, nights, the log's end."""
    told = {
        "note": _NOTE,
        "made": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "name": socket.gethostname(),
        "findings": [each.to_json() for each in findings],
        "versions": {"system": board.system(), **machine.versions()},
        "settings": [
            {
                "setting": f"[{each.table}] {each.key}",
                "value": _hidden(each),
                "origin": each.origin,
            }
            for each in in_force
        ],
        "nights": [{key: each.get(key) for key in _TOLD} for each in load_nights(state, _NIGHTS)],
        "log": list(log),
    }
    cleaned: dict[str, Any] = _cleaned(told, settings.mqtt.host)
    return cleaned


def write(out: Placed, told: dict[str, Any]) -> None:
    """Write a report, as JSON where the file's name ends in .json, else as text.

    The file is the old one or the whole new one. Raises StateError.
    """
    text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
    try:
        out.file.write((text if out.path.suffix == ".json" else as_text(told)).encode())
        out.put()
    except OSError as error:
        raise StateError(
            f"{out.path}: the report cannot be written ({error.strerror}): name another file"
        ) from None


def as_text(told: dict[str, Any]) -> str:
    """Return a report for people: a heading and its lines for each part."""
    lines = [f"digits doctor, {told['name']}, {told['made']}", told["note"]]
    lines += ["", "Findings", ""]
    lines += [
        f"{found.mark} {found.what}: {found.sentence}"
        for found in (Finding(**each) for each in told["findings"])
    ]
    lines += ["", "Versions", ""]
    lines += [f"{name} {version or 'missing'}" for name, version in told["versions"].items()]
    lines += ["", "Settings in force", ""]
    lines += [
        f"{each['setting']} = {each['value']}  ({each['origin']})" for each in told["settings"]
    ]
    lines += ["", "Nights, the newest first", ""]
    lines += [json.dumps(each, ensure_ascii=False) for each in told["nights"]] or ["none"]
    lines += ["", "The log's end", ""]
    lines += told["log"] or ["there is no journal"]
    return "".join(f"{printable(line)}\n" for line in lines)


def _hidden(each: EffectiveSetting) -> str:
    """Return a setting's value; the broker's name and user are no stranger's business."""
    hide = (each.table, each.key) in _PRIVATE and json.loads(each.value)
    return '"***"' if hide else each.value


def _cleaned(told: Any, broker: str) -> Any:
    """Return what is told with every PIN, address and the broker's name put out of sight."""
    if isinstance(told, dict):
        return {key: _cleaned(each, broker) for key, each in told.items()}
    if isinstance(told, list):
        return [_cleaned(each, broker) for each in told]
    if not isinstance(told, str):
        return told
    told = _PIN.sub(r"\1***", told)
    if broker:
        told = re.sub(rf"(?<![\w.-]){re.escape(broker)}(?![\w-])", "***", told)
    for address in _ADDRESSES:
        told = address.sub(_hidden_address, told)
    return told


def _hidden_address(found: re.Match[str]) -> str:
    """Return an address as ***, unless it is this machine's to itself; all else as it is."""
    with suppress(ValueError):
        address = ipaddress.ip_address(found[0])
        if not (address.is_loopback or address.is_unspecified):
            return "***"
    return found[0]

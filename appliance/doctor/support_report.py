"""The doctor's report as one file without secrets, to send to somebody who helps."""

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
from appliance.storage.ownership import OutputFile
from appliance.training.records import load_nights

_PRIVATE = {("mqtt", "host"), ("mqtt", "user")}
_NIGHTS = 7
_NIGHT_KEYS = "at", "outcome", "why", "captures", "seconds", "finished"
"""What the report has of a night: all but its curves."""
_PIN = re.compile(rf"(PIN\D{{0,40}})\b\d{{{DIGITS}}}\b")
_ADDRESSES = (
    re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d)"),
    re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]*"),
)
"""Candidates for IPv4 and IPv6 addresses; a time has colons too, so each is parsed."""
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
    facts = {
        "note": _NOTE,
        "made": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "name": socket.gethostname(),
        "findings": [each.to_json() for each in findings],
        "versions": {"system": board.system(), **machine.versions()},
        "settings": [
            {
                "setting": f"[{each.table}] {each.key}",
                "value": _value_to_show(each),
                "origin": each.origin,
            }
            for each in in_force
        ],
        "nights": [
            {key: each.get(key) for key in _NIGHT_KEYS} for each in load_nights(state, _NIGHTS)
        ],
        "log": list(log),
    }
    redacted: dict[str, Any] = _redact(facts, settings.mqtt.host)
    return redacted


def write(out: OutputFile, facts: dict[str, Any]) -> None:
    """Write a report, as JSON where the file's name ends in .json, else as text.

    The file is the old one or the whole new one. Raises StateError.
    """
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    try:
        out.file.write((text if out.path.suffix == ".json" else as_text(facts)).encode())
        out.put()
    except OSError as error:
        raise StateError(
            f"{out.path}: the report cannot be written ({error.strerror}): name another file"
        ) from None


def as_text(facts: dict[str, Any]) -> str:
    """Return a report for people: a heading and its lines for each part."""
    lines = [f"digits doctor, {facts['name']}, {facts['made']}", facts["note"]]
    lines += ["", "Findings", ""]
    lines += [
        f"{finding.mark} {finding.what}: {finding.sentence}"
        for finding in (Finding(**each) for each in facts["findings"])
    ]
    lines += ["", "Versions", ""]
    lines += [f"{name} {version or 'missing'}" for name, version in facts["versions"].items()]
    lines += ["", "Settings in force", ""]
    lines += [
        f"{each['setting']} = {each['value']}  ({each['origin']})" for each in facts["settings"]
    ]
    lines += ["", "Nights, the newest first", ""]
    lines += [json.dumps(each, ensure_ascii=False) for each in facts["nights"]] or ["none"]
    lines += ["", "The log's end", ""]
    lines += facts["log"] or ["there is no journal"]
    return "".join(f"{printable(line)}\n" for line in lines)


def _value_to_show(each: EffectiveSetting) -> str:
    """Return a setting's value; the broker's name and user are hidden."""
    hide = (each.table, each.key) in _PRIVATE and json.loads(each.value)
    return '"***"' if hide else each.value


def _redact(value: Any, broker: str) -> Any:
    """Return a JSON value with *** for every PIN, every address and the broker's name."""
    if isinstance(value, dict):
        return {key: _redact(each, broker) for key, each in value.items()}
    if isinstance(value, list):
        return [_redact(each, broker) for each in value]
    if not isinstance(value, str):
        return value
    text = _PIN.sub(r"\1***", value)
    if broker:
        text = re.sub(rf"(?<![\w.-]){re.escape(broker)}(?![\w-])", "***", text)
    for address in _ADDRESSES:
        text = address.sub(_redact_address, text)
    return text


def _redact_address(match: re.Match[str]) -> str:
    """Return *** for an address, but loopback and all that is no address unchanged."""
    with suppress(ValueError):
        address = ipaddress.ip_address(match[0])
        if not (address.is_loopback or address.is_unspecified):
            return "***"
    return match[0]

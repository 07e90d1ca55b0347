"""The device: how the machine does, what it runs, and which settings are in force."""

import os
import platform
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, render_template

from appliance import __version__, machine
from appliance.networks import Networks
from appliance.outputs.latest import Latest
from appliance.settings import InForce
from appliance.web.kept import Kept

_SECONDS = 5
"""So long what was looked at is told again."""


def blueprint(
    *,
    latest: Latest,
    networks: Networks,
    state: Path,
    in_force: Sequence[InForce],
    clock: Callable[[], float] = time.time,
) -> Blueprint:
    """Return the routes; `state` is the state directory, `in_force` all settings."""
    routes = Blueprint("device", __name__)
    # Asking for the power starts a program: thirty pages that are reloaded start no more of them.
    kept = Kept[dict[str, Any]]()
    libraries = {name: version for name, version in machine.versions().items() if version}

    def told() -> dict[str, Any]:
        return kept.of(int(clock() // _SECONDS), looked_at)

    def looked_at() -> dict[str, Any]:
        _, newest = latest.newest()
        memory, disk = machine.memory(), _disk(state)
        return {
            "name": socket.gethostname(),
            "addresses": machine.addresses(),
            "version": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "libraries": libraries,
            "network": str(networks.card()["id"]),
            "fault": newest.fault if newest else "the camera is starting",
            "reading_milliseconds": newest.milliseconds if newest and not newest.fault else None,
            "celsius": machine.temperature(),
            "power": machine.throttled(),
            "memory_resident_bytes": memory.resident,
            "memory_available_bytes": memory.available,
            "disk_free_bytes": disk,
            "uptime_seconds": machine.uptime(),
            "time": clock(),
            "clock_is_set": machine.clock_is_set(),
            "settings": [each.as_json() for each in in_force],
        }

    @routes.get("/api/v1/device")
    def device() -> Response:
        return jsonify(told())

    @routes.get("/device")
    def page() -> str:
        return render_template("device.html", facts=_facts(told()), settings=_by_table(in_force))

    return routes


def _facts(told: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is known in words, name and value; what is not told is left out."""
    celsius, took = told["celsius"], told["reading_milliseconds"]
    facts = [
        ("Camera", told["fault"] or "gives frames"),
        ("Reading takes", took and f"{took:.0f} ms"),
        ("Network", told["network"]),
        ("Host's name", told["name"]),
        ("Addresses", ", ".join(told["addresses"])),
        ("Temperature", celsius and f"{celsius:.0f} °C"),
        ("Power", told["power"] or "no complaint"),
        ("Memory of this program", _megabytes(told["memory_resident_bytes"])),
        ("Memory free to use", _megabytes(told["memory_available_bytes"])),
        ("Disk free", _megabytes(told["disk_free_bytes"])),
        ("On for", _duration(told["uptime_seconds"])),
        ("Clock", f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(told['time']))}"
                  f"{'' if told['clock_is_set'] else ', not set by the network yet'}"),
        ("Version", f"{told['version']}, Python {told['python']} on {told['machine']}"),
        ("Libraries", ", ".join(f"{name} {of}" for name, of in told["libraries"].items())),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value]


def _by_table(in_force: Sequence[InForce]) -> dict[str, list[InForce]]:
    tables: dict[str, list[InForce]] = {}
    for each in in_force:
        tables.setdefault(each.table, []).append(each)
    return tables


def _disk(folder: Path) -> int | None:
    try:
        free = os.statvfs(folder)
    except OSError:
        return None
    return free.f_bavail * free.f_frsize


def _megabytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 1e6:,.0f} MB"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    days, hours = minutes // 1440, minutes % 1440 // 60
    told = [(days, "d"), (hours, "h"), (minutes % 60, "min")]
    return " ".join(f"{count} {unit}" for count, unit in told if count) or "a moment"

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
from appliance.outputs.latest import STARTING, Latest
from appliance.settings import InForce
from appliance.web.kept import Kept
from appliance.web.language import Texts, spoken, texts

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
            "fault": newest.fault if newest else STARTING,
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
        facts = _facts({**told(), "network": networks.card()}, texts(spoken()))
        return render_template("device.html", facts=facts, settings=_by_table(in_force))

    return routes


def _facts(told: dict[str, Any], t: Texts) -> list[tuple[str, str]]:
    """Return what is known in words, its key and its value; what is not told is left out."""
    celsius, took = told["celsius"], told["reading_milliseconds"]
    clock = time.strftime("%Y-%m-%d %H:%M", time.localtime(told["time"]))
    facts = [
        ("camera", t.said(told["fault"]) or t("device.gives_frames")),
        ("takes", took and f"{took:.0f} ms"),
        ("network", _network(told["network"], t)),
        ("name", told["name"]),
        ("addresses", ", ".join(told["addresses"])),
        ("temperature", celsius and f"{celsius:.0f} °C"),
        ("power", t.said(told["power"]) or t("device.no_complaint")),
        ("memory", _megabytes(told["memory_resident_bytes"])),
        ("memory_free", _megabytes(told["memory_available_bytes"])),
        ("disk", _megabytes(told["disk_free_bytes"])),
        ("on_for", _duration(told["uptime_seconds"], t)),
        ("clock", clock if told["clock_is_set"] else t("device.clock_unset", time=clock)),
        ("version", t("device.version_of", **told)),
        ("libraries", ", ".join(f"{name} {of}" for name, of in told["libraries"].items())),
    ]
    return [(key, value) for key, value in facts if value]


def _network(card: dict[str, Any], t: Texts) -> str:
    """Return which network reads, and how well it reads MNIST where its card tells."""
    if card["problem"]:
        return t.said(card["problem"])
    words = t("device.network_of", **{"preset": "–", "parameters": "–", **card})
    test = card.get("test")
    if not test:
        return words
    share = f"{100 * test['accuracy']:.2f}"
    return t("device.network_test", network=words, share=share, total=test["total"])


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


def _duration(seconds: float, t: Texts) -> str:
    minutes = int(seconds // 60)
    days, hours = minutes // 1440, minutes % 1440 // 60
    told = [(days, "days"), (hours, "hours"), (minutes % 60, "minutes")]
    words = [t(f"device.{unit}", count=count) for count, unit in told if count]
    return " ".join(words) or t("device.moment")

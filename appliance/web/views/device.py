"""The device: how the machine does, what it runs, and which settings are in force."""

import ipaddress
import os
import platform
import socket
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, render_template, request

from appliance import __version__
from appliance.device import machine
from appliance.device.control import Control
from appliance.device.pin import Owner
from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import STARTING, Latest
from appliance.settings.schema import InForce
from appliance.web.access.session import current_session
from appliance.web.cache import Cache
from appliance.web.language import Texts, request_texts

_SECONDS = 5
"""So long what was looked at is told again."""
_LINES = 30


def blueprint(
    *,
    latest: Latest,
    networks: LiveNetwork,
    control: Control,
    owner: Owner,
    state: Path,
    in_force: Sequence[InForce],
    clock: Callable[[], float] = time.time,
) -> Blueprint:
    """Return the routes; `state` is the state directory, `in_force` all settings.

    `control` knows the log's last lines, and which settings were changed and wait for a start; the
    page shows both to the owner alone.
    """
    routes = Blueprint("device", __name__)
    # Asking for the power starts a program: thirty pages that are reloaded start no more of them.
    kept, codes = Cache[dict[str, Any]](), Cache[str | None]()
    libraries = Cache[dict[str, str]]()
    hosts = [each for each in in_force if (each.table, each.key) == ("web", "host")]
    listens = next((each.value.strip('"') for each in hosts), "")

    def told() -> dict[str, Any]:
        return kept.get(int(clock() // _SECONDS), looked_at)

    def looked_at() -> dict[str, Any]:
        _, newest = latest.newest()
        exposure = newest.frame.exposure if newest and newest.frame else None
        memory, disk = machine.memory(), _disk(state)
        return {
            "name": socket.gethostname(),
            "addresses": machine.addresses(),
            "version": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "libraries": libraries.get(0, _libraries),
            "network": str(networks.card()["id"]),
            "fault": newest.fault if newest else STARTING,
            "reading_milliseconds": newest.milliseconds if newest and not newest.fault else None,
            "exposure": exposure and exposure._asdict(),
            "celsius": machine.temperature(),
            "power": machine.throttled(),
            "power_before": machine.was_throttled(),
            "memory_resident_bytes": memory.resident,
            "memory_available_bytes": memory.available,
            "disk_free_bytes": disk,
            "uptime_seconds": machine.uptime(),
            "time": clock(),
            "clock_is_set": machine.clock_is_set(),
        }

    @routes.get("/api/v1/device")
    def device() -> Response:
        return jsonify(told())

    @routes.get("/api/v1/settings")
    def settings() -> Response:
        waits = control.changes.next != control.changes.tables
        return jsonify(settings=[each.as_json() for each in in_force], waiting=waits)

    @routes.get("/device")
    def page() -> str:
        now = told()
        facts = _facts({**now, "network": networks.card()}, request_texts())
        address = None if _is_loopback(listens) else _address(now["addresses"])
        return render_template(
            "device.html",
            owner=current_session(owner) is not None,
            facts=facts,
            settings=_by_table(in_force),
            changes=control.changes,
            lines=[
                (f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}", level, text)
                for at, level, text in control.lines.last()[-_LINES:]
            ],
            address=address,
            code=address and codes.get(address, lambda: _code(address)),
        )

    return routes


def _address(addresses: Sequence[str]) -> str | None:
    """Return the page's address on the LAN, at the port that it was asked at."""
    port = urlsplit(f"//{request.host}").port or 80
    return f"http://{addresses[0]}{f':{port}' * (port != 80)}/" if addresses else None


def _libraries() -> dict[str, str]:
    return {name: version for name, version in machine.versions().items() if version}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _code(address: str) -> str | None:
    """Return an address as a QR code, an SVG; None where the library is missing."""
    try:
        import segno
    except ImportError:
        return None
    code = segno.make_qr(address)
    svg: str = code.svg_inline(border=2, omitsize=True, light="#fff", svgclass="qr", lineclass=None)
    return svg


def _facts(told: dict[str, Any], t: Texts) -> list[tuple[str, str]]:
    """Return what is known in words, its key and its value; what is not told is left out."""
    celsius, took = told["celsius"], told["reading_milliseconds"]
    clock = time.strftime("%Y-%m-%d %H:%M", time.localtime(told["time"]))
    facts = [
        ("camera", t.translate(told["fault"]) or t("device.gives_frames")),
        ("exposure", _exposure(told["exposure"], t)),
        ("takes", took and f"{took:.0f} ms"),
        ("network", _network(told["network"], t)),
        ("name", told["name"]),
        ("addresses", ", ".join(told["addresses"])),
        ("temperature", celsius and f"{celsius:.0f} °C"),
        ("power", t.translate(told["power"]) or t("device.no_complaint")),
        ("power_before", t.translate(told["power_before"])),
        ("memory", _megabytes(told["memory_resident_bytes"])),
        ("memory_free", _megabytes(told["memory_available_bytes"])),
        ("disk", _megabytes(told["disk_free_bytes"])),
        ("on_for", _duration(told["uptime_seconds"], t)),
        ("clock", clock if told["clock_is_set"] else t("device.clock_unset", time=clock)),
        ("version", t("device.version_of", **told)),
        ("libraries", ", ".join(f"{name} {of}" for name, of in told["libraries"].items())),
    ]
    return [(key, value) for key, value in facts if value]


def _exposure(exposure: dict[str, Any] | None, t: Texts) -> str | None:
    if exposure is None:
        return None
    milliseconds, gain = f"{1000 * exposure['seconds']:.0f}", f"{exposure['gain']:.1f}"
    return t("device.exposed", camera=exposure["camera"], milliseconds=milliseconds, gain=gain)


def _network(card: dict[str, Any], t: Texts) -> str:
    """Return which network reads, and how well it reads MNIST where its card tells."""
    if card["problem"]:
        return t.translate(card["problem"])
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

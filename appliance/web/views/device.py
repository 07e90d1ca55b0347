"""The device: the machine and its state, the versions, and which settings are in force."""

import ipaddress
import os
import platform
import socket
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, render_template, request

from appliance import __version__
from appliance.device import machine
from appliance.device.control import Control
from appliance.device.owner_pin import OwnerPin
from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import STARTING, Latest
from appliance.reading import WHOLE_VIEW
from appliance.settings.schema import EffectiveSetting
from appliance.web.access.session import current_session
from appliance.web.cache import Cache
from appliance.web.language import Texts, request_texts
from appliance.web.operation import operation

# Only annotations need them: a start does without.
if TYPE_CHECKING:
    from appliance.web import schemas

_MAX_AGE = 5
"""Seconds for which the machine is not looked at again."""
_LINES = 30


def blueprint(
    *,
    latest: Latest,
    networks: LiveNetwork,
    control: Control,
    owner: OwnerPin,
    state: Path,
    in_force: Sequence[EffectiveSetting],
    clock: Callable[[], float] = time.time,
) -> Blueprint:
    """Return the routes; `state` is the state directory, `in_force` all settings.

    `control` knows the log's last lines, and which settings were changed and wait for a start; the
    page shows both to the owner alone.
    """
    routes = Blueprint("device", __name__)
    # Asking for the power starts a program: thirty pages that are reloaded do not start thirty.
    states, codes = Cache[dict[str, Any]](), Cache[str | None]()
    libraries = Cache[dict[str, str]]()
    hosts = [each for each in in_force if (each.table, each.key) == ("web", "host")]
    listens = next((each.value.strip('"') for each in hosts), "")

    def state_now() -> dict[str, Any]:
        return states.get(int(clock() // _MAX_AGE), examine)

    def examine() -> dict[str, Any]:
        _, newest = latest.newest()
        exposure = newest.frame.exposure if newest and newest.frame else None
        memory, disk = machine.memory(), _free_bytes(state)
        found, given_up = machine.examine_clock(state, clock()), machine.find_given_up()
        return {
            "name": socket.gethostname(),
            "addresses": machine.addresses(),
            "version": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "libraries": libraries.get(0, _library_versions),
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
            "clock_is_set": found.is_set,
            "clock_behind_seconds": found.behind,
            "update_given_up": given_up and given_up.release,
        }

    @routes.get("/api/v1/device")
    @operation("The machine and its state")
    def device() -> "schemas.Device | Response":
        return jsonify(state_now())

    @routes.get("/api/v1/settings")
    @operation("The settings in force, and whether a change waits for the next start")
    def settings() -> "schemas.Settings | Response":
        waits = control.changes.next != control.changes.tables
        return jsonify(settings=[each.to_json() for each in in_force], waiting=waits)

    @routes.get("/device")
    def page() -> str:
        now = state_now()
        facts = _facts({**now, "network": networks.card()}, request_texts())
        address = None if _is_loopback(listens) else _lan_address(now["addresses"])
        return render_template(
            "device.html",
            owner=current_session(owner) is not None,
            facts=facts,
            settings=_group_by_table(in_force),
            changes=control.changes,
            lines=[
                (f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}", level, text)
                for at, level, text in control.lines.last()[-_LINES:]
            ],
            address=address,
            code=address and codes.get(address, lambda: _render_qr_code(address)),
        )

    return routes


def _lan_address(addresses: Sequence[str]) -> str | None:
    """Return the page's address on the LAN, at the port that it was asked at."""
    port = urlsplit(f"//{request.host}").port or 80
    return f"http://{addresses[0]}{f':{port}' * (port != 80)}/" if addresses else None


def _library_versions() -> dict[str, str]:
    return {name: version for name, version in machine.versions().items() if version}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _render_qr_code(address: str) -> str | None:
    """Return an address as a QR code, an SVG; None where the library is missing."""
    try:
        import segno
    except ImportError:
        return None
    code = segno.make_qr(address)
    svg: str = code.svg_inline(border=2, omitsize=True, light="#fff", svgclass="qr", lineclass=None)
    return svg


def _facts(state: dict[str, Any], t: Texts) -> list[tuple[str, str]]:
    """Return (key, value) of each fact in the texts' language; what is not known is left out."""
    celsius, milliseconds = state["celsius"], state["reading_milliseconds"]
    given_up = state["update_given_up"]
    facts = [
        ("camera", t.translate(state["fault"]) or t("device.gives_frames")),
        ("exposure", _describe_exposure(state["exposure"], t)),
        ("seen", _describe_view(state["exposure"], t)),
        ("takes", milliseconds and f"{milliseconds:.0f} ms"),
        ("network", _describe_network(state["network"], t)),
        ("name", state["name"]),
        ("addresses", ", ".join(state["addresses"])),
        ("temperature", celsius and f"{celsius:.0f} °C"),
        ("power", t.translate(state["power"]) or t("device.no_complaint")),
        ("power_before", t.translate(state["power_before"])),
        ("memory", _format_megabytes(state["memory_resident_bytes"])),
        ("memory_free", _format_megabytes(state["memory_available_bytes"])),
        ("disk", _format_megabytes(state["disk_free_bytes"])),
        ("on_for", _format_duration(state["uptime_seconds"], t)),
        ("clock", _describe_clock(state, t)),
        ("version", t("device.version_of", **state)),
        ("update", given_up and t("device.update_given_up", release=given_up, **state)),
        ("libraries", ", ".join(f"{name} {of}" for name, of in state["libraries"].items())),
    ]
    return [(key, value) for key, value in facts if value]


def _describe_clock(state: dict[str, Any], t: Texts) -> str:
    shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(state["time"]))
    if state["clock_behind_seconds"]:
        behind = _format_duration(state["clock_behind_seconds"], t)
        return t("device.clock_behind", time=shown, behind=behind)
    return shown if state["clock_is_set"] else t("device.clock_unset", time=shown)


def _describe_exposure(exposure: dict[str, Any] | None, t: Texts) -> str | None:
    if exposure is None:
        return None
    milliseconds, gain = f"{1000 * exposure['seconds']:.0f}", f"{exposure['gain']:.1f}"
    return t("device.exposed", camera=exposure["camera"], milliseconds=milliseconds, gain=gain)


def _describe_view(exposure: dict[str, Any] | None, t: Texts) -> str | None:
    """Return how much of the sensor is in a frame, and in which mode it is read out."""
    if exposure is None or exposure["seen_width"] is None:
        return None
    mode, width, height = (exposure[name] for name in ("mode", "seen_width", "seen_height"))
    if min(width, height) >= WHOLE_VIEW:
        return t("device.seen_whole", mode=mode or "–")
    width, height = (f"{100 * share:.0f}" for share in (width, height))
    return t("device.seen_part", mode=mode or "–", width=width, height=height)


def _describe_network(card: dict[str, Any], t: Texts) -> str:
    """Return which network reads, and how well it reads MNIST if its card says so."""
    if card["problem"]:
        return t.translate(card["problem"])
    words = t("device.network_of", **{"preset": "–", "parameters": "–", **card})
    test = card.get("test")
    if not test:
        return words
    share = f"{100 * test['accuracy']:.2f}"
    return t("device.network_test", network=words, share=share, total=test["total"])


def _group_by_table(in_force: Sequence[EffectiveSetting]) -> dict[str, list[EffectiveSetting]]:
    tables: dict[str, list[EffectiveSetting]] = {}
    for each in in_force:
        tables.setdefault(each.table, []).append(each)
    return tables


def _free_bytes(folder: Path) -> int | None:
    try:
        free = os.statvfs(folder)
    except OSError:
        return None
    return free.f_bavail * free.f_frsize


def _format_megabytes(size: int | None) -> str | None:
    return None if size is None else f"{size / 1e6:,.0f} MB"


def _format_duration(seconds: float, t: Texts) -> str:
    minutes = int(seconds // 60)
    days, hours = minutes // 1440, minutes % 1440 // 60
    parts = [(days, "days"), (hours, "hours"), (minutes % 60, "minutes")]
    words = [t(f"device.{unit}", count=count) for count, unit in parts if count]
    return " ".join(words) or t("device.moment")

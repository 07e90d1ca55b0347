"""Every check a person would do by hand, in plain words."""

import dataclasses
import importlib.metadata
import ipaddress
import json
import os
import platform
import socket
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import __version__
from appliance.camera import Camera
from appliance.device import machine
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.doctor import board
from appliance.doctor.board import NotApplicable
from appliance.errors import CameraError, PinError, SettingsError
from appliance.networks.vault import Vault
from appliance.outputs.latest import STARTING
from appliance.settings import file as settings_file
from appliance.settings.schema import CameraSettings, LedSettings, Settings, WebSettings, load
from appliance.storage.layout import StateDirectory
from appliance.storage.rows import local_time
from appliance.training.records import load_nights
from model import weights
from model.datasets import list_missing
from model.errors import WeightsError
from model.files import read_regular

if TYPE_CHECKING:
    from appliance.reading import Exposure, Frame, Reading

_OPTIONAL = "picamera2", "lgpio", "paho-mqtt"
_FIRST_FRAMES = 8
"""A camera adjusts its exposure in the first frames: the last of these is judged."""
_HELP = {
    "too dark": "more light is needed, or the lens is covered",
    "too bright": "less light is needed",
    "blurred": "hold still, or go further away from a lens without focus",
}
_OUTCOMES = {
    "promoted": "its network reads now",
    "kept": "its network was not promoted",
    "left": "it is not at its end",
    "diverged": "it came to nothing",
}
_AFTER_WALK = (
    "; each digit from 0 to 9 was shown, and the status LED with them: for one that stayed dark "
    "check its pin, its resistor, and which way round it is"
)
_FIRST_PERSON = 1000
"""Debian's first user id of a person: those below belong to the system and to services."""


@dataclass(frozen=True)
class Finding:
    """One line of the report: the part, whether it is good, and a sentence.

    `good` is None for a check that does not apply to this machine.
    """

    what: str
    good: bool | None
    sentence: str

    @property
    def mark(self) -> str:
        return "–" if self.good is None else "✔" if self.good else "✘"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


Running = dict[str, Any]
"""The running appliance's answers: its health, newest reading and device."""


def examine(
    settings: Settings,
    state: Path,
    *,
    open_camera: Callable[[CameraSettings], Camera],
    walk: bool = False,
    running: Running | None = None,
) -> list[Finding]:
    """Return a finding for each part; a check that fails is a finding and not an error.

    With `walk` the LEDs are lit one after the other, which takes four seconds. An appliance that
    examines itself passes `running`; else the one that runs on this machine is asked.
    """
    running = running or _ask_running(settings)
    # Most appliances have no broker, no new settings on the card and no update that did not run: no
    # line about them.
    mqtt = [_run_check("MQTT", lambda: _mqtt(settings))] if settings.mqtt.host else []
    brought = any(settings_file.find_on_card(settings_file.CARDS))
    card = [_run_check("settings on the card", _card)] if brought else []
    update = [_run_check("update", board.update)] if board.has_update_news() else []
    return [
        _run_check("version", _version),
        *update,
        _run_check("libraries", _libraries),
        _run_check("processor", board.processor),
        _run_check("arithmetic", _arithmetic),
        _run_check("memory", board.memory),
        _run_check("temperature", board.temperature),
        _run_check("power", board.power),
        _run_check("clock", lambda: board.clock(state)),
        _run_check("network", lambda: _network(settings, state)),
        _run_check("camera", lambda: _camera(settings, open_camera, running)),
        _run_check("LEDs", lambda: _leds(settings.leds, running, walk)),
        _run_check("button", lambda: _button(settings.leds, running)),
        *mqtt,
        *card,
        _run_check("state directory", lambda: _state(state)),
        _run_check("captures and history", lambda: _databases(state)),
        _run_check("disk", lambda: board.disk(state)),
        _run_check("address", lambda: _address(settings.web, running)),
        _run_check("service", board.service),
        _run_check("timer", board.timer),
        _run_check("last night", lambda: _last_night(state)),
        _run_check("PIN", lambda: _pin(state)),
        _run_check("MNIST", lambda: _mnist(StateDirectory(state).mnist)),
    ]


def describe_running(
    source: str, number: int, newest: "Reading | None", pin_faults: Mapping[str, str]
) -> Running:
    """Return a running appliance's answers: its camera's source, readings and newest one, pins."""
    exposure = newest.frame.exposure if newest and newest.frame else None
    return {
        "camera": {"source": source, "fault": newest.fault if newest else STARTING},
        "readings": number,
        "reading": newest.to_json() if newest else {},
        "device": {"exposure": exposure and exposure._asdict()},
        "pins": dict(pin_faults),
    }


def find_page_address(web: WebSettings) -> str | None:
    """Return the page's address on the LAN; None where the LAN cannot reach it."""
    host = web.host
    if host in ("0.0.0.0", "::"):
        host = next(iter(machine.addresses()), "")
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return None
    if host in ("", "localhost"):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}{f':{web.port}' * (web.port != 80)}/"


def _run_check(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, check())
    except NotApplicable as reason:
        return Finding(what, None, str(reason))
    except PermissionError as error:
        where = error.filename or what
        return Finding(what, False, f"{where} is not open to this user: run 'sudo digits doctor'")
    except Exception as error:
        # A broken part may raise anything, and must not cost the other lines.
        return Finding(what, False, str(error) or type(error).__name__)


def _ask_running(settings: Settings) -> Running | None:
    """Return the answers of the appliance that runs on this machine; None where none runs.

    The newest reading and the device are empty where looking needs the PIN.
    """
    health = _get(settings, "health")
    if "camera" not in health:
        return None
    return {
        **health,
        "reading": _get(settings, "reading"),
        "device": _get(settings, "device"),
    }


def _get(settings: Settings, what: str) -> dict[str, Any]:
    """Return a JSON object of the appliance's API; an empty one where it does not answer."""
    with suppress(OSError, ValueError):
        address = f"{settings.web.local_url}/api/v1/{what}"
        with urllib.request.urlopen(address, timeout=5) as answer:
            body = json.load(answer)
        if isinstance(body, dict):
            return body
    return {}


def _version() -> str:
    return f"{__version__}, Python {platform.python_version()}, {board.system()}"


def _libraries() -> str:
    versions = machine.versions()
    lacking = [name for name, version in versions.items() if version is None]
    if lacking:
        raise OSError(f"{', '.join(lacking)} cannot be found: run 'sudo ./setup.sh install' again")
    for name in _OPTIONAL:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _arithmetic() -> str:
    """Name the BLAS library in this process: on a Pi Zero it decides a factor of ten."""
    import numpy as np

    np.ones((8, 8), np.float32) @ np.ones((8, 8), np.float32)
    loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    blas = sorted(Path(path).name for path in loaded if "blas" in Path(path).name.lower())
    if not any("openblas" in name for name in blas):
        raise OSError(
            f"numpy does not use OpenBLAS (but {', '.join(blas) or 'no BLAS library'}): training "
            "is about ten times slower; run 'sudo apt install libopenblas0'"
        )
    return f"OpenBLAS ({', '.join(name for name in blas if 'openblas' in name)})"


def _network(settings: Settings, state: Path) -> str:
    """Name the network that reads; loading compares its numbers with its card's checksum."""
    if settings.reader.network:
        name = Path(settings.reader.network).name
        network, card = weights.load(Path(settings.reader.network).resolve())
    else:
        loaded = Vault(StateDirectory(state).networks).load_current()
        if loaded.problem:
            raise WeightsError(loaded.problem)
        name, network, card = loaded.id, loaded.network, loaded.card
    test = card.get("test")
    measured = f"{test['right']} of {test['total']} test digits" if test else "not measured"
    return (
        f"{name}, {network.parameter_count()} parameters, {measured}, preset "
        f"{card.get('preset', 'unknown')}, sha256 {card['sha256'][:12]}… as its card says"
    )


def _camera(
    settings: Settings,
    open_camera: Callable[[CameraSettings], Camera],
    running: Running | None,
) -> str:
    if running is not None:
        # A camera cannot be opened twice.
        return _describe_running_camera(running)
    try:
        camera = open_camera(settings.camera)
        try:
            frames = camera.frames()
            for _ in range(_FIRST_FRAMES if settings.camera.source == "picamera" else 1):
                frame = next(frames)
        finally:
            camera.close()
    except CameraError as error:
        if settings.camera.source == "picamera" and not board.is_a_pi():
            raise NotApplicable(f"{error} (this machine is no Raspberry Pi)") from None
        raise
    return _describe_frame(settings.camera.source, frame)


def _describe_running_camera(running: Running) -> str:
    if running["camera"]["fault"]:
        raise CameraError(running["camera"]["fault"])
    exposure = running["device"].get("exposure")
    taken = ""
    if exposure:
        from appliance.reading import Exposure

        # The one that runs may be of another version.
        known = {name: value for name, value in exposure.items() if name in Exposure._fields}
        taken = _describe_exposure(Exposure(**known))
    source, count = running["camera"]["source"], running["readings"]
    text = f"{source}, {count} readings by the appliance{taken}"
    reading = running["reading"]
    if "reason" not in reading:
        return text
    # The API has no sharpness, but a digit that is read is sharp enough.
    return f"{text}, {_describe_reading(reading['reason'], reading['digit'], None)}"


def _describe_frame(source: str, frame: "Frame") -> str:
    """Describe a frame by its reading: the reader judges light and sharpness."""
    from appliance.reader.decision import sharpness
    from appliance.reader.reader import Reader

    reading: Reading = Reader(weights.load(weights.SHIPPED)[0]).read(frame)
    grey, exposure = frame.grey, frame.exposure
    taken = _describe_exposure(exposure) if exposure else ""
    text = f"{source}, {grey.shape[1]}×{grey.shape[0]}, mean grey {grey.mean():.0f}{taken}"
    sharp = max((sharpness(mark.ink) for mark in reading.marks), default=None)
    return f"{text}, {_describe_reading(reading.reason, reading.digit, sharp)}"


def _describe_exposure(exposure: "Exposure") -> str:
    text = (
        f", {exposure.camera} exposed for {1000 * exposure.seconds:.0f} ms "
        f"at gain {exposure.gain:.1f}"
    )
    if exposure.seen_width is None or exposure.seen_height is None:
        return text
    mode = f" in mode {exposure.mode}" if exposure.mode else ""
    return (
        f"{text}, sees {exposure.seen_width:.0%} × {exposure.seen_height:.0%} of its sensor{mode}"
    )


def _describe_reading(reason: str | None, digit: int | None, sharp: float | None) -> str:
    """Describe the light and sharpness of a frame by its reading; raise CameraError for poor ones.

    `sharp` is the sharpness of its sharpest mark, None without a mark or where it is unknown.
    """
    from appliance.reader.decision import BLURRED

    if digit is None and sharp is not None and sharp < BLURRED:
        reason = "blurred"
    if reason in _HELP:
        raise CameraError(f"the picture is {reason}: {_HELP[reason]}, then run this again")
    read = f"a {digit} is read" if digit is not None else f"no digit is read ({reason})"
    if sharp is None:
        return f"light good, {read}"
    words = "good" if sharp >= BLURRED else "poor"
    return f"light good, sharpness {words} ({sharp:.2f}; below {BLURRED} is poor), {read}"


def _leds(leds: LedSettings, running: Running | None, walk: bool) -> str:
    if leds.layout == "none":
        raise NotApplicable("none, as the settings say")
    if running is not None:
        _refuse_fault_of_pins(running, "leds")
        lit = "its page lights them: Device, 'Test the LEDs'"
        raise NotApplicable(f"not looked at while the appliance runs; {lit}")
    from appliance.outputs.leds import Leds
    from appliance.reading import Reading

    with _on_pins():
        lights = Leds(leds)
    try:
        if walk:
            # A reading without a fault lights the status LED steadily.
            lights.show(Reading(at=time.time()))
            lights.walk()
            lights.wait()
    finally:
        lights.close()
    pins = ", ".join(map(str, leds.digit_pins))
    status = f", status on {leds.status}" * (leds.status >= 0)
    return f"layout {leds.layout} on BCM pins {pins}{status}{_AFTER_WALK * walk}"


def _button(leds: LedSettings, running: Running | None) -> str:
    if leds.button < 0 or leds.layout == "none":
        raise NotApplicable("none, as the settings say")
    if running is not None:
        # Without LEDs no button is tried.
        _refuse_fault_of_pins(running, "leds", "button")
        raise NotApplicable(
            "not looked at while the appliance runs: press it, and a reading is taken"
        )
    from appliance.device.button import ReadButton

    with _on_pins():
        ReadButton(leds.button, lambda: None).close()
    return f"on BCM pin {leds.button}"


def _refuse_fault_of_pins(running: Running, *names: str) -> None:
    """Raise what a running appliance says of its pins, if it says that they failed."""
    faults = running.get("pins") or {}
    for name in names:
        if fault := faults.get(name):
            with _on_pins():
                raise PinError(fault)


@contextmanager
def _on_pins() -> Iterator[None]:
    """Raise NotApplicable in a PinError's place on a machine that is no Pi."""
    try:
        yield
    except PinError as error:
        if not board.is_a_pi():
            raise NotApplicable(f"{error} (this machine is no Raspberry Pi)") from None
        raise


def _mqtt(settings: Settings) -> str:
    from appliance.outputs.mqtt import reach

    return f"the broker {reach(settings.mqtt)} takes the appliance"


def _card() -> str:
    """Look at the settings files that lie on the card's boot partition."""
    meant, _ = settings_file.find_on_card(settings_file.CARDS)
    wrong = settings_file.list_unused(settings_file.CARDS)
    for each in meant[:1]:
        try:
            load(each)
        except SettingsError as error:
            wrong.insert(0, f"{error}; until then it is not taken over")
    if wrong:
        raise SettingsError("; ".join(wrong))
    return f"{meant[0]} is taken over at the next start"


def _state(state: Path) -> str:
    if not state.is_dir():
        raise OSError(f"{state} is not there yet: 'digits run' makes it")
    try:
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as error:
        if isinstance(error, PermissionError):
            # The folder's name, not the temporary file's.
            error.filename = str(state)
            raise
        raise OSError(f"{state} cannot be written ({error.strerror}): check the disk") from None
    free = os.statvfs(state)
    return f"{state}, {free.f_bavail * free.f_frsize // 1_000_000} MB free"


def _databases(state: Path) -> str:
    """Check each row of the captures and the history: SQLite's own check finds less."""
    from appliance.backup.contents import DATABASES
    from appliance.storage.database import count_bytes, list_aside
    from appliance.storage.database import examine as examine_rows

    sound_files, damaged, aside = [], [], []
    folder = StateDirectory(state).knowledge
    for name, schema in DATABASES.items():
        file = folder / name
        if not os.path.lexists(file):
            continue
        aside += [f"{each.name} ({count_bytes(each) / 1e6:.1f} MB)" for each in list_aside(file)]
        sound, damage = examine_rows(file, schema)
        sound_files.append(f"{name}: {sound} rows are whole")
        damaged += [f"{name} is damaged: {damage}; {sound} rows are whole"] if damage else []
    if damaged:
        raise OSError(
            f"{', '.join(damaged)}: make a backup with '{_digits(state)} backup', which leaves out "
            "what is damaged, and restore it"
        )
    if not sound_files:
        raise NotApplicable("there are none yet: 'digits run' makes them")
    sentence = ", ".join(sound_files)
    if aside:
        put_aside = f"put aside in {folder}, as they were damaged: {', '.join(aside)}"
        return f"{sentence}; {put_aside}; remove them when nothing is missed"
    return sentence


def _address(web: WebSettings, running: Running | None) -> str:
    address = find_page_address(web)
    if address is None and web.host in ("0.0.0.0", "::"):
        raise OSError(
            "the machine has no address on a network: connect the cable, or set the Wi-Fi with "
            "'sudo raspi-config' or 'sudo nmtui'"
        )
    where = address or f"{web.local_url}/, for this machine alone as 'host' under [web] says"
    answers = "the page answers" if running else "no page answers there now"
    return f"{socket.gethostname()}, {where}, {answers}"


def _last_night(state: Path) -> str:
    last = load_nights(state, 1)
    if not last:
        raise NotApplicable("there was none yet: it learns at night once there are captures enough")
    (night,) = last
    at = f"{local_time(night['at']):%Y-%m-%d %H:%M}"
    outcome = _OUTCOMES.get(night.get("outcome", ""), "it ended")
    return f"{at}, {outcome}: {night.get('why', 'it does not say why')}"


def _pin(state: Path) -> str:
    if owner_file(state).exists():
        # Another user gets a PermissionError here, and with it the advice to use sudo.
        read_regular(owner_file(state))
    owner = OwnerPin(owner_file(state))
    if owner.problem:
        raise OSError(owner.problem)
    if not owner.exists:
        raise OSError("there is none yet: 'digits run' or 'digits pin' makes it and tells it once")
    made = f"{local_time(owner.made):%Y-%m-%d %H:%M}"
    return f"made at {made}; who has forgotten it makes another with '{_digits(state)} pin --new'"


def _digits(state: Path) -> str:
    """Return the command that may write in a folder: with sudo where a service owns it."""
    with suppress(OSError):
        if 0 < state.stat().st_uid < _FIRST_PERSON:
            return "sudo digits"
    return "digits"


def _mnist(folder: Path) -> str:
    absent = list_missing(folder)
    if absent:
        raise OSError(
            f"{folder} lacks {len(absent)} of the 4 files: training needs them; "
            f"run '{_digits(folder.parent)} data fetch --to {folder}'"
        )
    return f"complete in {folder}"

"""Every check a person would do by hand, in plain words."""

import dataclasses
import json
import os
import platform
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance import __version__, machine
from appliance.camera import Camera
from appliance.errors import CameraError
from appliance.owner import Owner, owner_file
from appliance.settings import CameraSettings, Settings
from appliance.vault import Vault
from model import weights
from model.datasets import missing
from model.errors import WeightsError


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, whether it is well, and a sentence."""

    what: str
    good: bool
    sentence: str

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def examine(
    settings: Settings, state: Path, *, open_camera: Callable[[CameraSettings], Camera]
) -> list[Finding]:
    """Return a finding for each part; a check that fails is a finding and not an error."""
    running = _running(settings)
    # Most appliances have none, and their report no line of it.
    mqtt = [_checked("MQTT", lambda: _mqtt(settings))] if settings.mqtt.host else []
    return [
        Finding("version", True, f"{__version__}, Python {platform.python_version()}"),
        _checked("libraries", _libraries),
        _checked("arithmetic", _arithmetic),
        _checked("network", lambda: _network(settings, state)),
        _checked("camera", lambda: _camera(settings, open_camera, running)),
        _checked("LEDs", lambda: _leds(settings, running)),
        *mqtt,
        _checked("state directory", lambda: _state(state)),
        _checked("PIN", lambda: _pin(state)),
        _checked("MNIST", lambda: _mnist(state / "mnist")),
    ]


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, check())
    except PermissionError as error:
        where = error.filename or what
        return Finding(what, False, f"{where} is not open to this user: run 'sudo digits doctor'")
    except Exception as error:
        # What is broken may break in any way; the other lines are wanted all the same.
        return Finding(what, False, str(error) or type(error).__name__)


def _running(settings: Settings) -> dict[str, Any] | None:
    """Return what the appliance that runs on this machine says of itself, or None."""
    try:
        with urllib.request.urlopen(f"{settings.web.local_url}/api/v1/health", timeout=5) as answer:
            health = json.load(answer)
    except (OSError, ValueError):
        return None
    return health if isinstance(health, dict) and "camera" in health else None


def _libraries() -> str:
    versions = machine.versions()
    lacking = [name for name, version in versions.items() if version is None]
    if lacking:
        raise OSError(f"{', '.join(lacking)} cannot be found: run 'sudo ./setup.sh install' again")
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
    if settings.reader.network:
        name = Path(settings.reader.network).name
        network, card = weights.load(Path(settings.reader.network))
    else:
        held = Vault(state / "networks").current()
        if held.problem:
            raise WeightsError(held.problem)
        name, network, card = held.id, held.network, held.card
    test = card.get("test")
    measured = f"{test['right']} of {test['total']} test digits" if test else "not measured"
    return f"{name}, {network.parameter_count()} parameters, {measured}"


def _camera(
    settings: Settings,
    open_camera: Callable[[CameraSettings], Camera],
    running: dict[str, Any] | None,
) -> str:
    if running is not None:
        # It has the camera, which cannot be opened twice.
        if running["camera"]["fault"]:
            raise CameraError(running["camera"]["fault"])
        return f"{running['camera']['source']}, {running['readings']} readings by the appliance"
    camera = open_camera(settings.camera)
    try:
        grey = next(camera.frames()).grey
    finally:
        camera.close()
    return f"{settings.camera.source}, {grey.shape[1]}×{grey.shape[0]}, mean grey {grey.mean():.0f}"


def _leds(settings: Settings, running: dict[str, Any] | None) -> str:
    if settings.leds.layout == "none":
        return "none, as the settings say"
    if running is not None:
        return "not looked at while the appliance runs: its log tells whether it has them"
    from appliance.outputs.leds import Leds

    Leds(settings.leds).close()
    pins = ", ".join(map(str, settings.leds.digit_pins))
    return f"layout {settings.leds.layout} on BCM pins {pins}"


def _mqtt(settings: Settings) -> str:
    from appliance.outputs.mqtt import reach

    return f"the broker {reach(settings.mqtt)} takes the appliance"


def _state(state: Path) -> str:
    if not state.is_dir():
        raise OSError(f"{state} is not there yet: 'digits run' makes it")
    try:
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        raise OSError(f"{state} cannot be written ({error.strerror}): check the disk") from None
    free = os.statvfs(state)
    return f"{state}, {free.f_bavail * free.f_frsize // 1_000_000} MB free"


def _pin(state: Path) -> str:
    if owner_file(state).exists():
        # Its user's alone: another one is told to ask as root.
        owner_file(state).read_bytes()
    owner = Owner(owner_file(state))
    if not owner.known:
        raise OSError("there is none yet: 'digits run' or 'digits pin' makes it and tells it once")
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(owner.made))
    return f"made at {made}; who has forgotten it makes another with 'digits pin --new'"


def _mnist(folder: Path) -> str:
    absent = missing(folder)
    if absent:
        raise OSError(
            f"{folder} lacks {len(absent)} of the 4 files: training needs them; "
            f"run 'digits data fetch --to {folder}'"
        )
    return f"complete in {folder}"

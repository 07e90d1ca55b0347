"""What systemd is told: ready, still going on, ending; and how often it had to begin anew."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.commands.run import _watched_camera
from appliance.device.systemd import MOST_STALLS, WITHIN, Watchdog, count_stalls
from appliance.errors import CameraError
from appliance.picture import PictureQueue
from appliance.settings.schema import CameraSettings
from tests.conftest import SAMPLES


@pytest.fixture(params=["a file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """systemd's end of the socket, and its address as the environment has it."""
    here = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = str(tmp_path / "notify")
    here.bind(address if request.param == "a file" else f"\0{address}")
    here.settimeout(5)
    yield address if request.param == "a file" else f"@{address}", here
    here.close()


def test_it_tells_that_it_is_ready_goes_on_and_ends(systemd: tuple[str, socket.socket]) -> None:
    address, here = systemd
    now = 100.0
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000"}
    watchdog = Watchdog(environment, clock=lambda: now)
    watchdog.ready()
    watchdog.alive()
    watchdog.alive()
    now += 15.0
    watchdog.alive()
    watchdog.stopping()
    told = [here.recv(100) for _ in range(4)]
    assert told == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]
    here.setblocking(False)
    with pytest.raises(BlockingIOError):
        here.recv(100)


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_where_nobody_listens_it_goes_on(environment: dict[str, str]) -> None:
    watchdog = Watchdog({**environment, "WATCHDOG_USEC": "1"})
    watchdog.ready()
    watchdog.alive()
    watchdog.stopping()


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def test_stalls_are_counted_for_ten_minutes(tmp_path: Path) -> None:
    environment = {"RUNTIME_DIRECTORY": f"{tmp_path}:/run/other"}
    assert count_stalls(environment) == 0
    old, now = uptime() - WITHIN - 1, uptime()
    (tmp_path / "stalls").write_text(f"{old:.2f}\n{now - 5:.2f}\n{now - 1:.2f}\n")
    assert count_stalls(environment) == 2
    (tmp_path / "stalls").write_text("what is this\n")
    assert count_stalls(environment) == 0
    assert count_stalls({}) == 0


def test_a_camera_that_hung_again_and_again_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    settings = CameraSettings(source=f"folder:{SAMPLES}")
    now = uptime()
    (tmp_path / "stalls").write_text(f"{now:.2f}\n" * (MOST_STALLS - 1))
    _watched_camera(settings, PictureQueue()).close()
    (tmp_path / "stalls").write_text(f"{now:.2f}\n" * MOST_STALLS)
    with pytest.raises(CameraError, match="stood still 3 times in ten minutes"):
        _watched_camera(settings, PictureQueue())

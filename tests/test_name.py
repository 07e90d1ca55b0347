"""The name digits.local: the script that keeps it, with a stand-in for avahi, and with avahi."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "systemd" / "digits-name"


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def lan(tmp_path: Path) -> Path:
    """A folder with an `avahi-publish` that writes down what it is asked, and a `hostname`."""
    (tmp_path / "address").write_text("192.0.2.7 2001:db8::7\n")
    (tmp_path / "asked").write_text("")
    (tmp_path / "said").write_text("")
    commands = {
        "hostname": '[ "$*" != -I ] || exec cat "$LAN/address"; echo zero',
        "avahi-publish": 'echo "$@" >>"$LAN/asked"; echo "Local name collision" >&2; '
        '[ ! -e "$LAN/taken" ] || exit 1; exec sleep 60',
    }
    for name, does in commands.items():
        command = tmp_path / name
        command.write_text(f"#!/bin/sh\n{does}\n")
        command.chmod(0o755)
    return tmp_path


@pytest.fixture
def naming(lan: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {"PATH": f"{lan}:/usr/bin:/bin", "LAN": str(lan), "RUNTIME_DIRECTORY": str(lan)}
    with open(lan / "said", "ab") as said:
        process = subprocess.Popen(
            [SCRIPT, "digits.local", "0.1", "10"],
            env=environment, stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    yield process
    process.kill()
    process.wait()


def asked(lan: Path) -> list[str]:
    return (lan / "asked").read_text().splitlines()


@pytest.mark.slow
def test_the_name_goes_with_the_address(lan: Path, naming: subprocess.Popen[bytes]) -> None:
    wanted = "--address --no-reverse digits.local"
    until(lambda: asked(lan) == [f"{wanted} 192.0.2.7"])
    time.sleep(0.5)
    assert len(asked(lan)) == 1
    (lan / "address").write_text("2001:db8::9 192.0.2.9\n")
    until(lambda: asked(lan)[1:] == [f"{wanted} 192.0.2.9"])
    (lan / "address").write_text("")
    time.sleep(0.5)
    assert len(asked(lan)) == 2
    naming.send_signal(signal.SIGTERM)
    assert naming.wait(10) == 0


@pytest.mark.slow
def test_a_name_that_is_taken_is_asked_for_again(
    lan: Path, naming: subprocess.Popen[bytes]
) -> None:
    (lan / "taken").touch()
    (lan / "address").write_text("192.0.2.8\n")
    until(lambda: len(asked(lan)) > 3)
    (lan / "taken").unlink()
    count = len(asked(lan))
    time.sleep(1)
    assert len(asked(lan)) <= count + 2


@pytest.mark.slow
def test_a_name_that_is_taken_is_told_of_hourly_and_at_its_end(
    lan: Path, naming: subprocess.Popen[bytes]
) -> None:
    def said() -> list[str]:
        return (lan / "said").read_text().splitlines()

    (lan / "taken").touch()
    (lan / "address").write_text("192.0.2.8\n")
    # An hour are ten tries here.
    until(lambda: len(asked(lan)) > 15)
    (lan / "taken").unlink()
    until(lambda: said()[-1:] == ["digits.local is this machine's name on the LAN"])
    begun, lasts, _ = said()
    assert begun == (
        "digits.local is not this machine's name on the LAN (Local name collision): another "
        "appliance has it, or avahi-daemon does not run; zero.local works all the same"
    )
    assert lasts == begun.replace("collision)", "collision, for 1 h now)")
    naming.send_signal(signal.SIGTERM)
    assert naming.wait(10) == 0
    assert not list(lan.glob("tmp.*"))


def test_the_page_is_told_of_as_a_web_page() -> None:
    group = ElementTree.parse(ROOT / "systemd" / "digits.avahi.xml").getroot()
    assert group.findtext("service/type") == "_http._tcp"
    assert group.findtext("service/port") == "8080"


def test_avahi_answers_to_the_name() -> None:
    resolve = shutil.which("avahi-resolve")
    if not resolve or subprocess.run(["avahi-browse", "-at"], capture_output=True).returncode:
        pytest.skip("avahi does not run on this machine")
    name = f"digits-test-{time.monotonic_ns() % 10**6}.local"
    process = subprocess.Popen([SCRIPT, name, "1"])
    try:
        until(lambda: subprocess.run([resolve, "-n", name], capture_output=True, text=True).stdout)
    finally:
        process.terminate()
        process.wait(10)

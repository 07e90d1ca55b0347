"""`digits run` as a process: its start, its page, and its end by a signal."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.__main__ import main
from appliance.captures.store import Captures
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.networks.vault import Vault
from appliance.outputs.history import History
from appliance.storage.layout import StateDirectory
from tests.backups import backup, restore
from tests.captured import add_capture
from tests.conftest import ROOT, SAMPLES
from tests.networks.test_live import saying
from tests.proofs.endurance import endure


@contextmanager
def running(
    port: int, state: Path, *arguments: str, pins: str = "mock"
) -> Iterator[tuple[Any, list[str]]]:
    """Run `digits run`; yield the process and its log's lines up to the page's address."""
    command = [sys.executable, "-W", "error", "-m", "appliance", "run", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--state", str(state), *arguments]
    environment = {**os.environ, "GPIOZERO_PIN_FACTORY": pins, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines: list[str] = []
    # A line that does not come fails the test instead of blocking it.
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        for line in process.stderr:
            lines.append(line)
            if "the page is at" in line:
                break
        yield process, lines
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stderr.close()


class OwnerClient:
    """A program of the owner's: it begins a session with the PIN, and sends changes."""

    def __init__(self, port: int, pin: str) -> None:
        self._page = f"http://127.0.0.1:{port}"
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self._token = ""
        with self._open("POST", "/api/v1/session", {"pin": pin}) as answer:
            self._token = json.load(answer)["token"]

    def send(self, method: str, path: str, body: Any = None) -> int:
        with self._open(method, path, body) as answer:
            return int(answer.status)

    def get(self, path: str) -> Any:
        with self._opener.open(self._page + path, timeout=20) as answer:
            return json.load(answer)

    def _open(self, method: str, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "X-CSRF-Token": self._token}
        data = json.dumps(body).encode()
        return self._opener.open(
            urllib.request.Request(self._page + path, data, headers, method=method), timeout=20
        )


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


def test_a_setting_changed_on_the_page_takes_effect_after_a_restart(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pin = OwnerPin(owner_file(tmp_path)).make_pin()
    with running(port, tmp_path, "--camera", f"folder:{SAMPLES}") as (process, _):
        owner = OwnerClient(port, pin)
        change = {"table": "reader", "key": "agree", "value": 2}
        assert owner.send("PATCH", "/api/v1/settings", change) == 200
        assert owner.get("/api/v1/settings")["waiting"]
        assert owner.send("POST", "/api/v1/device/start-again") == 202
        assert next(line for line in process.stderr if "the page is at" in line)
        answer = owner.get("/api/v1/settings")
        (agree,) = [each for each in answer["settings"] if each["key"] == "agree"]
        assert (agree["value"], agree["origin"]) == ("2", "page")
        assert not answer["waiting"]
        # It is the same process: systemd sees no end.
        assert process.poll() is None
        # And still the only one: another is told of it.
        assert main(["run", "--camera", f"folder:{SAMPLES}", "--state", str(tmp_path)]) == 1
        said = capsys.readouterr().err
        assert f"(process {process.pid}, its page is at http://127.0.0.1:{port})" in said
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_pin_of_a_first_start_is_not_in_the_pages_log(port: int, tmp_path: Path) -> None:
    with running(port, tmp_path, "--camera", f"folder:{SAMPLES}") as (_, lines):
        pin = re.search(r"PIN is (\d{6})", "".join(lines))
        assert pin
        last = OwnerClient(port, pin[1]).get("/api/v1/log")["lines"]
        assert any("the page is at" in line["text"] for line in last)
        assert not any(pin[1] in line["text"] for line in last)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_signal_closes_the_camera_and_turns_the_leds_off(
    ending: signal.Signals, port: int
) -> None:
    report = endure(readings=40, early=20, ending=ending, port=port)
    assert report.exit_code == 0
    assert report.seconds_to_end <= 2
    assert report.threads_left == []
    assert (report.cameras_opened, report.cameras_closed) == (1, 1)
    assert report.pins_lit == 0


def test_two_thousand_readings_need_no_more_memory(port: int) -> None:
    report = endure(readings=2000, early=500, ending=signal.SIGTERM, port=port, small=True)
    assert report.growth_kb <= 5000
    assert report.threads_left == []


def test_the_loop_reads_on_whatever_is_sent_to_the_page(port: int, tmp_path: Path) -> None:
    def send(body: bytes) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/read", data=body)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    sample = (SAMPLES / "3-pen.jpg").read_bytes()
    bodies = [sample, sample[:5000], b"not a picture", b"x" * 17_000_000] * 3
    with running(port, tmp_path, "--camera", f"folder:{SAMPLES}", "--leds", "none"):
        before = get(port, "/api/v1/health")["readings"]
        with ThreadPoolExecutor(4) as senders:
            codes = set(senders.map(send, bodies))
        assert codes <= {200, 415, 413, 503}
        assert {200, 413} <= codes
        health = get(port, "/api/v1/health")
        assert health["status"] == "ok"
        assert health["readings"] > before


def test_without_the_cameras_library_the_page_says_so(port: int, tmp_path: Path) -> None:
    if importlib.util.find_spec("picamera2"):
        pytest.skip("this machine has picamera2")
    with running(port, tmp_path, "--camera", "picamera") as (process, _):
        next(line for line in process.stderr if "library is missing" in line)
        assert "apt install" in get(port, "/api/v1/reading")["fault"]


def test_without_gpio_it_warns_once_and_runs(port: int, tmp_path: Path) -> None:
    arguments = ["--camera", f"folder:{SAMPLES}", "--leds", "ten"]
    with running(port, tmp_path, *arguments, pins="") as (_, lines):
        warnings = [line for line in lines if "GPIO" in line]
        assert len(warnings) == 1
        assert "this machine has no GPIO pins for the LEDs" in warnings[0]
        health = get(port, "/api/v1/health")
        assert health["status"] in ("ok", "fault")
        fault = "this machine has no GPIO pins for the LEDs"
        assert health["pins"] == {"leds": fault, "button": None}


def test_it_reads_keeps_a_history_and_ends(port: int, tmp_path: Path) -> None:
    config = tmp_path / "digits.toml"
    config.write_text("[camera]\nrate = 20\npicture_seconds = 0\n[reader]\nagree = 1\n")
    arguments = ["--camera", f"folder:{SAMPLES}", "--leds", "four", "--config", str(config)]
    with running(port, tmp_path / "state", *arguments) as (process, _):
        for line in process.stderr:
            if "no digit: blank" in line:
                break
        entries = get(port, "/api/v1/history?limit=500")["readings"]
        assert [entry["digit"] for entry in entries[::-1]][:11] == [*range(10), None]
        assert get(port, "/api/v1/health")["status"] == "ok"
        (tmp_path / "other").mkdir()
        backup(tmp_path / "made.zip", tmp_path / "state", None)
        restore(tmp_path / "made.zip", tmp_path / "other", None)
        with closing(History(StateDirectory(tmp_path / "other").history, limit=500)) as copied:
            assert {entry["id"] for entry in entries} <= {row.id for row in copied.list_newest(500)}
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 0
        assert process.stderr.read().splitlines()[-1].endswith("stopped")
    files = {path.name for path in (tmp_path / "state").iterdir()}
    assert files == {"knowledge", "in-use.lock", "run.lock", "owner.json"}
    files = {path.name for path in (tmp_path / "state" / "knowledge").iterdir()}
    assert files == {"history.db", "captures.db", "captures.db.lock"}


def test_without_a_camera_the_page_starts_and_says_so(port: int, tmp_path: Path) -> None:
    with running(port, tmp_path, "--camera", "folder:/no/such/folder") as (process, _):
        next(line for line in process.stderr if "/no/such/folder" in line)
        answer = get(port, "/api/v1/reading")
        assert answer["state"] == "error"
        assert answer["fault"].startswith("/no/such/folder: the folder cannot be read")
        process.send_signal(signal.SIGINT)
        assert process.wait(2) == 0


def test_a_start_finishes_a_restore_that_was_cut_off_and_a_running_appliance_refuses_one(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state, made, config = tmp_path / "state", tmp_path / "made.zip", tmp_path / "digits.toml"
    config.write_text("[leds]\nlayout = 'none'\n")
    state.mkdir()
    with closing(Captures(StateDirectory(state).captures)) as captures:
        add_capture(captures, label=3)
        backup(made, state, config)
        add_capture(captures, label=4)
    with monkeypatch.context() as patch:
        patch.setattr("appliance.backup.restore.finish_restore", lambda state, settings=None: False)
        restore(made, state, config)
    config.write_text("[leds]\nlayout = 'four'\n")
    arguments = ["--camera", f"folder:{SAMPLES}", "--config", str(config)]
    with running(port, state, *arguments) as (_, lines):
        assert "a backup is restored in" in "".join(lines)
        assert get(port, "/api/v1/captures")["total"] == 1
        assert config.read_text() == "[leds]\nlayout = 'none'\n"
        assert (state / "before-restore" / "captures.db").exists()
        assert main(["restore", str(made), "--state", str(state)]) == 1
        assert "the appliance runs there" in capsys.readouterr().err


def test_a_promotion_is_picked_up_without_a_restart(port: int, tmp_path: Path) -> None:
    config = tmp_path / "digits.toml"
    # The same picture for a minute: a promotion makes it read again though nothing moves.
    config.write_text("[camera]\nrate = 20\npicture_seconds = 60\n[reader]\nagree = 1\n")
    arguments = ["--camera", f"folder:{SAMPLES}", "--leds", "none", "--config", str(config)]
    with running(port, tmp_path, *arguments) as (process, _):
        next(line for line in process.stderr if "reads 0" in line)
        vault = Vault(StateDirectory(tmp_path).networks)
        id = vault.add(saying(8), {"preset": "eight"})
        vault.promote(id)
        line = next(line for line in process.stderr if "reads with network" in line)
        assert f"reads with network {id} from now on, promoted 2" in line
        assert "reads 8" in next(process.stderr)
        assert get(port, "/api/v1/health")["network"]["preset"] == "eight"
        vault.roll_back()
        next(line for line in process.stderr if "reads 0" in line)
    with running(port, tmp_path, *arguments):
        assert get(port, "/api/v1/health")["network"]["preset"] == "appliance"


def test_a_network_damaged_while_off_is_replaced_by_the_one_before_and_the_page_says_so(
    port: int, tmp_path: Path
) -> None:
    vault = Vault(StateDirectory(tmp_path).networks)
    for digit in (6, 8):
        vault.promote(vault.add(saying(digit), {"preset": f"always {digit}"}))
    file = vault.folder / f"{vault.load_current().id}.npz"
    file.write_bytes(file.read_bytes()[:-9])
    with running(port, tmp_path, "--camera", f"folder:{SAMPLES}", "--leds", "none") as (_, lines):
        assert "the current network is damaged" in lines[0]
        health = get(port, "/api/v1/health")
    assert health["status"] == "fault"
    assert health["network"]["preset"] == "always 6"
    assert "stands in" in health["network"]["problem"]


def test_a_damaged_network_is_replaced_by_the_shipped_one_and_the_page_says_so(
    port: int, tmp_path: Path
) -> None:
    (tmp_path / "mine.npz").write_bytes(b"not a network")
    config = tmp_path / "digits.toml"
    config.write_text(f'[reader]\nnetwork = "{tmp_path}/mine.npz"\n')
    arguments = ["--camera", f"folder:{SAMPLES}", "--leds", "none", "--config", str(config)]
    with running(port, tmp_path, *arguments) as (_, lines):
        assert "the network that ships reads instead" in lines[0]
        network = get(port, "/api/v1/health")["network"]
        assert network["preset"] == "appliance"
        assert "mine.npz: not a whole weights file" in network["problem"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--leds", "six"], "must be one of ten, four, seven-segment, none"),
        (["--camera", "webcam"], "must be 'picamera' or 'folder:PATH'"),
        (["--port", "0"], "must be from 1 to 65535"),
        (["--config", "/no/such/file"], "/no/such/file: cannot be read"),
        (["--state", "/dev/null/state"], "the state directory cannot be made"),
    ],
)
def test_a_wrong_start_ends_with_one_line(
    arguments: list[str], said: str, port: int, tmp_path: Path
) -> None:
    with running(port, tmp_path, *arguments) as (process, lines):
        assert process.wait(10) == 1
    assert len(lines) == 1
    assert lines[0].startswith("digits: ")
    assert said in lines[0]

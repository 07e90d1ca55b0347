"""The doctor: each part well, wrong with the next step, or not to be told; and its report."""

import io
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory

from appliance.__main__ import main
from appliance.camera.folder import FolderCamera
from appliance.device import machine
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.doctor import board, checks, support_report
from appliance.doctor.checks import Finding, examine, find_page_address
from appliance.errors import CameraError
from appliance.outputs.leds import Leds
from appliance.picture import open_picture
from appliance.reading import Exposure, Frame, Reading, make_frame
from appliance.settings.schema import (
    CameraSettings,
    LedSettings,
    MqttSettings,
    Settings,
    WebSettings,
    list_settings,
    read,
)
from appliance.storage.ownership import placed
from tests.conftest import SAMPLES

PARTS = [
    "version", "libraries", "processor", "arithmetic", "memory", "temperature", "power", "clock",
    "network", "camera", "LEDs", "button", "state directory", "captures and history", "disk",
    "address", "service", "timer", "last night", "PIN", "MNIST",
]  # fmt: skip


class Shows:
    """A camera that gives one frame again and again."""

    def __init__(self, shown: Frame) -> None:
        self.shown, self.given, self.closed = shown, 0, False

    def frames(self) -> Iterator[Frame]:
        while not self.closed:
            self.given += 1
            yield self.shown

    def close(self) -> None:
        self.closed = True


def no_camera(_: CameraSettings) -> Any:
    raise CameraError("no camera found: check the ribbon cable at both ends, then restart the Pi")


def found(findings: list[Finding], what: str) -> Finding:
    (one,) = [finding for finding in findings if finding.what == what]
    return one


@pytest.fixture
def settings(port: int) -> Settings:
    """Settings whose page nobody serves."""
    return Settings(web=WebSettings(port=port))


@pytest.fixture(autouse=True)
def a_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "is_a_pi", lambda: True)
    monkeypatch.setattr(machine, "addresses", lambda: ["192.0.2.7", "2001:db8::7"])


def camera(settings: Settings, shown: Frame) -> Finding:
    return checks._run_check(
        "camera", lambda: checks._camera(settings, lambda _: Shows(shown), None)
    )


def test_every_part_has_its_line_whatever_is_missing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError

    started = time.process_time()
    findings = examine(settings, tmp_path / "none", open_camera=no_camera)
    assert time.process_time() - started < 2
    assert [finding.what for finding in findings] == PARTS
    for name in ("processor", "memory", "power", "clock", "service", "timer", "disk"):
        monkeypatch.setattr(board, name, broken)
    findings = examine(settings, tmp_path / "none", open_camera=no_camera)
    assert [finding.what for finding in findings] == PARTS
    assert found(findings, "clock") == Finding("clock", False, "RuntimeError")


def test_what_cannot_be_told_is_neither_good_nor_bad(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = examine(settings, tmp_path, open_camera=no_camera)
    assert found(findings, "camera").mark == "✘"
    monkeypatch.setattr(board, "is_a_pi", lambda: False)
    findings = examine(settings, tmp_path, open_camera=no_camera)
    for what in ("camera", "LEDs", "button", "last night"):
        assert (found(findings, what).good, found(findings, what).mark) == (None, "–")
    assert found(findings, "LEDs").sentence.endswith("(this machine is no Raspberry Pi)")


def test_a_camera_that_sees_a_digit_is_well(settings: Settings) -> None:
    grey = open_picture(SAMPLES / "7-shadow.jpg", "seven", at=0.0).grey
    shown = make_frame(grey, 0.0, Exposure("imx708", 0.033, 2.0))
    assert camera(settings, shown) == Finding(
        "camera",
        True,
        f"picamera, 640×480, mean grey {grey.mean():.0f}, imx708 exposed for 33 ms at gain 2.0, "
        "light good, sharpness good (0.85; below 0.78 is poor), a 7 is read",
    )


@pytest.mark.parametrize(
    ("grey", "told"),
    [(5, "the picture is too dark: more light"), (255, "the picture is too bright: less light")],
)
def test_poor_light_is_told_with_what_helps(settings: Settings, grey: int, told: str) -> None:
    said = camera(settings, make_frame(np.full((480, 640), grey, np.uint8), 0.0))
    assert said.good is False
    assert said.sentence.startswith(told)


def test_a_blank_sheet_tells_nothing_of_the_sharpness(settings: Settings) -> None:
    said = camera(settings, open_picture(SAMPLES / "none-blank.jpg", "blank", at=0.0))
    assert said.good
    assert said.sentence.endswith("light good, no digit is read (blank)")


def test_a_blurred_digit_is_told(settings: Settings) -> None:
    from scipy.ndimage import gaussian_filter

    grey = open_picture(SAMPLES / "7-shadow.jpg", "seven", at=0.0).grey
    soft = camera(settings, make_frame(gaussian_filter(grey, 6), 0.0))
    assert soft.good
    assert soft.sentence.endswith("sharpness poor (0.77; below 0.78 is poor), a 7 is read")
    said = camera(settings, make_frame(gaussian_filter(grey, 12), 0.0))
    assert said.sentence.startswith("the picture is blurred: hold still")


def test_the_cameras_first_frames_are_not_judged_and_it_is_let_go(settings: Settings) -> None:
    shows = Shows(make_frame(np.full((480, 640), 200, np.uint8), 0.0))
    checks._camera(settings, lambda _: shows, None)
    assert (shows.given, shows.closed) == (8, True)


def running(**reading: Any) -> dict[str, Any]:
    return {
        "camera": {"source": "picamera", "fault": None},
        "readings": 12,
        "reading": reading,
        "device": {"exposure": {"camera": "ov5647", "seconds": 0.02, "gain": 1.0}},
    }


def test_the_appliance_that_runs_is_asked_for_its_camera(settings: Settings) -> None:
    told = running(reason=None, digit=3, marks=[{}])
    assert checks._camera(settings, no_camera, told) == (
        "picamera, 12 readings by the appliance, ov5647 exposed for 20 ms at gain 1.0, "
        "light good, a 3 is read"
    )
    # Where looking needs the PIN.
    assert checks._camera(settings, no_camera, {**running(), "device": {}}) == (
        "picamera, 12 readings by the appliance"
    )
    with pytest.raises(CameraError, match="too dark"):
        checks._camera(settings, no_camera, running(reason="too dark", digit=None, marks=[]))


def test_an_appliance_that_asks_for_itself_leaves_camera_and_pins_alone(
    settings: Settings, tmp_path: Path, mock_pins: MockFactory, a_seven: Reading
) -> None:
    def never(_: CameraSettings) -> Any:
        raise AssertionError

    shown = a_seven._replace(
        frame=make_frame(a_seven.frame.grey, 0.0, Exposure("imx708", 0.1, 4.0))
    )
    for newest, told in (
        (None, "the camera is starting"),
        (Reading(at=0.0, fault="no camera found"), "no camera found"),
        (shown, "picamera, 5 readings by the appliance, imx708 exposed for 100 ms at gain 4.0, "
                "light good, a 7 is read"),
    ):  # fmt: skip
        said = checks.describe_running("picamera", 5, newest)
        findings = examine(settings, tmp_path, open_camera=never, running=said)
        assert found(findings, "camera").sentence == told
    assert not mock_pins.pins


def test_the_pins_of_an_appliance_that_runs_are_left_alone(mock_pins: MockFactory) -> None:
    for look in (
        lambda: checks._leds(LedSettings(), running(), True),
        lambda: checks._button(LedSettings(), running()),
    ):
        assert checks._run_check("pins", look).good is None
    assert not mock_pins.pins


def test_the_leds_are_walked_through_and_let_go(
    mock_pins: MockFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lit: list[str] = []

    def wait(leds: Leds, seconds: float) -> bool:
        lit.append("".join(str(int(bool(led.value))) for led in leds._digits))
        assert leds._status.value == 1
        return False

    def walk(leds: Leds) -> None:
        monkeypatch.setattr(leds._closing, "wait", lambda seconds: wait(leds, seconds))
        really_walk(leds)

    really_walk = Leds.walk
    monkeypatch.setattr(Leds, "walk", walk)
    said = checks._leds(LedSettings(), None, True)
    assert lit == [f"{'0' * digit}1{'0' * (9 - digit)}" for digit in range(10)]
    assert "status on 17; each digit from 0 to 9 was shown" in said
    assert not any(pin.state for pin in mock_pins.pins.values())
    # They are free again.
    assert checks._leds(LedSettings(), None, False).endswith("status on 17")
    assert checks._button(LedSettings(), None) == "on BCM pin 27"


def test_the_page_s_address() -> None:
    assert find_page_address(WebSettings()) == "http://192.0.2.7:8080/"
    assert find_page_address(WebSettings(port=80)) == "http://192.0.2.7/"
    assert find_page_address(WebSettings(host="2001:db8::7")) == "http://[2001:db8::7]:8080/"
    assert find_page_address(WebSettings(host="127.0.0.1")) is None
    assert find_page_address(WebSettings(host="localhost")) is None


def test_a_machine_without_a_network_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no page answers there now" in checks._address(settings.web, None)
    monkeypatch.setattr(machine, "addresses", lambda: [])
    with pytest.raises(OSError, match="no address on a network"):
        checks._address(settings.web, None)
    alone = WebSettings(host="127.0.0.1")
    assert "http://127.0.0.1:8080/, for this machine alone" in checks._address(alone, None)


def test_the_last_night_is_told(tmp_path: Path) -> None:
    (tmp_path / "nights.jsonl").write_text(
        '{"at": 1, "outcome": "promoted", "why": "old"}\n'
        '{"at": 1760000000.0, "outcome": "kept", "why": "it is not better"}\n'
    )
    said = checks._last_night(tmp_path)
    assert re.fullmatch(
        r"2025-\d\d-\d\d \d\d:\d\d, its network was not promoted: it is not better", said
    )


def test_a_settings_file_that_is_refused_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "digits.toml"
    config.write_text("[camera]\nwidht = 3\n")
    file = tmp_path / "report.txt"
    assert (
        main(["doctor", "--config", str(config), "--state", str(tmp_path), "--report", str(file)])
        == 1
    )
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"✘ settings: {config}: unknown setting 'widht' in [camera]")
    assert "✘ settings: " in file.read_text()


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def code_of(text: str) -> bool:
    return "█" in text


def test_a_terminal_gets_a_code_and_a_pipe_only_when_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["doctor", "--config", "/dev/null", "--state", str(tmp_path)]
    main(arguments)
    assert not code_of(capsys.readouterr().out)
    main([*arguments, "--qr"])
    assert code_of(capsys.readouterr().out)
    main([*arguments, "--qr", "--json"])
    assert not code_of(json.dumps(json.loads(capsys.readouterr().out), ensure_ascii=False))
    for encoding, shown in (("utf-8", True), ("ascii", False)):
        terminal = Terminal()
        monkeypatch.setattr(Terminal, "encoding", encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            main(arguments)
        assert code_of(terminal.getvalue()) is shown


# ---- the report ----

LOG = [
    "2026-01-01T01:02:03+0000 digits[7]: the owner's PIN is 123456; it is shown this once",
    "2026-01-01T01:02:04+0000 digits[7]: a wrong PIN from 192.168.178.20",
    "2026-01-01T01:02:05+0000 digits[7]: a wrong PIN from fd00::1:2, then ::1 and 127.0.0.1",
    "2026-01-01T01:02:06+0000 digits[7]: the MQTT broker house.local:1883 is away at:10.0.0.7:99.",
]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], str]:
    """A report of an appliance with secrets, and its owner's PIN."""
    monkeypatch.setattr(board, "log", lambda: LOG)
    owner = OwnerPin(owner_file(tmp_path))
    pin = owner.make_pin()
    settings = Settings(
        mqtt=MqttSettings(host="house.local", user="anna", password="s3cret"),
        camera=CameraSettings(source=f"folder:{SAMPLES}"),
    )
    config = tmp_path / "digits.toml"
    config.write_text(
        '[mqtt]\nhost = "house.local"\nuser = "anna"\npassword = "s3cret"\n'
        f'[camera]\nsource = "folder:{SAMPLES}"\n'
    )
    findings = [
        Finding("MQTT", False, "the MQTT broker house.local:1883 cannot be reached"),
        Finding("address", True, "pi, http://192.0.2.7:8080/, http://[2001:db8::7]:8080/"),
        Finding("power", None, "there is no vcgencmd that tells it"),
        Finding("version", True, "0.1.0, libraries 1.24.2"),
    ]
    in_words = list_settings(settings, read(config))
    return support_report.report(findings, settings, in_words, tmp_path, board.log()), pin


def test_a_report_holds_no_secret(told: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    text, pin = json.dumps(told[0]) + support_report.as_text(told[0]), told[1]
    held = json.loads(owner_file(tmp_path).read_bytes())
    for secret in (
        pin, held["hash"], held["secret"], held["id"], "123456", "s3cret", "anna", "house.local",
        "192.168.178.20", "192.0.2.7", "2001:db8", "fd00", "10.0.0.7",
    ):  # fmt: skip
        assert secret not in text, secret
    assert "the owner's PIN is ***" in text
    assert "then ::1 and 127.0.0.1" in text
    assert "2026-01-01T01:02:06+0000 digits[7]: the MQTT broker ***:1883 is away at:***:99." in text
    assert "http://***:8080/, http://[***]:8080/" in text
    assert "0.1.0, libraries 1.24.2" in text


def test_a_report_has_the_settings_the_versions_and_the_log(
    told: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    text = support_report.as_text(told[0])
    assert f'[camera] source = "folder:{SAMPLES}"  ({tmp_path}/digits.toml)' in text
    assert '[mqtt] password = "***"' in text
    assert "[reader] agree = 3  (default)" in text
    assert "– power: there is no vcgencmd" in text
    assert "numpy " in text
    assert text.count("digits[7]: ") == len(LOG)


def write(file: Path, told: dict[str, Any]) -> None:
    with placed("--report", file, file.parent) as out:
        support_report.write(out, told)


@pytest.mark.parametrize("name", ["report.txt", "report.json"])
def test_a_report_is_written_whole_or_not_at_all(
    told: tuple[dict[str, Any], str], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / name
    write(file, told[0])
    before = file.read_bytes()
    if name.endswith("json"):
        assert json.loads(before) == told[0]
    else:
        assert before.decode() == support_report.as_text(told[0])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=f"{name}: the report cannot be written .No space left"):
        write(file, {**told[0], "name": "another"})
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".*.new"))


def test_a_report_that_cannot_be_written_is_told_before_anything_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "none" / "report.txt"
    assert main(["doctor", "--state", str(tmp_path), "--report", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"--report {file}: cannot be written" in said.err


def test_the_folder_camera_is_judged_by_its_first_frame(tmp_path: Path) -> None:
    folder = Settings(camera=CameraSettings(source=f"folder:{SAMPLES}"))
    said = checks._camera(folder, lambda _: FolderCamera(SAMPLES, seconds=4), None)
    assert said.startswith(f"folder:{SAMPLES}, 640×480, mean grey ")
    assert said.endswith(" is poor), a 0 is read")

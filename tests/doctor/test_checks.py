"""The doctor: each part is well, wrong with the next step, or not applicable; and its report."""

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpiozero import Device
from gpiozero.pins.mock import MockFactory

from appliance.__main__ import main
from appliance.camera.folder import FolderCamera
from appliance.device import gpio, machine
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.doctor import board, support_report
from appliance.doctor.checks import Finding, describe_running, examine, find_page_address
from appliance.errors import CameraError
from appliance.outputs import leds
from appliance.picture import open_picture
from appliance.reading import Exposure, Frame, Reading, make_frame
from appliance.settings.schema import (
    LAYOUTS,
    CameraSettings,
    MqttSettings,
    Settings,
    WebSettings,
    list_settings,
    read,
)
from appliance.storage.ownership import open_output
from tests.conftest import SAMPLES

PARTS = [
    "version", "libraries", "processor", "arithmetic", "memory", "temperature", "power", "clock",
    "network", "camera", "LEDs", "button", "state directory", "captures and history", "disk",
    "address", "service", "timer", "last night", "PIN", "MNIST",
]  # fmt: skip


class SameFrame:
    """A camera that gives one frame again and again."""

    def __init__(self, frame: Frame) -> None:
        self.frame, self.count, self.closed = frame, 0, False

    def frames(self) -> Iterator[Frame]:
        while not self.closed:
            self.count += 1
            yield self.frame

    def close(self) -> None:
        self.closed = True


def no_camera(_: CameraSettings) -> Any:
    raise CameraError("no camera found: check the ribbon cable at both ends, then restart the Pi")


def pick(findings: list[Finding], what: str) -> Finding:
    (finding,) = [each for each in findings if each.what == what]
    return finding


def check(what: str, settings: Settings, **options: Any) -> Finding:
    """Return the doctor's finding on one part of an appliance without a state directory."""
    findings = examine(
        settings,
        options.pop("state", Path("/nonexistent")),
        **{"open_camera": no_camera, **options},
    )
    return pick(findings, what)


def check_frame(settings: Settings, frame: Frame) -> Finding:
    return check("camera", settings, open_camera=lambda _: SameFrame(frame))


@pytest.fixture
def settings(port: int) -> Settings:
    """Settings whose page nobody serves."""
    return Settings(web=WebSettings(port=port))


@pytest.fixture(autouse=True)
def a_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "is_a_pi", lambda: True)
    monkeypatch.setattr(machine, "addresses", lambda: ["192.0.2.7", "2001:db8::7"])


def test_every_part_has_its_line_whatever_is_missing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError

    findings = examine(settings, tmp_path / "none", open_camera=no_camera)
    assert [finding.what for finding in findings] == PARTS
    for name in ("processor", "memory", "power", "clock", "service", "timer", "disk"):
        monkeypatch.setattr(board, name, broken)
    findings = examine(settings, tmp_path / "none", open_camera=no_camera)
    assert [finding.what for finding in findings] == PARTS
    assert pick(findings, "clock") == Finding("clock", False, "RuntimeError")


def test_a_settings_file_on_the_card_is_told_of(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.settings.file.CARDS", (tmp_path,))
    (tmp_path / "digits.toml.taken").touch()
    findings = examine(settings, tmp_path / "none", open_camera=no_camera)
    assert [finding.what for finding in findings] == PARTS
    file = tmp_path / "digits.toml.txt"
    file.write_text("[web]\nport = 81\n")
    found = check("settings on the card", settings)
    assert found == Finding(found.what, True, f"{file} is taken over at the next start")
    file.write_text("[web]\nport = 'a'\n")
    (tmp_path / "digits (1).toml").touch()
    found = check("settings on the card", settings)
    assert not found.good
    assert re.fullmatch(
        r".*digits\.toml\.txt: .*must be a whole number; until then it is not taken over; "
        r".*/digits \(1\)\.toml is not taken over: call it digits.toml if it has settings",
        found.sentence,
    )


def test_what_does_not_apply_here_is_neither_good_nor_bad(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = examine(settings, tmp_path, open_camera=no_camera)
    assert pick(findings, "camera").mark == "✘"
    monkeypatch.setattr(board, "is_a_pi", lambda: False)
    findings = examine(settings, tmp_path, open_camera=no_camera)
    for what in ("camera", "LEDs", "button", "last night"):
        assert (pick(findings, what).good, pick(findings, what).mark) == (None, "–")
    assert pick(findings, "LEDs").sentence.endswith("(this machine is no Raspberry Pi)")


def test_a_camera_that_sees_a_digit_is_good(settings: Settings) -> None:
    grey = open_picture(SAMPLES / "7-shadow.jpg", "seven", at=0.0).grey
    frame = make_frame(grey, 0.0, Exposure("imx708", 0.033, 2.0))
    assert check_frame(settings, frame) == Finding(
        "camera",
        True,
        f"picamera, 640×480, mean grey {grey.mean():.0f}, imx708 exposed for 33 ms at gain 2.0, "
        "light good, sharpness good (0.85; below 0.78 is poor), a 7 is read",
    )


@pytest.mark.parametrize(
    ("grey", "sentence"),
    [(5, "the picture is too dark: more light"), (255, "the picture is too bright: less light")],
)
def test_poor_light_is_bad_and_the_sentence_says_what_helps(
    settings: Settings, grey: int, sentence: str
) -> None:
    finding = check_frame(settings, make_frame(np.full((480, 640), grey, np.uint8), 0.0))
    assert finding.good is False
    assert finding.sentence.startswith(sentence)


def test_a_blank_sheet_has_no_sharpness(settings: Settings) -> None:
    finding = check_frame(settings, open_picture(SAMPLES / "none-blank.jpg", "blank", at=0.0))
    assert finding.good
    assert finding.sentence.endswith("light good, no digit is read (blank)")


def test_a_blurred_digit_is_bad_when_it_cannot_be_read(settings: Settings) -> None:
    from scipy.ndimage import gaussian_filter

    grey = open_picture(SAMPLES / "7-shadow.jpg", "seven", at=0.0).grey
    soft = check_frame(settings, make_frame(gaussian_filter(grey, 6), 0.0))
    assert soft.good
    assert soft.sentence.endswith("sharpness poor (0.77; below 0.78 is poor), a 7 is read")
    blurred = check_frame(settings, make_frame(gaussian_filter(grey, 12), 0.0))
    assert blurred.sentence.startswith("the picture is blurred: hold still")


def test_the_eighth_frame_is_judged_and_the_camera_is_closed(settings: Settings) -> None:
    camera = SameFrame(make_frame(np.full((480, 640), 200, np.uint8), 0.0))
    check("camera", settings, open_camera=lambda _: camera)
    assert (camera.count, camera.closed) == (8, True)


def running(**reading: Any) -> dict[str, Any]:
    return {
        "camera": {"source": "picamera", "fault": None},
        "readings": 12,
        "reading": reading,
        "device": {"exposure": {"camera": "ov5647", "seconds": 0.02, "gain": 1.0}},
    }


def test_the_running_appliance_answers_for_its_camera(settings: Settings) -> None:
    answer = running(reason=None, digit=3, marks=[{}])
    assert check("camera", settings, running=answer).sentence == (
        "picamera, 12 readings by the appliance, ov5647 exposed for 20 ms at gain 1.0, "
        "light good, a 3 is read"
    )
    # Where looking needs the PIN.
    closed = {**running(), "device": {}}
    assert check("camera", settings, running=closed).sentence == (
        "picamera, 12 readings by the appliance"
    )
    dark = check("camera", settings, running=running(reason="too dark", digit=None, marks=[]))
    assert dark.good is False
    assert "too dark" in dark.sentence


def test_an_appliance_that_examines_itself_opens_neither_camera_nor_pins(
    settings: Settings, tmp_path: Path, mock_pins: MockFactory, a_seven: Reading
) -> None:
    def never(_: CameraSettings) -> Any:
        raise AssertionError

    reading = a_seven._replace(
        frame=make_frame(a_seven.frame.grey, 0.0, Exposure("imx708", 0.1, 4.0))
    )
    for newest, sentence in (
        (None, "the camera is starting"),
        (Reading(at=0.0, fault="no camera found"), "no camera found"),
        (reading, "picamera, 5 readings by the appliance, imx708 exposed for 100 ms at gain 4.0, "
                "light good, a 7 is read"),
    ):  # fmt: skip
        answer = describe_running("picamera", 5, newest, {})
        findings = examine(settings, tmp_path, open_camera=never, running=answer)
        assert pick(findings, "camera").sentence == sentence
    assert not mock_pins.pins


def test_the_pins_of_a_running_appliance_are_left_alone(
    settings: Settings, mock_pins: MockFactory
) -> None:
    for what in ("LEDs", "button"):
        assert check(what, settings, running=running(), walk=True).good is None
    assert not mock_pins.pins


def test_what_a_running_appliance_says_of_its_pins_is_told(settings: Settings) -> None:
    """Else nothing on an installed one, which always runs, would tell why the LEDs are dark."""
    answer = {**running(), "pins": {"leds": "lgpio is missing: install it"}}
    for what in ("LEDs", "button"):
        found = check(what, settings, running=answer)
        assert (found.good, found.sentence) == (False, "lgpio is missing: install it")
    answer["pins"] = {"button": "pin 27 is in use"}
    assert check("LEDs", settings, running=answer).good is None
    assert check("button", settings, running=answer).sentence == "pin 27 is in use"


def test_what_keeps_gpiozero_from_the_pins_is_told_by_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpiochip0").touch()
    monkeypatch.setattr(gpio, "_CHIPS", tmp_path)
    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "lgpio")
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    monkeypatch.setitem(sys.modules, "lgpio", None)
    for what in ("LEDs", "button"):
        found = check(what, settings)
        assert found.good is False
        assert found.sentence.startswith(f"lgpio, the library that drives the {what}, is missing")


def test_each_led_is_lit_once_and_then_the_pins_are_free(
    settings: Settings, mock_pins: MockFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leds, "_STEP_SECONDS", 0.0)
    sentence = check("LEDs", settings, walk=True).sentence
    for number in (*LAYOUTS["ten"], 17):
        states = [change.state for change in mock_pins.pin(f"GPIO{number}").states]
        assert states == [False, True, False], number
    assert "status on 17; each digit from 0 to 9 was shown" in sentence
    # The pins are free again.
    assert check("LEDs", settings).sentence.endswith("status on 17")
    assert check("button", settings).sentence == "on BCM pin 27"


def test_the_page_s_address() -> None:
    assert find_page_address(WebSettings()) == "http://192.0.2.7:8080/"
    assert find_page_address(WebSettings(port=80)) == "http://192.0.2.7/"
    assert find_page_address(WebSettings(host="2001:db8::7")) == "http://[2001:db8::7]:8080/"
    assert find_page_address(WebSettings(host="127.0.0.1")) is None
    assert find_page_address(WebSettings(host="localhost")) is None


def test_a_machine_without_a_network_has_no_good_address(
    settings: Settings, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no page answers there now" in check("address", settings).sentence
    monkeypatch.setattr(machine, "addresses", lambda: [])
    finding = check("address", settings)
    assert finding.good is False
    assert "no address on a network" in finding.sentence
    local = Settings(web=WebSettings(host="127.0.0.1", port=port))
    finding = check("address", local)
    assert f"http://127.0.0.1:{port}/, for this machine alone" in finding.sentence


def test_the_last_night_has_its_time_and_outcome(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "nights.jsonl").write_text(
        '{"at": 1, "outcome": "promoted", "why": "old"}\n'
        '{"at": 1760000000.0, "outcome": "kept", "why": "it is not better"}\n'
    )
    assert re.fullmatch(
        r"2025-\d\d-\d\d \d\d:\d\d, its network was not promoted: it is not better",
        check("last night", settings, state=tmp_path).sentence,
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


def has_qr_code(text: str) -> bool:
    return "█" in text


def test_a_terminal_gets_a_qr_code_and_a_pipe_only_with_qr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["doctor", "--config", "/dev/null", "--state", str(tmp_path)]
    main(arguments)
    assert not has_qr_code(capsys.readouterr().out)
    main([*arguments, "--qr"])
    assert has_qr_code(capsys.readouterr().out)
    main([*arguments, "--qr", "--json"])
    assert not has_qr_code(json.dumps(json.loads(capsys.readouterr().out), ensure_ascii=False))
    for encoding, expected in (("utf-8", True), ("ascii", False)):
        terminal = Terminal()
        monkeypatch.setattr(Terminal, "encoding", encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            main(arguments)
        assert has_qr_code(terminal.getvalue()) is expected


# ---- the report ----

LOG = [
    "2026-01-01T01:02:03+0000 digits[7]: the owner's PIN is 123456; it is shown this once",
    "2026-01-01T01:02:04+0000 digits[7]: a wrong PIN from 192.168.178.20",
    "2026-01-01T01:02:05+0000 digits[7]: a wrong PIN from fd00::1:2, then ::1 and 127.0.0.1",
    "2026-01-01T01:02:06+0000 digits[7]: the MQTT broker house.local:1883 is away at:10.0.0.7:99.",
]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], str]:
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


def test_a_report_holds_no_secret(report: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    facts, pin = report
    text = json.dumps(facts) + support_report.as_text(facts)
    owner = json.loads(owner_file(tmp_path).read_bytes())
    for secret in (
        pin, owner["hash"], owner["secret"], owner["id"], "123456", "s3cret", "anna", "house.local",
        "192.168.178.20", "192.0.2.7", "2001:db8", "fd00", "10.0.0.7",
    ):  # fmt: skip
        assert secret not in text, secret
    assert "the owner's PIN is ***" in text
    assert "then ::1 and 127.0.0.1" in text
    assert "2026-01-01T01:02:06+0000 digits[7]: the MQTT broker ***:1883 is away at:***:99." in text
    assert "http://***:8080/, http://[***]:8080/" in text
    assert "0.1.0, libraries 1.24.2" in text


def test_a_report_has_the_settings_the_versions_and_the_log(
    report: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    text = support_report.as_text(report[0])
    assert f'[camera] source = "folder:{SAMPLES}"  ({tmp_path}/digits.toml)' in text
    assert '[mqtt] password = "***"' in text
    assert "[reader] agree = 3  (default)" in text
    assert "– power: there is no vcgencmd" in text
    assert "numpy " in text
    assert text.count("digits[7]: ") == len(LOG)


def write(file: Path, facts: dict[str, Any]) -> None:
    with open_output("--report", file, file.parent) as out:
        support_report.write(out, facts)


@pytest.mark.parametrize("name", ["report.txt", "report.json"])
def test_a_report_is_written_whole_or_not_at_all(
    report: tuple[dict[str, Any], str], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, _ = report
    file = tmp_path / name
    write(file, facts)
    before = file.read_bytes()
    if name.endswith("json"):
        assert json.loads(before) == facts
    else:
        assert before.decode() == support_report.as_text(facts)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=f"{name}: the report cannot be written .No space left"):
        write(file, {**facts, "name": "another"})
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".*.new"))


def test_a_report_that_cannot_be_written_fails_before_any_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "none" / "report.txt"
    assert main(["doctor", "--state", str(tmp_path), "--report", str(file)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert f"--report {file}: cannot be written" in output.err


def test_the_folder_camera_is_judged_by_its_first_frame(port: int) -> None:
    folder = Settings(camera=CameraSettings(source=f"folder:{SAMPLES}"), web=WebSettings(port=port))
    camera = FolderCamera(SAMPLES, seconds=4)
    sentence = check("camera", folder, open_camera=lambda _: camera).sentence
    assert sentence.startswith(f"folder:{SAMPLES}, 640×480, mean grey ")
    assert sentence.endswith(" is poor), a 0 is read")

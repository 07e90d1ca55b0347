"""The owner's switches: settings changed on the page, LEDs tested, a new start, the power."""

import json
import logging
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from gpiozero.pins.mock import MockFactory

from appliance.device.control import Control, LogTail
from appliance.errors import PinError, PowerError, SettingsError, StateError
from appliance.outputs.leds import Leds
from appliance.settings.overrides import Changes
from appliance.settings.schema import (
    LAYOUTS,
    LedSettings,
    Settings,
    list_changeable,
    list_settings,
    read,
)
from tests.conftest import ROOT, PretendedLeds
from tests.outputs.test_leds import lit, showing


def test_a_change_counts_from_the_next_start_on(tmp_path: Path) -> None:
    running = Changes(tmp_path)
    running.change("reader", "agree", 5)
    running.change("camera", "rate", 2)
    assert running.apply_to(Settings()) == Settings()
    assert running.next == {"reader": {"agree": 5}, "camera": {"rate": 2}}
    assert running.tables == {}
    started = Changes(tmp_path)
    settings = started.apply_to(Settings())
    assert (settings.reader.agree, settings.camera.rate) == (5, 2.0)
    assert started.next == started.tables
    found = {
        (each.table, each.key): each for each in list_settings(settings, read(None), started.tables)
    }
    assert (found["reader", "agree"].value, found["reader", "agree"].origin) == ("5", "page")
    assert found["reader", "network"].origin == "default"


def test_a_change_is_taken_back(tmp_path: Path) -> None:
    Changes(tmp_path).change("reader", "agree", 5)
    Changes(tmp_path).change("reader", "agree", None)
    assert Changes(tmp_path).tables == {}


@pytest.mark.parametrize(
    ("table", "key", "value", "said"),
    [
        ("reader", "agree", 0, "must be from 1 to 50"),
        ("reader", "agree", "5", "must be a whole number"),
        ("reader", "agree", True, "must be a whole number"),
        ("web", "look", "nobody", "must be one of anyone, owner"),
        ("web", "port", 80, "set it in digits.toml"),
        ("web", "host", "127.0.0.1", "set it in digits.toml"),
        ("state", "folder", "/", "set it in digits.toml"),
        ("reader", "network", "/etc/passwd", "set it in digits.toml"),
        ("x" * 999, "<script>", 1, "set it in digits.toml"),
    ],
)
def test_what_is_refused_changes_nothing(
    tmp_path: Path, table: str, key: str, value: object, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        Changes(tmp_path).change(table, key, value)
    assert list(tmp_path.iterdir()) == []


def test_no_setting_that_could_lock_the_owner_out_is_changed_on_the_page() -> None:
    tables = {table for table, _ in list_changeable()}
    assert not tables & {"state", "leds", "data"}
    assert {key for table, key in list_changeable() if table == "web"} == {"look"}


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", '{"reader": 3}', '{"reader": {"agree": 0}}', '{"no": {"such": 1}}']
)
def test_a_damaged_file_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: str
) -> None:
    (tmp_path / "settings.json").write_text(kept)
    changes = Changes(tmp_path)
    assert changes.apply_to(Settings()) == Settings()
    assert "is left out" in caplog.text
    changes.change("reader", "agree", 4)
    assert Changes(tmp_path).apply_to(Settings()).reader.agree == 4


def test_a_full_card_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be written"):
        Changes(tmp_path / "gone").change("reader", "agree", 4)


def test_the_page_changes_settings_and_tells_what_waits(
    client: FlaskClient, tmp_path: Path
) -> None:
    sent = {"table": "reader", "key": "agree", "value": 7}
    assert client.patch("/api/v1/settings", json=sent).status_code == 200
    assert json.loads((tmp_path / "settings.json").read_text()) == {"reader": {"agree": 7}}
    assert client.get("/api/v1/settings").get_json()["waiting"]
    page = client.get("/device").text
    assert 'data-key="agree"' in page
    assert 'data-key="port"' not in page
    assert 'value="7"' in page
    wrong = client.patch("/api/v1/settings", json={**sent, "value": "<script>"})
    assert (wrong.status_code, wrong.content_type) == (400, "application/problem+json")
    for body in ({}, {"value": 1}, {"table": [], "key": {}, "value": 1}, []):
        assert client.patch("/api/v1/settings", json=body).status_code == 400


def test_each_led_is_lit_in_turn_and_then_what_is_read(
    mock_pins: MockFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.outputs.leds._STEP_SECONDS", 0.05)
    leds = Leds(LedSettings(layout="ten"))
    leds.show(showing(3))
    leds.walk()
    with pytest.raises(PinError, match="being tested already"):
        leds.walk()
    seen = set()
    until = time.monotonic() + 20
    while time.monotonic() < until and len(seen) < 10:
        # What is read meanwhile does not end the test.
        leds.show(showing(7))
        seen |= set(lit(mock_pins, LAYOUTS["ten"]))
    assert seen == set(range(10))
    leds.wait()
    assert lit(mock_pins, LAYOUTS["ten"]) == [7]
    leds.close()


def test_leds_that_are_closed_while_they_are_tested_stay_dark(mock_pins: MockFactory) -> None:
    leds = Leds(LedSettings(layout="ten"))
    leds.walk()
    leds.close()
    assert lit(mock_pins, LAYOUTS["ten"]) == []


def test_the_owner_tests_the_leds_and_a_stranger_does_not(
    client: FlaskClient, leds: PretendedLeds
) -> None:
    answer = client.post("/api/v1/leds/test")
    assert (answer.status_code, leds.walks) == (202, 1)


def test_without_leds_it_is_said(tmp_path: Path) -> None:
    control = Control(changes=Changes(tmp_path), again=lambda: None)
    with pytest.raises(PinError, match="has no LEDs"):
        control.test_leds()


def test_why_there_are_no_leds_is_said_where_they_are_tested(tmp_path: Path) -> None:
    faults = {"leds": "lgpio is missing: install it"}
    control = Control(changes=Changes(tmp_path), again=lambda: None, pin_faults=faults)
    with pytest.raises(PinError, match="lgpio is missing: install it"):
        control.test_leds()


@pytest.mark.parametrize("what", ["reboot", "power-off"])
def test_systemd_is_asked_through_a_file(client: FlaskClient, tmp_path: Path, what: str) -> None:
    assert client.post(f"/api/v1/device/{what}").status_code == 202
    assert (tmp_path / "power").read_text() == what
    unit = (ROOT / "systemd" / "digits-power.service").read_text()
    assert f"{what})" in unit


def test_what_was_not_installed_is_not_switched_off(tmp_path: Path) -> None:
    control = Control(changes=Changes(tmp_path), again=lambda: None)
    with pytest.raises(PowerError, match="where it was started"):
        control.power("power-off")
    lost = Control(changes=Changes(tmp_path), again=lambda: None, power=tmp_path / "no" / "power")
    with pytest.raises(PowerError, match="cannot be written"):
        lost.power("power-off")


def test_it_starts_again_when_that_has_been_answered(client: FlaskClient, tmp_path: Path) -> None:
    assert client.post("/api/v1/device/start-again").status_code == 202
    until = time.monotonic() + 20
    while not (tmp_path / "again").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert (tmp_path / "again").exists()


def test_the_logs_last_lines_are_on_the_page(client: FlaskClient, control: Control) -> None:
    log = logging.getLogger("appliance.somewhere")
    log.addHandler(control.lines)
    log.setLevel(logging.INFO)
    try:
        for place in range(300):
            log.info("line %d", place)
        log.warning("<b>%s</b>", "bold")
        log.debug("not this")
    finally:
        log.removeHandler(control.lines)
    lines = client.get("/api/v1/log").get_json()["lines"]
    assert len(lines) == 100
    assert lines[-2]["text"] == "line 299"
    assert (lines[-1]["level"], lines[-1]["text"]) == ("warning", "<b>bold</b>")
    page = client.get("/device").text
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "line 299" in page


def test_lines_are_kept_without_their_traceback() -> None:
    lines = LogTail()
    log = logging.getLogger("appliance.elsewhere")
    log.addHandler(lines)
    try:
        raise ValueError("secret")
    except ValueError:
        log.exception("it failed")
    finally:
        log.removeHandler(lines)
    assert [text for _, _, text in lines.last()] == ["it failed"]


def test_the_doctor_looks_once_at_a_time(client: FlaskClient, control: Control) -> None:
    asked = []

    def examine() -> list[dict[str, object]]:
        asked.append(client.post("/api/v1/doctor"))
        return [{"what": "clock", "good": None, "sentence": "it is not told"}]

    control._examine = examine
    answer = client.post("/api/v1/doctor")
    assert answer.get_json() == {
        "findings": [{"what": "clock", "good": None, "sentence": "it is not told"}]
    }
    assert asked[0].status_code == 503
    assert "ask again in a few seconds" in asked[0].get_json()["detail"]


def test_a_doctor_that_fails_can_run_again(tmp_path: Path) -> None:
    def broken() -> list[dict[str, object]]:
        raise OSError

    control = Control(changes=Changes(tmp_path), again=lambda: None, examine=broken)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011  # whatever it is
            control.run_doctor()

"""The device's view: the machine, the versions, the settings and where each comes from."""

import dataclasses
import html
import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from appliance.device import machine
from appliance.device.control import Control
from appliance.device.owner_pin import OwnerPin
from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import Latest
from appliance.reading import Exposure, Reading
from appliance.settings.schema import CONFIG, Settings, list_settings, load, read
from appliance.web.views.device import blueprint


def test_every_setting_has_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "digits.toml"
    file.write_text("[camera]\nrate = 2\n[web]\nport = 8080\n")
    settings = load(file)
    settings = dataclasses.replace(settings, web=dataclasses.replace(settings.web, host="::1"))
    listed = {(each.table, each.key): each for each in list_settings(settings, read(file))}
    assert (listed["camera", "rate"].value, listed["camera", "rate"].origin) == (
        "2.0",
        str(file),
    )
    # Named in the file with the value that it would have anyway.
    assert listed["web", "port"].origin == str(file)
    assert (listed["web", "host"].value, listed["web", "host"].origin) == (
        '"::1"',
        "command line",
    )
    assert listed["reader", "agree"].origin == "default"
    assert listed["leds", "pins"].value == "[]"
    count = sum(len(dataclasses.fields(getattr(settings, table.name)))
                for table in dataclasses.fields(settings))  # fmt: skip
    assert len(listed) == count


def test_without_a_file_all_are_the_defaults() -> None:
    assert not CONFIG.exists()
    assert {each.origin for each in list_settings(Settings(), read(None))} == {"default"}


def test_the_view_describes_the_machine(
    client: FlaskClient, latest: Latest, a_seven: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest.show(a_seven)
    monkeypatch.setattr(machine, "temperature", lambda: 48.3)
    monkeypatch.setattr(machine, "throttled", lambda: "the power supply sags")
    monkeypatch.setattr(machine, "uptime", lambda: 93784.0)
    page = client.get("/device").text
    for text in ("48 °C", "the power supply sags", "1 d 2 h 3 min", "numpy", "working",
                 "frames read a second", "<caption>[camera]</caption>"):  # fmt: skip
        assert text in page
    body = client.get("/api/v1/device").get_json()
    assert body["celsius"] == 48.3
    assert body["memory_resident_bytes"] > 10_000_000
    assert body["disk_free_bytes"] > 0


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (machine.Clock(True, 0.0, 0.0, None), "</dd>"),
        (machine.Clock(False, 0.0, 0.0, None), ", not set by the network since the start: it may"),
        (
            machine.Clock(False, 20 * 86400.0, 1.8e9, Path("owner.json")),
            ", wrong: at least 20 d behind, and so are the times of readings; it learns three",
        ),
    ],
)
def test_the_view_tells_whether_the_clock_can_be_believed(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, found: machine.Clock, words: str
) -> None:
    monkeypatch.setattr(machine, "examine_clock", lambda *_: found)
    page = client.get("/device").text
    assert re.search(rf"<dt>Clock</dt><dd>20[0-9 :-]{{14}}{re.escape(words)}", page)
    body = client.get("/api/v1/device").get_json()
    assert body["clock_is_set"] == found.is_set
    assert body["clock_behind_seconds"] == found.behind


def test_the_view_tells_of_an_update_that_did_not_run(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = machine.GivenUp("2.0.0-abc", "1.9.0-def", 1.8e9, "the page does not answer")
    monkeypatch.setattr(machine, "find_given_up", lambda: given_up)
    page = client.get("/device").text
    assert "<dt>Last update</dt><dd>the release 2.0.0-abc did not run, and this one" in page
    assert client.get("/api/v1/device").get_json()["update_given_up"] == "2.0.0-abc"


@pytest.mark.parametrize(
    ("exposure", "words"),
    [
        (
            Exposure("imx219", 0.02, 1.5, "1640×1232", 1.0, 1.0),
            "the whole view of its sensor (mode 1640×1232)",
        ),
        (
            Exposure("imx219", 0.02, 1.5, "640×480", 0.39, 0.3896),
            "39 % of its sensor's width and 39 % of its height (mode 640×480)",
        ),
    ],
)
def test_the_view_tells_how_much_the_camera_sees(
    client: FlaskClient, latest: Latest, a_seven: Reading, exposure: Exposure, words: str
) -> None:
    assert a_seven.frame is not None
    frame = dataclasses.replace(a_seven.frame, exposure=exposure)
    latest.show(a_seven._replace(frame=frame))
    assert words in html.unescape(client.get("/device").text)


def test_a_fault_of_the_camera_is_its_own_sentence(client: FlaskClient, latest: Latest) -> None:
    assert "the camera is starting" in client.get("/device").text


def test_unknown_values_are_left_out(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "temperature", lambda: None)
    page = client.get("/device").text
    assert "Temperature" not in page
    assert "Reading takes" not in page


def test_holding_down_f5_starts_no_program_each_time(
    latest: Latest,
    networks: LiveNetwork,
    control: Control,
    owner: OwnerPin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(machine, "throttled", lambda: calls.append(1))
    now = 1000.0
    app = Flask("appliance.web")
    app.register_blueprint(
        blueprint(
            latest=latest,
            networks=networks,
            control=control,
            owner=owner,
            state=tmp_path,
            in_force=[],
            clock=lambda: now,
        )
    )
    for _ in range(50):
        assert app.test_client().get("/api/v1/device").status_code == 200
    assert len(calls) == 1
    now = 1006.0
    app.test_client().get("/api/v1/device")
    assert len(calls) == 2


def test_an_address_is_one_of_this_machine() -> None:
    for address in machine.addresses():
        assert ":" in address or address.count(".") == 3

"""`digits run` with a broker: what it publishes, the button, a clean stop and a kill."""

import json
import signal
from pathlib import Path

import pytest

from appliance.__main__ import main
from appliance.commands.run import _own_names
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.outputs.discovery import node_of
from tests.broker import broker, watching
from tests.conftest import SAMPLES, free_port
from tests.end_to_end.test_run import OwnerClient, get, running

BASE = f"school/{node_of(_own_names()[0])}"


def write_config(folder: Path, broker_port: int, *, agree: int = 1) -> Path:
    config = folder / "digits.toml"
    config.write_text(
        f"[camera]\nrate = 20\npicture_seconds = 0\n[reader]\nagree = {agree}\n"
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\ntopic = "school"\n'
        'user = "box"\npassword = "hunter2"\n'
    )
    return config


def test_readings_are_published_and_the_brokers_button_reads(port: int, tmp_path: Path) -> None:
    broker_port = free_port()
    config = write_config(tmp_path, broker_port)
    arguments = ["--camera", f"folder:{SAMPLES}", "--leds", "none", "--config", str(config)]
    with broker(tmp_path, broker_port), watching(broker_port) as watcher:
        with running(port, tmp_path / "state", *arguments) as (process, _):
            for digit in range(10):
                assert watcher.wait_digit(f"{BASE}/state", digit)["confidence"] > 0.5
            watcher.wait(f"{BASE}/availability", lambda text: text == "online")
            pin = OwnerPin(owner_file(tmp_path / "state")).make_pin()
            settings = OwnerClient(port, pin).get("/api/v1/settings")["settings"]
            assert [each["value"] for each in settings if each["key"] == "password"] == ['"***"']
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        assert watcher.texts(f"{BASE}/availability")[-1] == "offline"
        watcher.forget()
        # No sample is shown for 50 readings: a digit is published when the button asks for it.
        write_config(tmp_path, broker_port, agree=50)
        with running(port, tmp_path / "state", *arguments) as (process, _):
            watcher.wait(f"{BASE}/availability", lambda text: text == "online")
            watcher.wait_digit(f"{BASE}/state", None)
            button = json.loads(next(text for topic, text, _ in watcher.seen if "button" in topic))
            watcher.say(button["command_topic"], button["payload_press"])
            watcher.wait(f"{BASE}/state", lambda text: json.loads(text)["digit"] is not None)
            process.kill()
            # The broker publishes the last will.
            watcher.wait(f"{BASE}/availability", lambda text: text == "offline")


def test_the_appliance_reads_without_its_broker(port: int, tmp_path: Path) -> None:
    config = write_config(tmp_path, free_port())
    arguments = ["--camera", f"folder:{SAMPLES}", "--leds", "none", "--config", str(config)]
    with running(port, tmp_path / "state", *arguments) as (process, lines):
        lines += [line for line, _ in zip(process.stderr, range(30), strict=False)]
        assert get(port, "/api/v1/health")["status"] == "ok"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        lines += process.stderr.readlines()
    assert lines[-1].endswith("stopped\n")
    assert sum("cannot be reached" in line for line in lines) == 1
    assert "hunter2" not in "".join(lines)


def test_the_doctor_checks_the_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broker_port = free_port()
    arguments = ["doctor", "--config", str(write_config(tmp_path, broker_port)), "--state", "x"]
    with broker(tmp_path, broker_port):
        main(arguments)
        assert f"✔ MQTT: the broker 127.0.0.1:{broker_port} takes" in capsys.readouterr().out
    main(arguments)
    assert "✘ MQTT: the MQTT broker 127.0.0.1" in capsys.readouterr().out
    main(["doctor", "--state", "x"])
    assert "MQTT" not in capsys.readouterr().out

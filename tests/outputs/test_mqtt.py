"""The MQTT output, against a real Mosquitto on this machine."""

import json
import logging
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from appliance import __version__
from appliance.errors import MqttError
from appliance.outputs.discovery import Topics, messages, node_of
from appliance.outputs.mqtt import PACE_SECONDS, Mqtt, reach
from appliance.reading import Reading
from appliance.settings.schema import MqttSettings
from tests.broker import SECONDS, Broker, Watcher, broker, watching

BASE = "digits/box"
STATE, AVAILABILITY, READ = f"{BASE}/state", f"{BASE}/availability", f"{BASE}/read"


def seen(digit: int | None, confidence: float = 0.99, **more: Any) -> Reading:
    """A reading that shows its digit, or none."""
    if digit is None:
        more = {"reason": "blank", **more}
        confidence = 0.0
    return Reading(at=1000.0, digit=digit, settled=digit, confidence=confidence, **more)


@contextmanager
def little_memory() -> Iterator[None]:
    """Fail where the block keeps more than half a megabyte: ten thousand states are larger."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()


@contextmanager
def telling(port: int, pressed: Any = None, **more: Any) -> Iterator[Mqtt]:
    """The output, looked at often as the loop does."""
    clock, retry = more.pop("clock", time.monotonic), more.pop("retry", (0.05, 0.05))
    settings = MqttSettings(host="127.0.0.1", port=port, **more)
    mqtt = Mqtt(settings, "box", "http://box.local:8080", retry=retry, clock=clock)
    mqtt.start(pressed or (lambda: None))
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            mqtt.look()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield mqtt
    finally:
        ended.set()
        looking.join()
        mqtt.close()


class Logged(logging.Handler):
    """Has the lines that the output logs; `wait` for one with some words."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self._news = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._news:
            self.lines.append(record.getMessage())
            self._news.notify_all()

    def wait(self, words: str) -> None:
        with self._news:
            came = self._news.wait_for(lambda: any(words in each for each in self.lines), SECONDS)
        assert came, self.lines


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Logged]:
    caplog.set_level(logging.INFO)
    handler, logger = Logged(), logging.getLogger("appliance.outputs.mqtt")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def mosquitto(tmp_path: Path, port: int) -> Iterator[Broker]:
    with broker(tmp_path, port) as made:
        yield made


@pytest.fixture
def watcher(mosquitto: Broker) -> Iterator[Watcher]:
    with watching(mosquitto.port) as made:
        yield made


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of one who takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.slow
def test_a_digit_is_told_and_kept_by_the_broker(watcher: Watcher, port: int) -> None:
    with telling(port) as mqtt:
        mqtt.show(seen(7, 0.987))
        watcher.wait_digit(STATE, 7)
        with watching(port) as late:
            told = late.wait_digit(STATE, 7)
            assert (STATE, json.dumps(told), True) in late.seen
    assert told == {"digit": 7, "confidence": 0.99, "reason": None, "fault": None, "at": 1000.0}


def test_no_digit_has_its_reason_and_a_fault_its_sentence(watcher: Watcher, port: int) -> None:
    with telling(port) as mqtt:
        mqtt.show(seen(None))
        told = watcher.wait_digit(STATE, None)
        assert (told["reason"], told["confidence"], told["fault"]) == ("blank", 0.0, None)
        mqtt.show(Reading(at=2.0, fault="no camera found"))
        watcher.wait(STATE, lambda text: json.loads(text)["fault"] == "no camera found")
        mqtt.show(seen(None))
        mqtt.show(seen(3))
        assert watcher.wait_digit(STATE, 3)["fault"] is None


def test_readings_that_tell_nothing_new_are_not_published(watcher: Watcher, port: int) -> None:
    now = 0.0
    with telling(port, clock=lambda: now) as mqtt:
        mqtt.show(seen(4))
        watcher.wait_digit(STATE, 4)
        for at in range(50):
            now += 100
            mqtt.show(Reading(at=at, digit=4, settled=4, confidence=0.9901))
            # Another digit that is voted on, and one that is refused: the 4 is shown still.
            mqtt.show(Reading(at=at, digit=9, settled=4, confidence=0.8))
            mqtt.show(Reading(at=at, settled=4, reason="blurred"))
            mqtt.look()
        mqtt.show(seen(5))
        watcher.wait_digit(STATE, 5)
    assert [json.loads(text)["digit"] for text in watcher.texts(STATE)] == [4, 5]


def test_a_new_confidence_waits_its_time_and_a_new_digit_does_not(
    watcher: Watcher, port: int
) -> None:
    now = 50.0
    with telling(port, clock=lambda: now) as mqtt:
        mqtt.show(seen(4, 0.99))
        watcher.wait_digit(STATE, 4)
        for confidence in (0.90, 0.85, 0.80):
            mqtt.show(seen(4, confidence))
        # The frames are alike from now on: nothing is shown again.
        now += PACE_SECONDS
        watcher.wait(STATE, lambda text: json.loads(text)["confidence"] == 0.8)
        mqtt.show(seen(4, 0.7))
        mqtt.show(seen(6, 0.6))
        watcher.wait_digit(STATE, 6)
    told = [json.loads(text) for text in watcher.texts(STATE)]
    assert [each["confidence"] for each in told] == [0.99, 0.8, 0.6]


def test_it_is_online_until_it_is_closed(watcher: Watcher, port: int) -> None:
    with telling(port) as mqtt:
        watcher.wait(AVAILABILITY, lambda text: text == "online")
        mqtt.close()
        watcher.wait(AVAILABILITY, lambda text: text == "offline")
    # Closed twice, it has said so once.
    assert watcher.texts(AVAILABILITY) == ["online", "offline"]


def test_home_assistant_finds_what_it_needs(watcher: Watcher, port: int) -> None:
    with telling(port):
        watcher.wait(AVAILABILITY)
    found = {
        topic: json.loads(text)
        for topic, text, _ in watcher.seen
        if topic.startswith("homeassistant/")
    }
    assert set(found) == {
        "homeassistant/sensor/digits_box_digit/config",
        "homeassistant/sensor/digits_box_confidence/config",
        "homeassistant/binary_sensor/digits_box_fault/config",
        "homeassistant/button/digits_box_read/config",
    }
    # As its documentation of MQTT discovery has it: the topic's form, and which keys must be there.
    form = re.compile(r"homeassistant/(sensor|binary_sensor|button)/[A-Za-z0-9_-]+/config")
    required = {"sensor": "state_topic", "binary_sensor": "state_topic", "button": "command_topic"}
    for topic, told in found.items():
        kind = form.fullmatch(topic)
        assert kind is not None
        assert told[required[kind[1]]] in (STATE, READ)
        assert told["availability_topic"] == AVAILABILITY
        assert told["device"] == {
            "identifiers": ["digits_box"],
            "name": "digits box",
            "manufacturer": "digit appliance",
            "model": "reader of handwritten digits",
            "sw_version": __version__,
            "configuration_url": "http://box.local:8080",
        }
        assert told["origin"]["name"]
        assert told["name"]
    assert len({told["unique_id"] for told in found.values()}) == 4
    confidence = found["homeassistant/sensor/digits_box_confidence/config"]
    assert (confidence["unit_of_measurement"], confidence["state_class"]) == ("%", "measurement")
    fault = found["homeassistant/binary_sensor/digits_box_fault/config"]
    assert fault["device_class"] == "problem"
    assert found["homeassistant/button/digits_box_read/config"]["payload_press"] == "PRESS"


def test_home_assistants_templates_give_what_it_shows() -> None:
    jinja = pytest.importorskip("jinja2")
    told = messages("ha", Topics("t/box"), "box", version="1", page="")
    templates = [json.loads(text).get("value_template") for text in told.values()]

    def shown(**state: Any) -> list[str]:
        return [jinja.Template(each).render(value_json=state) for each in templates if each]

    # "None" is Home Assistant's word for unknown.
    assert shown(digit=7, confidence=0.98, fault=None) == ["7", "98", "OFF"]
    assert shown(digit=None, confidence=0.0, fault=None) == ["None", "None", "OFF"]
    assert shown(digit=None, confidence=0.0, fault="no camera") == ["None", "None", "ON"]
    assert shown(digit=0, confidence=1.0, fault=None) == ["0", "100", "OFF"]


def test_discovery_comes_again_when_home_assistant_starts(watcher: Watcher, port: int) -> None:
    config = "homeassistant/sensor/digits_box_digit/config"
    with telling(port):
        watcher.wait(AVAILABILITY)
        watcher.forget()
        for text in ("offline", "", "Online", "online"):
            watcher.say("homeassistant/status", text)
        watcher.wait(config)
    assert len(watcher.texts(config)) == 1


def test_without_a_prefix_home_assistant_is_not_told(watcher: Watcher, port: int) -> None:
    with telling(port, discovery="", topic="school/room.3"):
        watcher.wait("school/room.3/box/availability")
    assert {topic.split("/")[0] for topic, _, _ in watcher.seen} == {"school"}


def test_the_button_reads_now_and_nothing_else_does(watcher: Watcher, port: int) -> None:
    presses: list[int] = []
    pressed = threading.Event()

    def press() -> None:
        presses.append(1)
        pressed.set()

    # Pressed before the appliance was there, and kept by the broker.
    watcher.say(READ, "PRESS", retain=True)
    with telling(port, press):
        watcher.wait(AVAILABILITY)
        for junk in ("", "press", "PRESS ", "PRESSPRESS", "\x00", "{}", "PRESS" * 10_000):
            watcher.say(READ, junk)
        watcher.say(f"{READ}/more", "PRESS")
        watcher.say("digits/other/read", "PRESS")
        assert presses == []
        watcher.say(READ, "PRESS")
        assert pressed.wait(SECONDS)
    assert presses == [1]


@pytest.mark.slow
def test_all_comes_again_when_the_broker_does(mosquitto: Broker, port: int) -> None:
    with telling(port) as mqtt:
        mqtt.show(seen(8))
        with watching(port) as before:
            before.wait_digit(STATE, 8)
        mosquitto.stop()
        mqtt.show(seen(2))
        mqtt.show(seen(3))
        mosquitto.start()
        with watching(port) as after:
            after.wait(AVAILABILITY, lambda text: text == "online")
            after.wait_digit(STATE, 3)
            after.wait("homeassistant/button/digits_box_read/config")
            assert len(after.texts(STATE)) == 1
            after.say(READ, "PRESS")


@pytest.mark.slow
def test_a_broker_that_is_killed_is_noticed_and_found_again(
    mosquitto: Broker, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with telling(port) as mqtt:
        mqtt.show(seen(1))
        for digit in (2, 3):
            with watching(port) as watcher:
                watcher.wait(AVAILABILITY, lambda text: text == "online")
            mosquitto.stop(signal.SIGKILL)
            mosquitto.start()
            mqtt.show(seen(digit))
            with watching(port) as watcher:
                watcher.wait_digit(STATE, digit)
    told = [line for line in caplog.messages if "broker" in line]
    where = f"127.0.0.1:{port}"
    assert told[0] == f"the MQTT broker {where} is told the readings"
    assert told[1] == f"the MQTT broker {where} is gone: it is tried again and again"
    # That it is back is logged once it has been there for a while.
    assert told.count(told[0]) == told.count(told[1]) == 1


@pytest.mark.slow
def test_a_broker_that_is_away_is_logged_hourly_and_once_when_it_is_back(
    tmp_path: Path, port: int, logged: Logged
) -> None:
    # A minute passes with each attempt, and when it is back with each look.
    minutes = count(step=60.0)
    with telling(port, clock=lambda: next(minutes), retry=(0.001, 0.001)):
        logged.wait("(for 2 hours, 121 times)")
        with broker(tmp_path, port):
            logged.wait("is told the readings")
            away, one, two, *more, back = logged.lines
    assert "cannot be reached (Connection refused)" in away
    assert [one, two] == [f"{away} (for 1 hour, 61 times)", f"{away} (for 2 hours, 121 times)"]
    # How many attempts there were before it was back is not known.
    assert all(each.startswith(f"{away} (for ") for each in more)
    assert back == f"the MQTT broker 127.0.0.1:{port} is told the readings"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nothing", "mute"])
def test_while_the_broker_is_away_nothing_waits_and_nothing_piles_up(
    kind: str, port: int, mute: int
) -> None:
    with telling(mute if kind == "mute" else port) as mqtt, little_memory():
        for number in range(10_000):
            mqtt.show(seen(number % 10))
            mqtt.look()


@pytest.mark.slow
def test_only_the_newest_of_many_is_told_when_the_broker_comes(
    tmp_path: Path, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with telling(port) as mqtt:
        for number in range(10_000):
            mqtt.show(seen(number % 10))
        mqtt.show(seen(None))
        with broker(tmp_path, port), watching(port) as watcher:
            watcher.wait_digit(STATE, None)
            mqtt.show(seen(5))
            watcher.wait_digit(STATE, 5)
            told = [json.loads(text)["digit"] for text in watcher.texts(STATE)]
            assert told == [None, 5]
    (away,) = [line for line in caplog.messages if "cannot be reached" in line]
    assert f"127.0.0.1:{port} cannot be reached (Connection refused): check 'host'" in away


def test_a_broker_that_hangs_holds_nothing_up(mosquitto: Broker, port: int) -> None:
    with telling(port) as mqtt, watching(port) as watcher:
        watcher.wait(AVAILABILITY)
        mosquitto.hang()
        try:
            with little_memory():
                for number in range(20_000):
                    mqtt.show(seen(number % 10))
        finally:
            mosquitto.go_on()
        mqtt.show(seen(None))
        watcher.wait_digit(STATE, None)


def test_closing_does_not_wait_for_a_broker_that_hangs(mosquitto: Broker, port: int) -> None:
    with telling(port) as mqtt:
        with watching(port) as watcher:
            watcher.wait(AVAILABILITY)
        mosquitto.hang()
        try:
            closing = threading.Thread(target=mqtt.close)
            closing.start()
            closing.join(SECONDS)
            assert not closing.is_alive()
        finally:
            mosquitto.go_on()


@pytest.mark.slow
def test_two_of_one_name_send_each_other_away_less_and_less_often(
    mosquitto: Broker, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = MqttSettings(host="127.0.0.1", port=port)
    both = [Mqtt(settings, "box", retry=(0.05, 60)) for _ in range(2)]
    for each in both:
        each.start(lambda: None)
    mosquitto.wait_for_log("already connected", 3)
    for each in both:
        each.close()
    assert max(each._wait for each in both) >= 0.1
    # Each logs once that it is there and once that it is sent away.
    assert len(caplog.messages) <= 4


@pytest.fixture
def guarded(tmp_path: Path, port: int) -> Iterator[Broker]:
    """A broker that knows one name, box, with the password sesame."""
    passwords = tmp_path / "passwords"
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed: run 'sudo apt install mosquitto'")
    subprocess.run([program, "-c", "-b", passwords, "box", "sesame"], check=True)
    passwords.chmod(0o600)
    with broker(tmp_path, port, f"password_file {passwords}", anonymous=False) as made:
        yield made


@pytest.mark.slow
def test_a_wrong_password_is_one_line_in_the_log(
    guarded: Broker, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    settings = MqttSettings(host="127.0.0.1", port=port, user="box", password="hunter2")
    with telling(port, user=settings.user, password=settings.password) as mqtt:
        for attempt in (1, 2, 3):
            guarded.wait_for_log("not authorised", attempt)
            mqtt.show(seen(attempt))
    (told,) = caplog.messages
    assert f"the MQTT broker 127.0.0.1:{port} refuses the appliance (" in told
    assert "check 'user' and 'password'" in told
    assert "hunter2" not in caplog.text + repr(settings)


def test_the_right_password_is_taken(
    guarded: Broker, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with telling(port, user="box", password="sesame"):
        guarded.wait_for_log("Received PUBLISH from digits-box", 5)
    assert "is told the readings" in caplog.text


@pytest.mark.slow
def test_what_is_no_broker_is_said_to_be_none_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The last one accepts, then sends a packet that version 1.6 of the library does not survive.
    broken = b"\x20\x02\x00\x00\x3c\x0f\x44\x6f" + bytes(13)
    answers = iter([b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x7f", b"", broken, b""])
    done = threading.Event()

    def serve(server: socket.socket) -> None:
        for answer in answers:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)
        done.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve, args=[server], daemon=True)
        serving.start()
        with telling(server.getsockname()[1]) as mqtt:
            assert done.wait(SECONDS)
            mqtt.show(seen(1))
        serving.join(SECONDS)
    assert "does not answer as an MQTT broker: check 'host'" in caplog.messages[0]
    assert len(caplog.messages) <= 4


def test_the_check_says_what_is_wrong(guarded: Broker, port: int, mute: int) -> None:
    def said(**more: Any) -> str:
        with pytest.raises(MqttError) as caught:
            reach(MqttSettings(**{"host": "127.0.0.1", "port": port, **more}), seconds=0.5)
        return str(caught.value)

    right = MqttSettings(host="127.0.0.1", port=port, user="box", password="sesame")
    assert reach(right, SECONDS) == f"127.0.0.1:{port}"
    with socket.create_server(("127.0.0.1", 0)) as gone:
        free = gone.getsockname()[1]
    assert "(Connection refused): check 'host', 'port' and 'tls'" in said(port=free)
    assert "does not answer as an MQTT broker" in said(port=mute)
    refused = said(user="box", password="hunter2")
    assert "refuses the appliance" in refused
    assert "hunter2" not in refused
    assert "cannot be reached" in said(host="no-such-host.invalid")


# The library leaves a connection that it does not trust to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_encrypted_connection_needs_a_certificate_that_is_trusted(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: run 'sudo apt install openssl'")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate,
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    lines = f"certfile {certificate}", f"keyfile {key}"
    settings = MqttSettings(host="127.0.0.1", port=port, tls=True)
    with broker(tmp_path, port, *lines) as encrypted:
        with pytest.raises(MqttError, match=r"cannot be reached .*certificate"):
            reach(settings, SECONDS)
        monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(certificate))
        assert reach(settings, SECONDS) == f"127.0.0.1:{port}"
        with telling(port, tls=True) as mqtt:
            mqtt.show(seen(7))
            encrypted.wait_for_log(f"'{STATE}'", 1)


@pytest.mark.parametrize(
    ("host", "node"),
    [
        ("raspberrypi", "raspberrypi"),
        ("Class_3-b", "Class_3-b"),
        ("kitchen/+/#", "kitchen"),
        ("a b\u00fc\n\x00c", "a-b-c"),
        ("$SYS", "SYS"),
        ("\u4e2d", "appliance"),
        ("", "appliance"),
        ("x" * 300, "x" * 64),
    ],
)
def test_a_hosts_name_becomes_one_level_of_a_topic(host: str, node: str) -> None:
    assert node_of(host) == node


def test_a_hostile_hosts_name_reaches_no_other_topic(watcher: Watcher, port: int) -> None:
    mqtt = Mqtt(MqttSettings(host="127.0.0.1", port=port), '../#"}\n', 'http://#"}/')
    mqtt.start(lambda: None)
    watcher.wait("digits/appliance/availability")
    mqtt.close()
    for topic, text, _ in watcher.seen:
        assert re.fullmatch(r"(digits|homeassistant)(/[A-Za-z0-9_-]+)+", topic)
        if topic.endswith("/config"):
            assert "configuration_url" not in json.loads(text)["device"]


def test_without_the_library_a_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if it were not installed; it is no stand-in.
    monkeypatch.setitem(sys.modules, "paho", None)
    monkeypatch.setitem(sys.modules, "paho.mqtt", None)
    with pytest.raises(MqttError, match="apt install python3-paho-mqtt"):
        Mqtt(MqttSettings(host="broker"), "box")

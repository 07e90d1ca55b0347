"""A real Mosquitto for the tests, and one who listens to all that it is told."""

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.outputs.mqtt import new_client
from appliance.settings.schema import MqttSettings

# Debian has it where only root's PATH leads.
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
SECONDS = 30.0
"""What has not come by then does not come; a slow machine is no failure."""

Message = tuple[str, str, bool]


class Broker:
    """One Mosquitto on a port of this machine; it forgets all when it stops. `log` is its own."""

    def __init__(self, folder: Path, port: int, *lines: str, anonymous: bool = True) -> None:
        self.port = port
        self.log: list[str] = []
        self._news = threading.Condition()
        self._file = folder / "mosquitto.conf"
        # It would give up root's rights, and could not read the files of the test.
        own = ["user root"] if os.geteuid() == 0 else []
        own += [f"listener {port} 127.0.0.1", f"allow_anonymous {str(anonymous).lower()}"]
        own += ["persistence false", "log_dest stderr", "log_type all", *lines]
        self._file.write_text("\n".join(own) + "\n")
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.log.clear()
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._file)], stderr=subprocess.PIPE, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._read, args=[self._process.stderr])
        self._reader.start()
        self.wait_for_log(" running", 1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait_for_log(self, words: str, count: int) -> None:
        """Wait until the broker has logged some words so many times."""
        with self._news:
            came = self._news.wait_for(
                lambda: sum(words in line for line in self.log) >= count, SECONDS
            )
        assert came, self.log

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self.log.append(line)
                    self._news.notify_all()


@contextmanager
def broker(folder: Path, port: int, *lines: str, anonymous: bool = True) -> Iterator[Broker]:
    """A running broker, ended afterwards; skips the test where Mosquitto is not installed."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: run 'sudo apt install mosquitto'")
    made = Broker(folder, port, *lines, anonymous=anonymous)
    try:
        yield made
    finally:
        made.stop(signal.SIGKILL)


class Watcher:
    """Has `seen` every message (topic, text, retained) since it came; `say` publishes one."""

    def __init__(self, port: int) -> None:
        self.seen: list[Message] = []
        self._news = threading.Condition()
        self._ready = False
        self._client = new_client(MqttSettings(host="127.0.0.1", port=port), "watcher")
        self._client.on_message = self._came
        self._client.on_subscribe = self._subscribed
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#")
        self._client.loop_start()
        with self._news:
            assert self._news.wait_for(lambda: self._ready, SECONDS)

    def say(self, topic: str, text: str | bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, text, qos=1, retain=retain).wait_for_publish(SECONDS)

    def wait(self, topic: str, right: Callable[[str], bool] = lambda text: True) -> str:
        """Return the first text of a topic that is right, of those seen or to come."""
        with self._news:
            found = self._news.wait_for(
                lambda: [text for each, text, _ in self.seen if each == topic and right(text)],
                SECONDS,
            )
            assert found, (topic, self.seen)
            return str(found[0])

    def wait_digit(self, topic: str, digit: int | None) -> dict[str, Any]:
        text = self.wait(topic, lambda text: json.loads(text)["digit"] == digit)
        return dict(json.loads(text))

    def texts(self, topic: str) -> list[str]:
        with self._news:
            return [text for each, text, _ in self.seen if each == topic]

    def forget(self) -> None:
        with self._news:
            self.seen.clear()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _came(self, client: Any, data: Any, message: Any) -> None:
        with self._news:
            self.seen.append((message.topic, message.payload.decode(), message.retain))
            self._news.notify_all()

    def _subscribed(self, *rest: Any) -> None:
        with self._news:
            self._ready = True
            self._news.notify_all()


@contextmanager
def watching(port: int) -> Iterator[Watcher]:
    watcher = Watcher(port)
    try:
        yield watcher
    finally:
        watcher.close()

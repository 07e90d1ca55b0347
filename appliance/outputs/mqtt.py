"""What is shown, told to an MQTT broker; and a button there, as Home Assistant has it."""

import json
import logging
import ssl
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from appliance import __version__
from appliance.errors import MqttError
from appliance.outputs.discovery import BIRTH, PRESS, Topics, messages, node_of
from appliance.outputs.fault_log import FaultLog
from appliance.reading import Reading
from appliance.settings.schema import MqttSettings

log = logging.getLogger(__name__)

PACE_SECONDS = 10.0
"""A new digit or fault is told at once, a new confidence or reason no sooner than this."""
RETRY_SECONDS = 2, 60
"""The first and the longest wait for a broker that is away."""
_SHORT_SECONDS = 60.0
"""After a connection that held no longer, the first wait is twice as long as the one before."""
_KEEPALIVE_SECONDS = 30
_PATIENCE_SECONDS = 0.5


class Mqtt:
    """Publishes state and availability, retained, and calls `pressed` when the button is pressed.

    The topics are TOPIC/NODE/state, …/availability and …/read, NODE being the host's name. All of
    the network's work is done in the library's own thread. While the broker is away nothing is
    kept but the newest state, which it is told when it is back; `FaultLog` logs that it is away.

    >>> mqtt = Mqtt(MqttSettings(host="broker.local"), "raspberrypi")
    >>> mqtt.start(loop.read_now)
    >>> mqtt.close()

    Raises MqttError where the library is missing.
    """

    def __init__(
        self,
        settings: MqttSettings,
        host: str,
        page: str = "",
        *,
        retry: tuple[float, float] = RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        node = node_of(host)
        self._settings, self._clock = settings, clock
        self._retry, self._wait = retry, retry[0]
        self._topics = Topics(f"{settings.topic}/{node}")
        self._discovery = {}
        if settings.discovery:
            self._discovery = messages(
                settings.discovery, self._topics, node, version=__version__, page=page
            )
        # After a power cut the broker knows by the name that its old connection is dead;
        # told of that later, it would call the new one offline.
        self._client = new_client(settings, f"digits-{node}")
        self._client.will_set(self._topics.availability, "offline", retain=True)
        self._client.reconnect_delay_set(*retry)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._failed
        self._client.on_disconnect = self._disconnected
        self._client.message_callback_add(self._topics.read, self._asked)
        self._client.message_callback_add(BIRTH, self._born)
        self._pressed: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._online, self._since = False, 0.0
        self._faults = FaultLog(log, clock)
        self._faulty = self._refused = False
        self._newest: dict[str, Any] | None = None
        self._told: dict[str, Any] | None = None
        self._told_at = 0.0
        self._sent: Any = None

    def start(self, pressed: Callable[[], None]) -> None:
        """Connect, now or when the broker is there; returns at once."""
        self._pressed = pressed
        self._client.loop_forever = partial(self._work, self._client.loop_forever)
        self._connect()
        self._client.loop_start()

    def show(self, reading: Reading) -> None:
        state = _state(reading)
        with self._lock:
            # While it is voted on, the confidence is not that of the digit shown.
            if reading.digit == reading.settled or _sudden(state, self._newest):
                self._newest = state
            self._tell()

    def look(self) -> None:
        """Tell what had to wait; to be called often, as a frame like the last one is not shown."""
        with self._lock:
            self._tell()
            if self._online:
                self._faults.clear("MQTT", self._well())

    def close(self) -> None:
        """Say that the appliance is offline, and leave; a broker that hangs is not waited for."""
        with self._lock:
            self._closed.set()
            if self._online:
                self._publish(self._topics.availability, "offline")
            self._online = False
        self._client.disconnect()
        leaving = threading.Thread(target=self._client.loop_stop, name="mqtt", daemon=True)
        leaving.start()
        leaving.join(_PATIENCE_SECONDS)

    def _connect(self) -> None:
        self._client.connect_async(self._settings.host, self._settings.port, _KEEPALIVE_SECONDS)

    def _tell(self) -> None:
        """Publish the newest state, if it is new, it is time, and the last one is on its way."""
        if self._newest is None or not self._online:
            return
        # One state waits at most for a broker that takes nothing.
        if self._sent is not None and not self._sent.is_published():
            return
        if not _sudden(self._newest, self._told):
            early = self._clock() - self._told_at < PACE_SECONDS
            if early or _without_time(self._newest) == _without_time(self._told):
                return
        self._told, self._told_at = self._newest, self._clock()
        info = self._publish(self._topics.state, json.dumps(self._newest))
        self._sent = info if info.rc == 0 else None

    def _publish(self, topic: str, text: str) -> Any:
        # Without acknowledgement: what is lost with a connection is told again on the next one.
        return self._client.publish(topic, text, qos=0, retain=True)

    # ---- called in the library's thread

    def _work(self, loop: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Do the library's work; version 1.6 ends it at a broken packet, and it is begun anew."""
        while not self._closed.is_set():
            try:
                return loop(*given, **named)
            except Exception as error:
                self._disconnected()
                where, what = _where(self._settings), type(error).__name__
                self._report(f"the connection to {where} broke ({what}: {error}): {_CHECK}")
                self._closed.wait(self._wait)
                self._connect()

    def _connected(self, client: Any, data: Any, flags: Any, code: Any, *rest: Any) -> None:
        if code != 0:
            self._refused = True
            self._report(_refused(self._settings, code))
            return
        client.subscribe([(self._topics.read, 0), (BIRTH, 0)])
        with self._lock:
            if self._closed.is_set():
                return
            self._online, self._since = True, self._clock()
            self._told, self._sent = None, None
            self._announce()
            self._publish(self._topics.availability, "online")
            self._tell()
            if not self._faulty:
                log.info("%s", self._well())

    def _failed(self, client: Any, data: Any) -> None:
        self._report(_unreached(self._settings, sys.exc_info()[1]))

    def _disconnected(self, *rest: Any) -> None:
        refused, self._refused = self._refused, False
        with self._lock:
            was, self._online = self._online, False
            if self._closed.is_set():
                return
        if was:
            # Two of one name send each other away for ever: less and less often.
            short = self._clock() - self._since < _SHORT_SECONDS
            self._wait = min(2 * self._wait, self._retry[1]) if short else self._retry[0]
            self._client.reconnect_delay_set(self._wait, self._retry[1])
        where = _where(self._settings)
        if was:
            self._report(f"the MQTT broker {where} is gone: it is tried again and again")
        elif not refused:
            self._report(f"{where} does not answer as an MQTT broker: {_CHECK}")

    def _asked(self, client: Any, data: Any, message: Any) -> None:
        # A press that the broker kept was meant for another time.
        if message.payload == PRESS.encode() and not message.retain:
            self._pressed()

    def _born(self, client: Any, data: Any, message: Any) -> None:
        if message.payload == b"online":
            with self._lock:
                if self._online:
                    self._announce()

    def _announce(self) -> None:
        for topic, text in self._discovery.items():
            self._publish(topic, text)

    def _report(self, sentence: str) -> None:
        with self._lock:
            self._faulty = True
            self._faults.report("MQTT", sentence)

    def _well(self) -> str:
        return f"the MQTT broker {_where(self._settings)} is told the readings"


def new_client(settings: MqttSettings, name: str) -> Any:
    """Return a client of the library, version 1.6 or 2; raises MqttError where it is missing."""
    try:
        from paho.mqtt import client as paho
    except ImportError:
        raise MqttError(
            "the library for MQTT is missing: run 'sudo apt install python3-paho-mqtt'"
        ) from None
    if hasattr(paho, "CallbackAPIVersion"):
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name)
    else:
        client = paho.Client(client_id=name)
    if settings.user:
        client.username_pw_set(settings.user, settings.password or None)
    if settings.tls:
        client.tls_set_context(ssl.create_default_context())
    return client


def reach(settings: MqttSettings, seconds: float = 5.0) -> str:
    """Connect to the broker once, under another name; returns where it is, or raises MqttError."""
    client = new_client(settings, "digits-doctor")
    codes: list[Any] = []
    client.on_connect = lambda client, data, flags, code, *rest: codes.append(code)
    until = time.monotonic() + seconds
    try:
        client.connect(settings.host, settings.port)
        while not codes and time.monotonic() < until and client.loop(0.2) == 0:
            pass
    except OSError as error:
        raise MqttError(_unreached(settings, error)) from None
    finally:
        client.disconnect()
    if not codes:
        raise MqttError(f"{_where(settings)} does not answer as an MQTT broker: {_CHECK}")
    if codes[0] != 0:
        raise MqttError(_refused(settings, codes[0]))
    return _where(settings)


_CHECK = "check 'host', 'port' and 'tls' under [mqtt] in the settings"


def _where(settings: MqttSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"


def _unreached(settings: MqttSettings, error: BaseException | None) -> str:
    why = getattr(error, "strerror", None) or str(error or "no answer")
    return f"the MQTT broker {_where(settings)} cannot be reached ({why}): {_CHECK}"


def _refused(settings: MqttSettings, code: Any) -> str:
    from paho.mqtt.client import connack_string

    why = connack_string(code).removeprefix("Connection Refused: ").rstrip(".").lower()
    return (
        f"the MQTT broker {_where(settings)} refuses the appliance ({why}): "
        "check 'user' and 'password' under [mqtt] in the settings"
    )


def _state(reading: Reading) -> dict[str, Any]:
    """Return what is told of a reading: the digit shown and its confidence, or why there is none.

    The confidence is of whole percent; `at` is in Unix seconds.
    """
    shown = reading.settled is not None
    return {
        "digit": reading.settled,
        "confidence": round(reading.confidence, 2) if shown else 0.0,
        "reason": None if shown else reading.reason,
        "fault": reading.fault,
        "at": round(reading.at, 3),
    }


def _sudden(new: dict[str, Any], old: dict[str, Any] | None) -> bool:
    """Tell whether a state has another digit than an older one, or a fault came or went."""
    if old is None:
        return True
    return new["digit"] != old["digit"] or (new["fault"] is None) != (old["fault"] is None)


def _without_time(state: dict[str, Any] | None) -> dict[str, Any]:
    return {**(state or {}), "at": None}

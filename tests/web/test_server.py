"""The page over a real socket: refusals, slow clients, large bodies, long answers, fairness."""

import http.client
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from flask import Flask, Response

from appliance.device.owner_pin import FREE_TRIES, OwnerPin
from appliance.errors import ServeError
from appliance.web.access.fair_share import FairShare
from appliance.web.long_answers import RemainingAnswer
from appliance.web.server import MAX_ANSWER_BYTES, MAX_BODIES, Server
from tests.conftest import SAMPLES


@contextmanager
def serving(app: Flask, port: int, **options: Any) -> Iterator[Server]:
    server = Server(app, "127.0.0.1", port, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(5)
        server.close()
    assert not thread.is_alive()


@pytest.fixture
def running(app: Flask, port: int) -> Iterator[http.client.HTTPConnection]:
    with serving(app, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        yield connection
        connection.close()


def soon(true: Callable[[], bool]) -> bool:
    """Tell whether a condition comes true within half a minute."""
    end = time.monotonic() + 30
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side has closed a connection on which it sent nothing."""
    try:
        return bool(select.select([connection], [], [], 0)[0]) and connection.recv(1) == b""
    except ConnectionError:
        return True


def test_the_page_is_served(running: http.client.HTTPConnection) -> None:
    running.request("GET", "/api/v1/health")
    assert json.load(running.getresponse())["version"]


def test_a_body_a_little_too_large_gets_the_same_sentence(
    running: http.client.HTTPConnection,
) -> None:
    running.request("POST", "/api/v1/read", body=b"x" * 1_500_000)
    answer = running.getresponse()
    assert answer.status == 413
    assert "limit of 1 MB" in json.load(answer)["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content-Length": "9000000"}, 413), ({"Content-Length": "many"}, 400)],
)
def test_waitress_own_refusals_are_problems_in_json_too(
    running: http.client.HTTPConnection, headers: dict[str, str], status: int
) -> None:
    running.putrequest("POST", "/api/v1/read")
    for name, value in headers.items():
        running.putheader(name, value)
    running.endheaders()
    answer = running.getresponse()
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.load(answer)["status"] == status


def test_a_port_in_use_is_an_error_that_says_what_to_do(app: Flask, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(ServeError, match=rf":{port} .*choose another with --port"):
            Server(app, "127.0.0.1", port)


def test_an_address_of_another_machine_is_an_error(app: Flask, port: int) -> None:
    with pytest.raises(ServeError, match="cannot be served at"):
        Server(app, "192.0.2.1", port)


# ---- slow clients, large bodies, unread answers ----

POST = b"POST /api/v1/read HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nX: ", b"x"),
        (POST + b"Content-Length: 900000\r\n\r\n", b"x"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["nothing", "a header", "a body", "a chunked body"],
)
def test_a_request_that_never_ends_is_closed(
    app: Flask, port: int, first: bytes, then: bytes
) -> None:
    with serving(app, port, patience=0.3), socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(first)

        def has_ended() -> bool:
            with suppress(ConnectionError):
                slow.sendall(then)
            return is_closed(slow)

        assert soon(has_ended)


@pytest.mark.slow
def test_a_slow_but_steady_body_is_received(app: Flask, port: int) -> None:
    picture = (SAMPLES / "3-pen.jpg").read_bytes()
    with serving(app, port, patience=1), socket.create_connection(("127.0.0.1", port)) as slow:
        slow.settimeout(30)
        slow.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(picture))
        size = -(-len(picture) // 6)
        for at in range(0, len(picture), size):
            # In all longer than the patience alone.
            time.sleep(0.4)
            slow.sendall(picture[at : at + size])
        assert slow.recv(15) == b"HTTP/1.1 200 OK"


def gave_up(connection: socket.socket) -> bool:
    """Tell whether the other side has closed a connection, read to its end or not."""
    try:
        connection.sendall(b"x")
    except ConnectionError:
        return True
    return False


@pytest.mark.slow
def test_an_answer_that_nobody_reads_is_cut_off(app: Flask, port: int) -> None:
    app.add_url_rule("/much", view_func=lambda: b"x" * 30_000_000)
    request = b"GET /much HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with serving(app, port, patience=0.3), deaf(port, request) as client:
        assert soon(lambda: gave_up(client))


LONG = b"GET /long HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class LongAnswer:
    """An answer of so many parts of 30 kB; counts its starts, its ends and the parts made."""

    def __init__(self, app: Flask, parts: int = 1000, fails: bool = False) -> None:
        self.started, self.made, self.ended = 0, 0, 0
        self._parts, self._fails = parts, fails
        app.add_url_rule(
            "/long", view_func=lambda: Response(self._generate(), mimetype="text/plain")
        )

    def _generate(self) -> Iterator[bytes]:
        self.started += 1
        try:
            for _ in range(self._parts):
                self.made += 1
                yield b"x" * 30_000
            if self._fails:
                raise ValueError("the card is gone")
        finally:
            self.ended += 1


@contextmanager
def deaf(port: int, request: bytes) -> Iterator[socket.socket]:
    """A connection that reads nothing of the answer but its first bytes."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        connection.sendall(request)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        yield connection


def test_a_long_answer_arrives_whole(app: Flask, port: int) -> None:
    long = LongAnswer(app, parts=50)
    with serving(app, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/long")
        assert connection.getresponse().read() == b"x" * 1_500_000
        connection.close()
        with socket.create_connection(("127.0.0.1", port), timeout=20) as old:
            old.sendall(LONG.replace(b"1.1", b"1.0"))
            head, _, body = b"".join(iter(lambda: old.recv(65536), b"")).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == b"x" * 1_500_000
    assert (long.made, long.ended) == (100, 2)


def test_no_thread_waits_for_clients_that_do_not_read(app: Flask, port: int) -> None:
    long = LongAnswer(app)
    with serving(app, port), ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(deaf(port, LONG))
        other = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for _ in range(10):
            other.request("GET", "/api/v1/health")
            assert json.load(other.getresponse())["version"]
        other.close()
        # No more is made than the kernel's buffers between the two programs hold.
        assert long.made < 12 * 200
    assert soon(lambda: long.ended == 12)


@pytest.mark.slow
def test_a_long_answer_that_nobody_reads_ends(app: Flask, port: int) -> None:
    long = LongAnswer(app)
    with serving(app, port, patience=0.3), deaf(port, LONG):
        assert soon(lambda: long.ended == 1)


def test_reading_a_byte_now_and_then_does_not_keep_a_long_answer_open() -> None:
    class Channel:
        addr = "127.0.0.1", 1

    class Task:
        channel = Channel()

    rest = RemainingAnswer(Task(), [])  # type: ignore[arg-type]
    assert not rest.is_slow(patience=30, bytes_per_second=10_000)
    rest.written_at = time.monotonic() - 20
    rest.note_sent()
    assert not rest.is_slow(patience=30, bytes_per_second=10_000)
    # The time of all parts counts together.
    rest.written_at = time.monotonic() - 20
    assert rest.is_slow(patience=30, bytes_per_second=10_000)


def test_a_long_answer_ends_when_its_client_leaves(app: Flask, port: int) -> None:
    long = LongAnswer(app)
    with serving(app, port):
        for _ in range(30):
            with deaf(port, LONG) as leaves:
                # Until its first part is made there is nothing to end.
                while b"xxx" not in leaves.recv(4096):
                    pass
            with socket.create_connection(("127.0.0.1", port)) as hasty:
                hasty.sendall(LONG)
        # Whenever the connection went, each that was started is ended.
        assert soon(lambda: long.ended >= 30 and long.ended == long.started)


def test_a_long_answer_that_fails_ends_the_connection_early(
    app: Flask, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    long = LongAnswer(app, parts=3, fails=True)
    with serving(app, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/long")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()
        assert soon(lambda: long.ended == 1)
    assert "ended before its end: '/long'" in caplog.text


class ThrottleSwitch(FairShare):
    """Throttles 127.0.0.1 while `on`, and records who is charged by the threads that answer."""

    def __init__(self, on: bool = False, turns_on_after: int = 0) -> None:
        super().__init__()
        self.on, self._turns_on_after = on, turns_on_after
        self.charged: list[str] = []
        self.looks = 0

    def throttled_addresses(self) -> frozenset[str]:
        self.looks += 1
        return frozenset(["127.0.0.1"] if self.on else [])

    def charge(self, address: str, seconds: float) -> None:
        if threading.current_thread().name.startswith("waitress"):
            self.charged.append(address)
            if len(self.charged) == self._turns_on_after:
                self.on = True


@pytest.mark.slow
def test_a_long_answer_pauses_while_its_address_is_throttled(app: Flask, port: int) -> None:
    long, share = LongAnswer(app, parts=20), ThrottleSwitch(turns_on_after=5)
    with serving(app, port, fair_share=share):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/long")
        answer = connection.getresponse()
        assert soon(lambda: share.on)
        made, looks = long.made, share.looks
        assert soon(lambda: share.looks >= looks + 3)
        assert long.made == made < 20
        share.on = False
        assert answer.read() == b"x" * 600_000
        connection.close()


def test_a_client_that_does_not_wait_for_answers_gets_one(app: Flask, port: int) -> None:
    asked: list[int] = []
    app.add_url_rule("/much", view_func=lambda: asked.append(1) or b"x" * MAX_ANSWER_BYTES)
    request = b"GET /much HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with serving(app, port), ExitStack() as stack:
        clients = [stack.enter_context(deaf(port, request * 100)) for _ in range(8)]
        source = "127.0.0.2", 0
        with socket.create_connection(("127.0.0.1", port), 30, source_address=source) as child:
            child.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert child.recv(15) == b"HTTP/1.1 200 OK"
        # The unread answers of all connections together are bounded: some are cut off.
        assert soon(lambda: any(map(gave_up, clients)))
        assert len(asked) == 8


def test_many_bodies_at_once_are_bounded(app: Flask, port: int) -> None:
    most = 2 * app.config["MAX_CONTENT_LENGTH"]
    sends = POST + b"Content-Length: %d\r\n\r\n" % (most - 1) + b"x" * (most - 100)
    with serving(app, port), ExitStack() as stack:
        sockets = []
        for _ in range(MAX_BODIES + 3):
            sockets.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            with suppress(ConnectionError):
                sockets[-1].sendall(sends)
        assert soon(lambda: sum(map(is_closed, sockets)) >= 3)
        # Nobody else's picture has to wait for them.
        other = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=20, source_address=("127.0.0.2", 0)
        )
        other.request("POST", "/api/v1/read", body=(SAMPLES / "3-pen.jpg").read_bytes())
        assert json.load(other.getresponse())["digit"] == 3
        other.close()
        assert sum(map(is_closed, sockets)) < len(sockets)


def test_a_throttled_address_waits_and_nobody_else_does(app: Flask, port: int) -> None:
    share = ThrottleSwitch(on=True)
    request = b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with serving(app, port, fair_share=share), ExitStack() as stack:
        script, child = (
            stack.enter_context(
                socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0))
            )
            for source in ("127.0.0.1", "127.0.0.2")
        )
        script.sendall(request)
        child.sendall(request)
        assert child.recv(15) == b"HTTP/1.1 200 OK"
        assert not select.select([script], [], [], 0)[0]
        share.on = False
        assert script.recv(15) == b"HTTP/1.1 200 OK"
    assert set(share.charged) == {"127.0.0.1", "127.0.0.2"}


def test_a_header_with_another_address_does_not_evade_the_wait_after_wrong_pins(
    running: http.client.HTTPConnection, owner: OwnerPin
) -> None:
    owner.make_pin()
    codes = []
    for each in range(FREE_TRIES + 1):
        elsewhere = {"X-Forwarded-For": f"10.0.0.{each}", "Forwarded": f"for=10.0.0.{each}"}
        told = {"Content-Type": "application/json", "X-Real-IP": f"10.0.0.{each}", **elsewhere}
        running.request("POST", "/api/v1/session", b'{"pin": "no PIN"}', told)
        answer = running.getresponse()
        answer.read()
        codes.append(answer.status)
    assert codes == [403] * FREE_TRIES + [429]

"""The page over a real socket, with what waitress itself refuses."""

import http.client
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from flask import Flask, Response

from appliance.device.pin import FREE_TRIES, Owner
from appliance.errors import ServeError
from appliance.web.access.fair_share import Shares
from appliance.web.long_answers import Rest
from appliance.web.server import ANSWERS, BODIES, Server, _Channel
from tests.conftest import SAMPLES


@contextmanager
def serving(app: Flask, port: int, **options: float) -> Iterator[Server]:
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
    """Return whether it comes true while a patient person waits."""
    end = time.monotonic() + 30
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def ended(connection: socket.socket) -> bool:
    """Tell whether the other side has closed a connection on which it said nothing."""
    try:
        return bool(select.select([connection], [], [], 0)[0]) and connection.recv(1) == b""
    except ConnectionError:
        return True


def test_the_page_is_served(running: http.client.HTTPConnection) -> None:
    running.request("GET", "/api/v1/health")
    assert json.load(running.getresponse())["version"]


def test_what_is_a_little_too_large_gets_the_same_sentence(
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
def test_what_waitress_refuses_is_a_problem_in_json_too(
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


def test_a_port_in_use_is_a_sentence(app: Flask, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(ServeError, match=rf":{port} .*choose another with --port"):
            Server(app, "127.0.0.1", port)


def test_an_address_that_is_not_this_machines_is_a_sentence(app: Flask, port: int) -> None:
    with pytest.raises(ServeError, match="cannot be served at"):
        Server(app, "192.0.2.1", port)


# ---- who is slow, and who sends much ----

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
def test_what_does_not_come_to_its_end_ends(
    app: Flask, port: int, first: bytes, then: bytes
) -> None:
    with serving(app, port, patience=0.3), socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(first)

        def over() -> bool:
            with suppress(ConnectionError):
                slow.sendall(then)
            return ended(slow)

        assert soon(over)


@pytest.mark.slow
def test_a_body_that_comes_slowly_and_steadily_comes_in(app: Flask, port: int) -> None:
    picture = (SAMPLES / "3-pen.jpg").read_bytes()
    with serving(app, port, patience=1), socket.create_connection(("127.0.0.1", port)) as slow:
        slow.settimeout(30)
        slow.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(picture))
        size = -(-len(picture) // 6)
        for at in range(0, len(picture), size):
            # Longer in all than the patience without the bytes.
            time.sleep(0.4)
            slow.sendall(picture[at : at + size])
        assert slow.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.slow
def test_an_answer_that_nobody_reads_ends(app: Flask, port: int) -> None:
    app.add_url_rule("/much", view_func=lambda: b"x" * 30_000_000)
    with serving(app, port, patience=0.3) as server, socket.socket() as deaf:
        before = len(server._channels)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(b"GET /much HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert deaf.recv(15) == b"HTTP/1.1 200 OK"
        assert soon(lambda: len(server._channels) == before)


LONG = b"GET /long HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Long:
    """An answer of so many parts of 30 kB; counts those that were made, and its ends."""

    def __init__(self, app: Flask, parts: int = 1000, fails: bool = False) -> None:
        self.begun, self.made, self.ended = 0, 0, 0
        self._parts, self._fails = parts, fails
        app.add_url_rule("/long", view_func=lambda: Response(self._each(), mimetype="text/plain"))

    def _each(self) -> Iterator[bytes]:
        self.begun += 1
        try:
            for _ in range(self._parts):
                self.made += 1
                yield b"x" * 30_000
            if self._fails:
                raise ValueError("the card is gone")
        finally:
            self.ended += 1


@contextmanager
def deaf(port: int, sends: bytes) -> Iterator[socket.socket]:
    """A connection that asks and takes nothing of the answer but its first bytes."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        connection.sendall(sends)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        yield connection


def test_a_long_answer_comes_whole(app: Flask, port: int) -> None:
    long = Long(app, parts=50)
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


def test_however_many_take_no_long_answer_no_thread_waits_for_them(app: Flask, port: int) -> None:
    long = Long(app)
    with serving(app, port) as server, ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(deaf(port, LONG))
        other = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for _ in range(10):
            other.request("GET", "/api/v1/health")
            assert json.load(other.getresponse())["version"]
        other.close()
        # No more is made than what is between the two programs, and nothing lies in a file.
        assert long.made < 12 * 200
        channels = [each for each in server._channels.values() if hasattr(each, "outbufs")]
        assert all(channel.total_outbufs_len < 100_000 for channel in channels)
    assert soon(lambda: long.ended == 12)


@pytest.mark.slow
def test_a_long_answer_that_nobody_takes_ends(app: Flask, port: int) -> None:
    long = Long(app)
    with serving(app, port, patience=0.3), deaf(port, LONG):
        assert soon(lambda: long.ended == 1)


def test_taking_a_byte_now_and_then_is_no_taking() -> None:
    class Channel:
        addr = "127.0.0.1", 1

    class Pretended:
        channel = Channel()

    rest = Rest(Pretended(), [])  # type: ignore[arg-type]
    assert not rest.is_slow(patience=30, bytes_a_second=10_000)
    rest.put_at = time.monotonic() - 20
    rest.note_taken()
    assert not rest.is_slow(patience=30, bytes_a_second=10_000)
    # It is the time of all parts together.
    rest.put_at = time.monotonic() - 20
    assert rest.is_slow(patience=30, bytes_a_second=10_000)


def test_one_who_goes_away_ends_a_long_answer(app: Flask, port: int) -> None:
    long = Long(app)
    with serving(app, port):
        for _ in range(30):
            with deaf(port, LONG) as leaves:
                # Before its first part is made there is nothing to end.
                while b"xxx" not in leaves.recv(4096):
                    pass
            with socket.create_connection(("127.0.0.1", port)) as hasty:
                hasty.sendall(LONG)
        # Each that was begun is ended, at whatever instant its connection went.
        assert soon(lambda: long.ended >= 30 and long.ended == long.begun)


def test_a_long_answer_that_fails_ends_the_connection_early(
    app: Flask, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    long = Long(app, parts=3, fails=True)
    with serving(app, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/long")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()
        assert soon(lambda: long.ended == 1)
    assert "ended before its end: '/long'" in caplog.text


@pytest.mark.slow
def test_a_long_answer_pauses_while_its_address_has_had_its_share(app: Flask, port: int) -> None:
    class Counted(Shares):
        spent = 0

        def over(self) -> frozenset[str]:
            return frozenset(["127.0.0.1"] if self.spent == 5 else [])

        def spend(self, address: str, seconds: float) -> None:
            if threading.current_thread().name.startswith("waitress"):
                self.spent += 1

    long, shares = Long(app, parts=20), Counted()
    with serving(app, port) as server:
        server._shares = shares
        for each in server._listening:
            each.shares = shares
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/long")
        answer = connection.getresponse()
        assert soon(lambda: shares.spent == 5)
        made = long.made
        # Two looks at the shares later it is where it was.
        time.sleep(0.6)
        assert long.made == made < 20
        shares.spent = 6
        assert answer.read() == b"x" * 600_000
        connection.close()


def test_requests_that_do_not_wait_for_their_answers_pile_nothing_up(app: Flask, port: int) -> None:
    asked: list[int] = []
    app.add_url_rule("/much", view_func=lambda: asked.append(1) or b"x" * 3_000_000)
    with serving(app, port) as server:
        request = b"GET /much HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        with ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(deaf(port, request * 100))
            source = "127.0.0.2", 0
            with socket.create_connection(("127.0.0.1", port), 30, source_address=source) as child:
                child.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert child.recv(15) == b"HTTP/1.1 200 OK"
            # What waits for those who do not take it is bounded, over all connections.
            assert soon(lambda: sum(_Channel.answer(each) for each in _open(server)) <= ANSWERS)
        assert len(asked) == 8


def _open(server: Server) -> list[_Channel]:
    return [each for each in server._channels.values() if type(each) is _Channel]


@pytest.mark.slow
def test_many_bodies_at_once_do_not_fill_the_card(app: Flask, port: int) -> None:
    most = 2 * app.config["MAX_CONTENT_LENGTH"]
    sends = POST + b"Content-Length: %d\r\n\r\n" % (most - 1) + b"x" * (most - 100)
    with serving(app, port), ExitStack() as stack:
        sockets = []
        for _ in range(BODIES + 3):
            sockets.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            with suppress(ConnectionError):
                sockets[-1].sendall(sends)
        assert soon(lambda: sum(map(ended, sockets)) >= 3)
        # Nobody else's picture has to wait for that.
        other = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=20, source_address=("127.0.0.2", 0)
        )
        other.request("POST", "/api/v1/read", body=(SAMPLES / "3-pen.jpg").read_bytes())
        assert json.load(other.getresponse())["digit"] == 3
        other.close()
        assert sum(map(ended, sockets)) < len(sockets)


def test_who_has_asked_too_much_waits_and_nobody_else_does(app: Flask, port: int) -> None:
    class Held(Shares):
        asks = True

        def over(self) -> frozenset[str]:
            return frozenset(["127.0.0.1"] if self.asks else [])

        def spend(self, address: str, seconds: float) -> None:
            asked.append(address)

    asked: list[str] = []
    shares = Held()
    with serving(app, port) as server:
        server._shares = shares
        for each in server._listening:
            each.shares = shares
        request = b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as script:
            script.sendall(request)
            source = "127.0.0.2", 0
            with socket.create_connection(("127.0.0.1", port), 30, source_address=source) as child:
                child.sendall(request)
                assert child.recv(15) == b"HTTP/1.1 200 OK"
            assert not select.select([script], [], [], 0)[0]
            shares.asks = False
            assert script.recv(15) == b"HTTP/1.1 200 OK"
    # What it took is counted for each.
    assert set(asked) == {"127.0.0.1", "127.0.0.2"}


def test_who_pretends_to_come_from_elsewhere_waits_after_wrong_pins_all_the_same(
    running: http.client.HTTPConnection, owner: Owner
) -> None:
    owner.new_pin()
    codes = []
    for each in range(FREE_TRIES + 1):
        elsewhere = {"X-Forwarded-For": f"10.0.0.{each}", "Forwarded": f"for=10.0.0.{each}"}
        told = {"Content-Type": "application/json", "X-Real-IP": f"10.0.0.{each}", **elsewhere}
        running.request("POST", "/api/v1/session", b'{"pin": "no PIN"}', told)
        answer = running.getresponse()
        answer.read()
        codes.append(answer.status)
    assert codes == [403] * FREE_TRIES + [429]

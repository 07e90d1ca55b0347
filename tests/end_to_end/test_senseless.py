"""What no browser sends, to `digits run`: it reads on, and the page answers everybody else."""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, SAMPLES, free_port

ANOTHER = "127.0.0.2"
"""Another child's machine, to the appliance."""
MANY = 150
"""More connections than the page has places for."""


@dataclass(frozen=True)
class Appliance:
    port: int
    pid: int

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def asked(self, path: str, source: str = "127.0.0.1") -> bytes:
        """Return what a page gets; raises what makes a person say that it does not answer."""
        there = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=20, source_address=(source, 0)
        )
        try:
            there.request("GET", path)
            answer = there.getresponse()
            body = answer.read()
        finally:
            there.close()
        assert answer.status == 200
        return body

    def readings(self) -> int:
        return int(json.loads(self.asked("/api/v1/health", ANOTHER))["readings"])

    def reads_on(self) -> None:
        """Return when there is another reading; fails when there is none for long."""
        before, end = self.readings(), time.monotonic() + 30
        while self.readings() == before:
            assert time.monotonic() < end, "the loop has stopped"
            time.sleep(0.1)

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_kb(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def settled(self, files: int) -> int:
        """Return how many files are open when no more than `files` are, or after long."""
        end = time.monotonic() + 20
        while self.files() > files and time.monotonic() < end:
            time.sleep(0.1)
        return self.files()


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    state, port = tmp_path_factory.mktemp("state"), free_port()
    config = state / "digits.toml"
    config.write_text("[camera]\nrate = 8\npicture_seconds = 0.5\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "run", "--camera", f"folder:{SAMPLES}"]
        + ["--leds", "none", "--host", "127.0.0.1", "--port", str(port)]
        + ["--state", str(state), "--config", str(config)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    there = Appliance(port, process.pid)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                there.reads_on()
                break
            except OSError:
                assert time.monotonic() < end, "the page does not come up"
                time.sleep(0.2)
        # What is loaded with the first request of each kind is no leak.
        for path in ("/", "/device", "/api/v1/reading?pictures=1", "/static/now.js"):
            there.asked(path)
        yield there
    finally:
        process.kill()
        process.wait()


HELD: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "a byte of a header now and then": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", b"x"),
    "half a body": (
        b"POST /api/v1/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
        + b"x" * 50_000,
        b"",
    ),
    "a chunked body without an end": (
        b"POST /api/v1/read HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
    ),
}


@pytest.mark.parametrize("what", HELD)
def test_whoever_holds_every_connection_keeps_nobody_else_out(
    appliance: Appliance, what: str
) -> None:
    first, then = HELD[what]
    files, resident = appliance.files(), appliance.resident_kb()
    leave, begun = threading.Event(), threading.Event()
    with ExitStack() as held:
        sockets = []
        for _ in range(MANY):
            # What is ended at once is opened again, as a script would.
            with suppress(OSError):
                sockets.append(held.enter_context(appliance.open()))
                sockets[-1].sendall(first)

        def go_on() -> None:
            while not leave.wait(0.05):
                for each in sockets:
                    with suppress(OSError):
                        each.sendall(then)
                begun.set()

        script = threading.Thread(target=go_on)
        script.start()
        try:
            assert begun.wait(30)
            for path in ("/", "/static/page.css", "/api/v1/reading?pictures=1"):
                assert appliance.asked(path, ANOTHER)
            appliance.reads_on()
        finally:
            leave.set()
            script.join()
    appliance.asked("/")
    assert appliance.settled(files + 8) <= files + 8
    assert appliance.resident_kb() - resident < 30_000


HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /api/v1/read HTTP/1.1\r\n" + HOST
NONSENSE = {
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2,
    "SMB": b"\x00\x00\x00\x85\xffSMB\x72" + bytes(120),
    "RTSP": b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "bytes by chance": random.Random(1).randbytes(100_000),
    "zeros": bytes(100_000),
    "empty lines": b"\r\n" * 50_000,
    "a long path": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    "a zero in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: \0\r\n\r\n",
    "a zero in the path": b"GET /\0%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\nxxx",
    "a huge length": POST + b"Content-Length: " + b"9" * 4000 + b"\r\n\r\nxxx",
    "a length too large": POST + b"Content-Length: 99999999999\r\n\r\nxxx",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nxxxxx",
    "a chunk of huge length": POST
    + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\nxxx",
    "a chunk of no length": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n0\r\n\r\n",
    "another encoding": POST + b"Transfer-Encoding: gzip\r\n\r\nxxx",
    "a body of JSON without an end": b"POST /api/v1/session HTTP/1.1\r\n" + HOST
    + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000,
    "garbage after a request": b"GET / HTTP/1.1\r\n" + HOST + b"\r\n\x00\xff" * 500 + b"\r\n\r\n",
    "a host that is none": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
}  # fmt: skip


def left(connection: socket.socket) -> None:
    """Say that nothing more is sent, where the other side has not hung up already."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def test_nonsense_is_answered_or_ended_and_nothing_else_comes_of_it(appliance: Appliance) -> None:
    files, resident = appliance.files(), appliance.resident_kb()
    said: dict[str, bytes] = {}
    for what, data in NONSENSE.items():
        with appliance.open() as scanner, suppress(ConnectionError):
            scanner.sendall(data)
            left(scanner)
            said[what] = scanner.recv(15)
    answers = {what: answer for what, answer in said.items() if answer}
    assert all(answer.startswith(b"HTTP/1.") for answer in answers.values())
    codes = {what: answer[9:12] for what, answer in answers.items()}
    assert {what for what, code in codes.items() if code >= b"500"} <= {"another encoding"}
    assert len(codes) >= 10
    appliance.reads_on()
    assert appliance.settled(files + 8) <= files + 8
    assert appliance.resident_kb() - resident < 30_000


def test_a_body_with_a_length_and_in_chunks_has_no_request_hidden_in_it(
    appliance: Appliance,
) -> None:
    hidden = b"GET /api/v1/health HTTP/1.1\r\n" + HOST + b"\r\n"
    length = b"Content-Length: %d\r\n" % (5 + len(hidden))
    sends = POST + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden
    with appliance.open() as smuggler:
        smuggler.sendall(sends)
        left(smuggler)
        answer = b"".join(iter(lambda: smuggler.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1

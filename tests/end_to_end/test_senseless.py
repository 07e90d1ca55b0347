"""Requests that no browser sends: `digits run` reads on, and answers everybody else."""

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

OTHER_ADDRESS = "127.0.0.2"
"""Another visitor's machine."""
MANY = 150
"""More connections than the server keeps."""


@dataclass(frozen=True)
class Appliance:
    port: int
    pid: int

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def get(self, path: str, source: str = "127.0.0.1") -> bytes:
        """Return an answer's body; fails for any other status than 200."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=20, source_address=(source, 0)
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200
        return body

    def readings(self) -> int:
        return int(json.loads(self.get("/api/v1/health", OTHER_ADDRESS))["readings"])

    def wait_for_reading(self) -> None:
        """Wait until there is another reading; fails after half a minute without one."""
        before, end = self.readings(), time.monotonic() + 30
        while self.readings() == before:
            assert time.monotonic() < end, "the loop has stopped"
            time.sleep(0.1)

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_kb(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def wait_for_files(self, files: int) -> int:
        """Wait until at most so many files are open, at most 20 seconds; return how many are."""
        end = time.monotonic() + 20
        while self.open_files() > files and time.monotonic() < end:
            time.sleep(0.1)
        return self.open_files()


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
    appliance = Appliance(port, process.pid)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                appliance.wait_for_reading()
                break
            except OSError:
                assert time.monotonic() < end, "the page does not come up"
                time.sleep(0.2)
        # The first request of each kind loads modules: that is no leak.
        for path in ("/", "/device", "/api/v1/reading?pictures=1", "/static/now.js"):
            appliance.get(path)
        yield appliance
    finally:
        process.kill()
        process.wait()


UNFINISHED: dict[str, tuple[bytes, bytes]] = {
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


@pytest.mark.parametrize("what", UNFINISHED)
def test_a_client_that_holds_all_connections_keeps_nobody_out(
    appliance: Appliance, what: str
) -> None:
    first, then = UNFINISHED[what]
    files, resident = appliance.open_files(), appliance.resident_kb()
    leave, begun = threading.Event(), threading.Event()
    with ExitStack() as stack:
        sockets = []
        for _ in range(MANY):
            # The server may close it at once.
            with suppress(OSError):
                sockets.append(stack.enter_context(appliance.open()))
                sockets[-1].sendall(first)

        def keep_sending() -> None:
            while not leave.wait(0.05):
                for each in sockets:
                    with suppress(OSError):
                        each.sendall(then)
                begun.set()

        script = threading.Thread(target=keep_sending)
        script.start()
        try:
            assert begun.wait(30)
            for path in ("/", "/static/page.css", "/api/v1/reading?pictures=1"):
                assert appliance.get(path, OTHER_ADDRESS)
            appliance.wait_for_reading()
        finally:
            leave.set()
            script.join()
    appliance.get("/")
    assert appliance.wait_for_files(files + 8) <= files + 8
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


def finish_sending(connection: socket.socket) -> None:
    """Close the sending side, unless the server has closed the connection already."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def test_nonsense_gets_an_error_or_a_closed_connection_and_leaks_nothing(
    appliance: Appliance,
) -> None:
    files, resident = appliance.open_files(), appliance.resident_kb()
    received: dict[str, bytes] = {}
    for what, data in NONSENSE.items():
        with appliance.open() as scanner, suppress(ConnectionError):
            scanner.sendall(data)
            finish_sending(scanner)
            received[what] = scanner.recv(15)
    answers = {what: answer for what, answer in received.items() if answer}
    assert all(answer.startswith(b"HTTP/1.") for answer in answers.values())
    codes = {what: answer[9:12] for what, answer in answers.items()}
    assert {what for what, code in codes.items() if code >= b"500"} <= {"another encoding"}
    assert len(codes) >= 10
    appliance.wait_for_reading()
    assert appliance.wait_for_files(files + 8) <= files + 8
    assert appliance.resident_kb() - resident < 30_000


def test_no_request_can_hide_in_a_body_with_both_a_length_and_chunks(
    appliance: Appliance,
) -> None:
    hidden = b"GET /api/v1/health HTTP/1.1\r\n" + HOST + b"\r\n"
    length = b"Content-Length: %d\r\n" % (5 + len(hidden))
    sends = POST + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden
    with appliance.open() as smuggler:
        smuggler.sendall(sends)
        finish_sending(smuggler)
        answer = b"".join(iter(lambda: smuggler.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1

"""The page over a real socket, with what waitress itself refuses."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest
from flask import Flask

from appliance.errors import ServeError
from appliance.web.server import Server


@pytest.fixture
def running(app: Flask, port: int) -> Iterator[http.client.HTTPConnection]:
    server = Server(app, "127.0.0.1", port)
    thread = threading.Thread(target=server.run)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    yield connection
    connection.close()
    server.stop()
    thread.join(5)
    assert not thread.is_alive()
    server.close()


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

"""The download against a server of our own: broken, slow to finish, lying and complete."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import FetchError
from appliance.training.mnist_download import fetch_mnist
from model import datasets

NAMES = list(datasets.MNIST_SHA256)


class Mirror(ThreadingHTTPServer):
    """Serves /good/, /short/ (breaks off), /wrong/ (other bytes), /once/ (no ranges)."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked: list[tuple[str, str | None]] = []

    def at(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/"


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        _, kind, name = self.path.split("/")
        span = self.headers["Range"]
        self.server.asked.append((kind, span))
        data = self.server.files.get(name)
        if data is None or kind == "none":
            self.send_error(404)
            return
        if kind == "wrong":
            data = gzip.compress(b"something else entirely")
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and kind != "once" else 0
        if start > len(data) or (start and start == len(data)):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : start + 60] if kind == "short" else data[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    rng = np.random.default_rng(0)
    contents = {name: rng.bytes(5000 + len(name)) for name in NAMES}
    for name, content in contents.items():
        monkeypatch.setitem(datasets.MNIST_SHA256, name, hashlib.sha256(content).hexdigest())
    server = Mirror({f"{name}.gz": gzip.compress(data) for name, data in contents.items()})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def quiet(line: str) -> None:
    pass


def complete(folder: Path) -> bool:
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    return sums == datasets.MNIST_SHA256


def test_four_files_are_fetched_unpacked_and_verified(mirror: Mirror, tmp_path: Path) -> None:
    fetch_mnist(tmp_path / "new" / "mnist", [mirror.at("good")], quiet)
    assert complete(tmp_path / "new" / "mnist")


def test_what_is_there_is_not_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    fetch_mnist(tmp_path, [mirror.at("good")], quiet)
    mirror.asked.clear()
    said: list[str] = []
    fetch_mnist(tmp_path, [mirror.at("good")], said.append)
    assert mirror.asked == []
    assert len(said) == 4


def test_a_damaged_file_is_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    fetch_mnist(tmp_path, [mirror.at("good")], quiet)
    (tmp_path / NAMES[2]).write_bytes(b"half of it")
    said: list[str] = []
    fetch_mnist(tmp_path, [mirror.at("good")], said.append)
    assert complete(tmp_path)
    assert f"{NAMES[2]}: is there, but damaged" in said


@pytest.mark.parametrize("address", ["http://[bad/", "http://" + "a" * 70 + ".example/"])
def test_an_address_that_is_none_is_a_sentence(tmp_path: Path, address: str) -> None:
    with pytest.raises(FetchError, match="could not be downloaded"):
        fetch_mnist(tmp_path, [address], quiet)


def test_the_next_mirror_is_asked_when_one_has_not_the_file(mirror: Mirror, tmp_path: Path) -> None:
    fetch_mnist(tmp_path, [mirror.at("none"), mirror.at("good")], quiet)
    assert complete(tmp_path)


def test_a_broken_download_is_resumed_where_it_stopped(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="broke off after 60 of"):
        fetch_mnist(tmp_path, [mirror.at("short")], quiet)
    assert [path.name for path in tmp_path.iterdir()] == [f".{NAMES[0]}.gz.part"]
    fetch_mnist(tmp_path, [mirror.at("good")], quiet)
    assert complete(tmp_path)
    assert ("good", "bytes=60-") in mirror.asked


def test_a_mirror_that_cannot_resume_sends_it_all_again(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        fetch_mnist(tmp_path, [mirror.at("short")], quiet)
    fetch_mnist(tmp_path, [mirror.at("once")], quiet)
    assert complete(tmp_path)


def test_what_is_not_mnist_never_counts_and_is_never_resumed_from(
    mirror: Mirror, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="what it sent is not MNIST's train-images"):
        fetch_mnist(tmp_path, [mirror.at("wrong")], quiet)
    assert list(tmp_path.iterdir()) == []
    fetch_mnist(tmp_path, [mirror.at("wrong"), mirror.at("good")], quiet)
    assert complete(tmp_path)


def test_a_part_of_another_file_is_found_out_and_fetched_whole(
    mirror: Mirror, tmp_path: Path
) -> None:
    (tmp_path / f".{NAMES[0]}.gz.part").write_bytes(b"\x1f\x8b" + b"x" * 100)
    fetch_mnist(tmp_path, [mirror.at("good")], quiet)
    assert complete(tmp_path)


def test_a_part_that_is_whole_already_is_taken(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / f".{NAMES[0]}.gz.part").write_bytes(mirror.files[f"{NAMES[0]}.gz"])
    fetch_mnist(tmp_path, [mirror.at("good")], quiet)
    assert complete(tmp_path)


def test_offline_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"Check the network.*digits data import FOLDER --to"):
        fetch_mnist(tmp_path, ["http://127.0.0.1:9/"], quiet)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="cannot be made"):
        fetch_mnist(tmp_path / "file" / "mnist", ["http://127.0.0.1:9/"], quiet)

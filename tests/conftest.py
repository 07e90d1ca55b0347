"""Shared pieces: the samples, a small data set made on the spot, mock pins, an application."""

import os

# One thread for numpy's BLAS, before it is loaded: threads that wait for each other take three
# times the processor's time here, and how many share a sum decides how it is rounded.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import gzip
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from gpiozero import Device
from gpiozero.pins.mock import MockFactory, MockPWMPin

from appliance.captures.store import Captures
from appliance.commands.stop_signals import SIGNALS
from appliance.device import machine
from appliance.device.control import Control, LogTail
from appliance.device.owner_pin import OwnerPin, owner_file
from appliance.errors import TrainingError
from appliance.networks.live import LiveNetwork
from appliance.networks.vault import Vault
from appliance.outputs.history import History
from appliance.outputs.latest import Latest
from appliance.outputs.metrics import Metrics
from appliance.picture import open_picture
from appliance.reader.reader import Reader
from appliance.reading import Reading
from appliance.settings.overrides import Changes
from appliance.settings.schema import Settings, list_settings, read
from appliance.simulator.handwriting import PLAIN, render_strokes
from appliance.training.process import TrainingProcess
from appliance.vision.glyph import make_glyph
from appliance.web.app import create_app
from model import weights

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "data" / "samples"
SHARED = Path(os.environ.get("DIGITS_SHARED", ROOT.parent / "shared" / "data"))

SLOW = {"bench", "browser", "end_to_end", "faults"}
"""Folders whose tests all start processes or train: none is part of the quick loop."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SLOW & set(item.path.relative_to(ROOT).parts):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader(weights.load(weights.SHIPPED)[0])


@pytest.fixture
def a_seven(reader: Reader) -> Reading:
    """A reading of a real sample, with every stage filled in."""
    return reader.read(open_picture(SAMPLES / "7-shadow.jpg", "seven", at=1000.0))


@pytest.fixture
def mock_pins() -> Iterator[MockFactory]:
    """gpiozero's own mock pins instead of the machine's."""
    before = Device.pin_factory
    factory = Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    yield factory
    factory.reset()
    Device.pin_factory = before


@pytest.fixture
def handlers() -> Iterator[dict[int, Any]]:
    """The handlers of the signals that end a command, which stand again afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield dict(before)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "history.db", limit=100)
    yield history
    history.close()


@pytest.fixture
def captures(tmp_path: Path) -> Iterator[Captures]:
    captures = Captures(tmp_path / "captures.db", limit=100)
    yield captures
    captures.close()


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Captures]:
    """The captures of the owner with the odd 4s, in the state directory."""
    from tests.owner import correct, hand

    captures = Captures(tmp_path / "captures.db")
    correct(captures, *hand())
    yield captures
    captures.close()


@pytest.fixture
def cool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that is not hot, whatever this machine's is."""
    monkeypatch.setattr(machine, "temperature", lambda: 40.0)
    monkeypatch.setattr(machine, "throttled", lambda: None)


@pytest.fixture
def narrow_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """np.bincount as it is on ARMv6: it refuses an int64, which is wider than the machine's own."""
    count = np.bincount

    def narrow(x: Any, *others: Any, **options: Any) -> Any:
        kind = np.asarray(x).dtype
        assert np.can_cast(kind, np.int32), f"np.bincount of {kind}: a board of 32 bits refuses it"
        return count(x, *others, **options)

    monkeypatch.setattr(np, "bincount", narrow)
    monkeypatch.setattr(np, "intp", np.int32)


@pytest.fixture
def latest() -> Latest:
    return Latest()


@pytest.fixture
def networks(tmp_path: Path) -> LiveNetwork:
    """The networks of an appliance that has promoted none yet, with a reader of their own."""
    vault = Vault(tmp_path / "networks")
    held = vault.load_current()
    return LiveNetwork(vault, Reader(held.network), held)


class FakeTrainingProcess(TrainingProcess):
    """Stands in for a training: notes what it is asked for, and starts no process."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.runs = False
        self.asked: list[str] = []
        self.failed: str | None = None

    def is_running(self) -> bool:
        return self.runs

    def start(self, *, from_scratch: bool = False) -> None:
        if self.runs:
            raise TrainingError("a training is running already")
        self.asked.append("from scratch" if from_scratch else "start")

    def stop(self) -> None:
        if not self.runs:
            raise TrainingError("no training is running")
        self.asked.append("stop")

    def failure(self) -> str | None:
        return self.failed


@pytest.fixture
def training(tmp_path: Path) -> FakeTrainingProcess:
    return FakeTrainingProcess(tmp_path)


@pytest.fixture
def owner(tmp_path: Path) -> OwnerPin:
    return OwnerPin(owner_file(tmp_path))


class PretendedLeds:
    """LEDs that count how often they are walked through."""

    def __init__(self) -> None:
        self.walks = 0

    def walk(self) -> None:
        self.walks += 1


@pytest.fixture
def leds() -> PretendedLeds:
    return PretendedLeds()


@pytest.fixture
def control(tmp_path: Path, leds: PretendedLeds) -> Control:
    """The switches of an appliance with LEDs, whose machine can be switched off."""
    return Control(
        changes=Changes(tmp_path),
        again=(tmp_path / "again").touch,
        leds=[leds],
        power=tmp_path / "power",
        lines=LogTail(),
    )


@pytest.fixture
def parts(
    latest: Latest,
    history: History,
    captures: Captures,
    reader: Reader,
    networks: LiveNetwork,
    training: FakeTrainingProcess,
    owner: OwnerPin,
    control: Control,
    tmp_path: Path,
) -> dict[str, Any]:
    """What an application is made of: a test replaces what it is about."""
    return {
        "latest": latest,
        "history": history,
        "captures": captures,
        "reader": reader,
        "networks": networks,
        "training": training,
        "owner": owner,
        "metrics": Metrics(),
        "control": control,
        "camera": "folder:samples",
        "state": tmp_path,
        "in_force": list_settings(Settings(), read(Path(os.devnull))),
        "upload_megabytes": 1,
    }


@pytest.fixture
def app(parts: dict[str, Any]) -> Flask:
    return create_app(**parts)


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """Somebody on the LAN, without the PIN."""
    return app.test_client()


@pytest.fixture
def client(app: Flask, owner: OwnerPin) -> FlaskClient:
    """The owner, who has shown the PIN."""
    return signed_in(app.test_client(), owner.make_pin())


def signed_in(client: FlaskClient, pin: str) -> FlaskClient:
    """Return a client that has shown the PIN and sends the session's token with all it asks."""
    answer = client.post("/api/v1/session", json={"pin": pin})
    assert answer.status_code == 200, answer.get_json()
    client.environ_base["HTTP_X_CSRF_TOKEN"] = answer.get_json()["token"]
    return client


@pytest.fixture
def port() -> int:
    """A port that nothing listens on."""
    return free_port()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def shared_mnist() -> Path:
    """MNIST where the development machine has it; its owners do not let us ship it."""
    if not (SHARED / "mnist").is_dir():
        pytest.skip("MNIST is not on this machine")
    return SHARED / "mnist"


@pytest.fixture
def shared_photos() -> Path:
    if not (SHARED / "photos").is_dir():
        pytest.skip("the photographs are not on this machine")
    return SHARED / "photos"


def digits_in_mnist_form(count: int, seed: int) -> tuple[Any, Any]:
    """Return `count` drawn digits as MNIST has them: images uint8 (n, 28, 28), labels uint8."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    images = np.zeros((count, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        cover = render_strokes(
            PLAIN[int(label)],
            (64, 64),
            centre=(32, 32),
            height=rng.uniform(34, 44),
            width=rng.uniform(4, 8),
            degrees=rng.uniform(-10, 10),
            slant=rng.uniform(0, 0.3),
        )
        image[...] = make_glyph(cover) * 255
    return images, labels


def write_idx(path: Path, values: Any) -> None:
    """Write an array as MNIST's idx format; gzipped when the name ends so."""
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    data = header + values.tobytes()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


@pytest.fixture(scope="session")
def tiny_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in MNIST's form with 600 and 100 digits of the project's own strokes."""
    folder = tmp_path_factory.mktemp("mnist")
    for stem, count, seed in (("train", 600, 1), ("t10k", 100, 2)):
        images, labels = digits_in_mnist_form(count, seed)
        write_idx(folder / f"{stem}-images-idx3-ubyte", images)
        write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", labels)
    return folder

"""A promotion reaches the reader while it runs; the API and the command make one."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from appliance.__main__ import main
from appliance.device.owner_pin import OwnerPin
from appliance.networks.live import LiveNetwork
from appliance.networks.vault import Vault
from appliance.outputs.latest import Latest
from appliance.reader.reader import Reader
from appliance.reading import Frame, Reading, make_frame
from appliance.web.app import create_app
from model import weights
from model.network import Network, build
from tests.conftest import signed_in
from tests.drawing import draw, photograph


def saying(digit: int) -> Network:
    """Return a network that takes every mark for the same digit."""
    network = build([["dense", 784, 10]], 1)
    network.weights[...] = 0
    network.layers[0].parameters["bias"][digit] = 9
    return network


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "networks")


@pytest.fixture
def reader(vault: Vault) -> Reader:
    return Reader(vault.load_current().network)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def a_three() -> Frame:
    return photograph(draw(3))


def test_a_promotion_is_noticed_within_a_second_and_told(
    vault: Vault, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    networks = LiveNetwork(vault, reader, vault.load_current(), clock=clock)
    shipped = networks.id
    id = vault.add(saying(8), {"preset": "eight"})
    vault.promote(id)
    clock.now += 0.9
    networks.refresh()
    assert (networks.id, reader.read(a_three()).digit) == (shipped, 3)
    clock.now += 0.2
    networks.refresh()
    assert (networks.id, reader.read(a_three()).digit) == (id, 8)
    assert networks.card()["preset"] == "eight"
    assert networks.card()["problem"] is None
    clock.now += 5
    networks.refresh()
    (line,) = caplog.messages
    assert line.startswith(f"reads with network {id} from now on, promoted 2")


def test_a_look_asks_the_disk_once_a_second(
    vault: Vault, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, asked = Clock(), []
    networks = LiveNetwork(vault, reader, vault.load_current(), clock=clock)
    monkeypatch.setattr(vault, "stamp", lambda: asked.append(clock.now) or "")
    for _ in range(40):
        clock.now += 0.125
        networks.refresh()
    assert asked == [101, 102, 103, 104, 105]


def test_a_promotion_between_the_start_and_the_first_look_is_not_missed(
    vault: Vault, reader: Reader
) -> None:
    held = vault.load_current()
    id = vault.add(saying(8), {})
    vault.promote(id)
    networks = LiveNetwork(vault, reader, held)
    networks.refresh(at_once=True)
    assert networks.id == id


def test_a_reading_ends_with_the_network_that_it_began_with(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    from appliance.reader import reader as under_test

    sheet = np.maximum(draw(3, centre=(160, 240)), draw(5, centre=(480, 240)))
    make_glyph, seen = under_test.make_glyph, []

    def promoted_meanwhile(ink: Any) -> Any:
        seen.append(1)
        if len(seen) == 1:
            reader.use(saying(8))
        return make_glyph(ink)

    monkeypatch.setattr(under_test, "make_glyph", promoted_meanwhile)
    first = reader.read(photograph(sheet))
    assert [mark.digit for mark in first.marks] == [3, 5]
    assert {mark.digit for mark in reader.read(photograph(sheet)).marks} == {8}


def test_a_damaged_promotion_leaves_the_one_before_and_says_so(
    vault: Vault, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    networks = LiveNetwork(vault, reader, vault.load_current())
    shipped = networks.id
    id = vault.add(saying(8), {})
    vault.promote(id)
    (vault.folder / f"{id}.npz").write_bytes(b"")
    networks.refresh(at_once=True)
    assert networks.id == shipped
    assert "the current network is damaged" in networks.card()["problem"]
    assert len(caplog.messages) == 1
    networks.refresh(at_once=True)
    assert len(caplog.messages) == 1


def test_with_every_file_damaged_what_is_in_memory_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights.save(tmp_path / "shipped.npz", saying(4), {})
    vault = Vault(tmp_path / "networks", shipped=tmp_path / "shipped.npz")
    held = vault.load_current()
    reader = Reader(held.network)
    networks = LiveNetwork(vault, reader, held)
    id = vault.add(saying(8), {})
    vault.promote(id)
    (vault.folder / f"{id}.npz").write_bytes(b"")
    (tmp_path / "shipped.npz").write_bytes(b"")
    for _ in range(2):
        networks.refresh(at_once=True)
    assert (networks.id, reader.read(a_three()).digit) == (held.id, 4)
    assert "install the appliance again" in networks.card()["problem"]
    assert len(caplog.messages) == 1


def test_a_file_that_the_settings_name_stays(vault: Vault, reader: Reader) -> None:
    networks = LiveNetwork(vault, reader, vault.load_current(), configured_file="mine.npz")
    shipped = networks.id
    vault.promote(vault.add(saying(8), {}))
    networks.refresh(at_once=True)
    assert networks.id == shipped


# ---- the API ----


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def networks(vault: Vault, reader: Reader, clock: Clock) -> LiveNetwork:
    return LiveNetwork(vault, reader, vault.load_current(), clock=clock)


def test_the_api_lists_promotes_and_rolls_back(
    client: FlaskClient, vault: Vault, reader: Reader, latest: Latest
) -> None:
    latest.show(Reading(at=0, frame=make_frame(np.zeros((4, 4), np.uint8), 0)))
    id = vault.add(saying(8), {"preset": "eight", "test": {"right": 1, "total": 10}})
    listed = client.get("/api/v1/networks").get_json()
    assert [each["state"] for each in listed["networks"]] == ["candidate", "current"]
    shipped = listed["networks"][1]["id"]
    assert listed["reads"] == {"id": shipped, "problem": None, "file": None}
    assert listed["before"] is None

    done = client.post(f"/api/v1/networks/{id}/promote").get_json()
    assert [each["state"] for each in done["networks"]] == ["current", "previous"]
    assert (done["reads"]["id"], done["before"]) == (id, shipped)
    assert reader.read(a_three()).digit == 8
    health = client.get("/api/v1/health").get_json()
    assert (health["network"]["id"], health["network"]["preset"]) == (id, "eight")

    one = client.get(f"/api/v1/networks/{id}?beside={shipped}").get_json()
    assert one["card"]["preset"] == "eight"
    assert one["facts"]["preset"] == ["eight", "appliance"]

    back = client.post("/api/v1/networks/roll-back", json={}).get_json()
    assert back["reads"]["id"] == shipped
    assert reader.read(a_three()).digit == 3
    refused = client.post("/api/v1/networks/roll-back")
    assert refused.status_code == 409
    assert refused.get_json()["detail"].startswith("there is no network before")


def test_an_unknown_a_damaged_and_an_unwritable_network_are_sentences(
    client: FlaskClient, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = vault.add(saying(8), {})
    for path in ("0" * 12, "..%2F..%2Fetc", "shipped", "current"):
        assert client.get(f"/api/v1/networks/{path}").status_code == 404
        assert client.post(f"/api/v1/networks/{path}/promote").status_code == 404
    assert client.get(f"/api/v1/networks/{id}?beside=nothing").status_code == 404
    with monkeypatch.context() as full:

        def replaced(path: Path) -> None:
            raise OSError(28, "No space left on device")

        full.setattr("appliance.networks.promotions.replace_file", replaced)
        answer = client.post(f"/api/v1/networks/{id}/promote")
        assert answer.status_code == 503
        assert "No space left on device" in answer.get_json()["detail"]
    (vault.folder / f"{id}.npz").write_bytes(b"")
    assert client.get("/api/v1/networks").get_json()["networks"][0]["state"] == "damaged"
    answer = client.post(f"/api/v1/networks/{id}/promote")
    assert answer.status_code == 409
    assert f"network {id} cannot read" in answer.get_json()["detail"]


def test_without_frames_the_page_notices_a_promotion(
    client: FlaskClient, vault: Vault, clock: Clock
) -> None:
    id = vault.add(saying(8), {})
    vault.promote(id)
    clock.now += 2
    assert client.get("/api/v1/health").get_json()["network"]["id"] == id


def test_a_file_that_the_settings_name_is_told_when_promoting(
    parts: dict[str, Any], vault: Vault, reader: Reader, owner: OwnerPin
) -> None:
    held = vault.load_current()._replace(id="f" * 12)
    parts["networks"] = LiveNetwork(vault, reader, held, configured_file="/home/me/mine.npz")
    app = create_app(**parts)
    client = signed_in(app.test_client(), owner.make_pin())
    id = vault.add(saying(8), {})
    done = client.post(f"/api/v1/networks/{id}/promote").get_json()
    assert done["networks"][0]["state"] == "current"
    assert done["reads"] == {"id": "f" * 12, "problem": None, "file": "/home/me/mine.npz"}


# ---- the command ----

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    config = tmp_path / "digits.toml"
    config.write_text("")

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["networks", *words, "--state", str(tmp_path), "--config", str(config)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_command_lists_promotes_shows_compares_and_rolls_back(
    command: Command, vault: Vault
) -> None:
    card = {"parent": "0" * 12, "test": {"right": 99, "total": 100}, "seed": 7}
    id = vault.add(saying(8), card)
    code, out, err = command("list")
    assert (code, err) == (0, "")
    head, first, last = out.splitlines()
    assert head.split() == ["id", "state", "made", "MNIST", "own", "digits", "parent"]
    assert first.startswith(f"{id}  candidate")
    assert first.split()[-4:] == ["99.00", "%", "–", "0" * 12]
    shipped = last.split()[0]
    assert command("promote", id)[1].startswith(f"network {id} is the current one")
    assert vault.load_current().id == id
    assert "seed: 7\n" in command("show", id)[1]
    assert "seed:\n  7\n  1\n" in command("compare", id, shipped)[1]
    assert json.loads(command("compare", id, shipped, "--json")[1])["id"] == [id, shipped]
    assert json.loads(command("show", id, "--json")[1])["card"]["seed"] == 7
    assert json.loads(command("roll-back", "--json")[1]) == {"current": shipped, "file": ""}
    states = [each["state"] for each in json.loads(command("--json")[1])["networks"]]
    assert states == ["candidate", "current"]


def test_the_command_fails_in_a_sentence(command: Command, vault: Vault) -> None:
    for words in (["promote", "0" * 12], ["show", "../x"], ["compare", "a", "b"]):
        code, out, err = command(*words)
        assert (code, out) == (1, "")
        assert err.startswith("digits: there is no network ")
    code, _, err = command("roll-back")
    assert code == 1
    assert err.startswith("digits: there is no network before the current one")


def test_the_command_tells_what_is_wrong(command: Command, vault: Vault, tmp_path: Path) -> None:
    id = vault.add(saying(8), {})
    vault.promote(id)
    (vault.folder / f"{id}.npz").write_bytes(b"")
    code, out, err = command()
    assert code == 0
    assert f"{id}  damaged" in out
    assert err.startswith("digits: the current network is damaged")
    (tmp_path / "digits.toml").write_text('[reader]\nnetwork = "/home/me/mine.npz"\n')
    assert "the settings name /home/me/mine.npz, which reads instead" in command("roll-back")[2]

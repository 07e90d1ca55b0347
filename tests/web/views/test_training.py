"""The training on the page: what it says, its curves, and who starts and ends it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from appliance.captures.store import Captures
from appliance.errors import TrainingError
from appliance.training import records
from appliance.training.lock import hold_training_lock
from appliance.training.process import TrainingProcess
from appliance.web.draw.curves import render_learning_curves
from appliance.web.language import load_texts
from appliance.web.views.training import sentence
from tests.conftest import ROOT, FakeTrainingProcess

EPOCHS = [
    {"number": n, "of": 5, "loss": 0.2 / n, "validation": 0.99 + n / 1000, "camera": 0.95}
    for n in (1, 2, 3)
]
ENGLISH = load_texts("en")
CURVE = [[0.1, 0.25], [0.2, 0.2], [0.6, 0.07]]
NIGHT = {
    "at": 900.0,
    "outcome": "promoted",
    "why": "17 of 20 of your held-out digits right, 12 before, and no worse on the others",
    "candidate": "0a3be1d2ffaa",
    "outcomes": {"your digits": {"total": 20, "before": 12, "after": 17, "won": 5, "lost": 0}},
    "curve": CURVE,
    "epochs": EPOCHS,
}


def told(folder: Path, **facts: Any) -> None:
    records.Progress(records.progress_path(folder), **facts).save()


# ---- what it says ----


def progress(state: str, sentence: str, share: float = 0.0) -> dict[str, Any]:
    return {"state": state, "sentence": sentence, "progress": share}


@pytest.mark.parametrize(
    ("running", "now", "past", "said"),
    [
        (False, None, [], "It has not trained yet."),
        (True, None, [], "It starts."),
        (True, progress("ended", "old"), [NIGHT], "It starts."),
        (True, progress("training", "epoch 2 of 5"), [], "It trains: epoch 2 of 5."),
        (True, progress("waiting", "waits: it is hot"), [], "It waits: it is hot."),
        (False, progress("training", "epoch 2 of 5", 0.43), [], "interrupted at 43%: the next"),
        (False, progress("preparing", "looks"), [NIGHT], "interrupted before it had begun: the"),
        (False, progress("ended", "no captures"), [NIGHT], "The last training gave up: no capt"),
        (False, progress("ended", "Too few."), [], "The last training gave up: Too few."),
        (False, progress("ended", NIGHT["why"]), [NIGHT], "The last candidate reads now: 17 of 20"),
        (False, None, [NIGHT | {"outcome": "kept"}], "was not promoted: 17 of 20"),
        (False, None, [NIGHT | {"outcome": "left"}], "The last training is not at its end: 17"),
    ],
)
def test_one_sentence_tells_what_it_does(
    running: bool, now: dict[str, Any] | None, past: list[dict[str, Any]], said: str
) -> None:
    found = sentence(running, now, past)
    assert said in found
    assert found.count(".") == 1


def test_a_start_that_failed_without_a_word_is_told(
    client: FlaskClient, training: FakeTrainingProcess
) -> None:
    training.failed = "the training did not begin (code 1): the journal tells why"
    answer = client.get("/api/v1/training").get_json()
    assert answer["sentence"] == "The training did not begin (code 1): the journal tells why."


def test_the_api_tells_progress_nights_and_whether_it_is_worth_it(
    client: FlaskClient, training: FakeTrainingProcess, captures: Captures
) -> None:
    first = client.get("/api/v1/training")
    answer = first.get_json()
    assert (answer["running"], answer["progress"], answer["curve"]) == (False, None, None)
    assert (answer["nights"], answer["captures"], answer["worth"]) == ([], 0, False)
    assert answer["enough"] == captures.enough().sentence
    assert client.get("/api/v1/training/curve.svg").status_code == 404
    same = {"If-None-Match": first.headers["ETag"]}
    assert client.get("/api/v1/training", headers=same).status_code == 304

    records.append_night(training.state, NIGHT)
    answer = client.get("/api/v1/training", headers=same).get_json()
    (night,) = answer["nights"]
    assert night == {key: NIGHT[key] for key in NIGHT if key not in ("curve", "epochs")}
    # After a restart of the machine there is no progress: the last night's curve is shown.
    assert answer["curve"] == "900.0-3-3"

    training.runs = True
    told(training.state, state="preparing", sentence="looks at what there is to learn from")
    answer = client.get("/api/v1/training").get_json()
    assert answer["sentence"] == "It looks at what there is to learn from."
    assert answer["curve"] is None
    told(training.state, state="training", sentence="epoch 1 of 5", curve=CURVE[:1], loss=0.25)
    answer = client.get("/api/v1/training").get_json()
    assert answer["progress"]["loss"] == 0.25
    assert answer["curve"].endswith("-1-0")
    svg = client.get("/api/v1/training/curve.svg")
    assert (svg.status_code, svg.mimetype) == (200, "image/svg+xml")


def test_a_loss_that_diverged_is_null(client: FlaskClient, training: FakeTrainingProcess) -> None:
    training.runs = True
    told(training.state, state="training", loss=float("nan"), curve=[(0.1, float("inf"))])
    text = client.get("/api/v1/training").text
    assert json.loads(text, parse_constant=pytest.fail)["progress"]["loss"] is None


def test_the_captures_and_nights_are_looked_through_once_for_many_polls(
    client: FlaskClient, captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/api/v1/training")
    monkeypatch.setattr(captures, "blocks", lambda: pytest.fail("looked through again"))
    monkeypatch.setattr(records, "load_nights", lambda *_: pytest.fail("read again"))
    for _ in range(3):
        assert client.get("/api/v1/training").status_code == 200


# ---- started and stopped over the API ----


def test_the_api_starts_and_stops(client: FlaskClient, training: FakeTrainingProcess) -> None:
    assert client.post("/api/v1/training/stop").status_code == 409
    assert client.post("/api/v1/training").status_code == 202
    assert client.post("/api/v1/training", json={"from_scratch": True}).status_code == 202
    assert client.post("/api/v1/training", json={"from_scratch": "yes"}).status_code == 400
    assert client.post("/api/v1/training", json=[1]).status_code == 400
    training.runs = True
    again = client.post("/api/v1/training")
    assert (again.status_code, again.mimetype) == (409, "application/problem+json")
    assert "running already" in again.get_json()["detail"]
    assert client.post("/api/v1/training/stop").status_code == 202
    assert training.asked == ["start", "from scratch", "stop"]


# ---- the curves ----


def words(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter() if each.text]


def test_the_curves_are_an_svg_with_a_name_and_words_for_it() -> None:
    svg = render_learning_curves(CURVE, EPOCHS, 0, ENGLISH)
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    names = (root.get("aria-labelledby") or "").split()
    assert {each.get("id") for each in root if each.get("id")} == set(names)
    said = " ".join(words(svg))
    assert "The loss went from 0.250 to 0.070." in said
    assert "held-out digits: 99.10% after the first epoch, 99.30% after the last of 3." in said
    assert {"Loss", "epoch", "0", "5", "0.3", "94 %", "100 %"} <= set(words(svg))
    # The page's policy allows no style; a colour of its own would not be seen on light and dark.
    assert "style" not in svg
    assert "#" not in svg


def test_the_curves_run_from_left_to_right_inside_of_the_picture() -> None:
    root = ElementTree.fromstring(render_learning_curves(CURVE, EPOCHS, 0, ENGLISH))
    dots = [each for each in root.iter() if each.tag.endswith("circle")]
    assert len(dots) == 6
    for group in ("loss", "others", "held-out"):
        (line,) = [each for each in root if each.get("class") == group]
        path = (line[0].get("d") or "")[1:].split("L")
        points = [tuple(map(float, each.split())) for each in path]
        assert len(points) == 3
        assert points == sorted(points)
        assert all(44 <= x <= 350 and 26 <= y <= 264 for x, y in points)


@pytest.mark.parametrize(
    ("curve", "epochs"),
    [
        ([], []),
        ([[0.5, 0.1]], []),
        ([[0.0, 0.0], [1.0, 0.0]], []),
        ([[0.5, float("nan")], [0.6, float("inf")]], []),
        ([], [{"number": 1, "of": 1, "loss": 1.0, "validation": None, "camera": None}]),
        ([], [{"number": 40, "of": 40, "loss": 1.0, "validation": 1.0, "camera": 0.1}]),
        ([[1.0, 1e9]], [{"number": 1, "of": 1, "loss": 1.0, "validation": 1.0, "camera": 1.0}]),
    ],
)
def test_few_equal_or_impossible_points_make_a_whole_picture(curve: Any, epochs: Any) -> None:
    svg = render_learning_curves(curve, epochs, 40, ENGLISH)
    ElementTree.fromstring(svg)
    assert "nan" not in svg
    assert "inf" not in svg


# ---- the process ----


HOLDS_THE_LOCK = """
import fcntl, json, os, signal, sys, time
state = sys.argv[sys.argv.index("--state") + 1]
lock = os.open(state + "/retrain.lock", os.O_CREAT | os.O_RDONLY)
fcntl.flock(lock, fcntl.LOCK_EX)
with open(state + "/words.json", "w") as file:
    json.dump(sys.argv[1:] + [os.getcwd(), os.getsid(0) == os.getpid()], file)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
with open(state + "/retrain.new", "w") as file:
    json.dump({"pid": os.getpid(), "updated": time.time()}, file)
os.replace(state + "/retrain.new", state + "/retrain.json")
print("ready", flush=True)
signal.pause()
"""


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.fixture(autouse=True)
def no_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[TrainingProcess]:
    config = tmp_path / "digits.toml"
    trainer = TrainingProcess(
        tmp_path, config=config, command=[sys.executable, "-c", HOLDS_THE_LOCK]
    )
    yield trainer
    if trainer._child is not None:
        trainer._child.kill()
        trainer._child.wait()


def test_a_training_runs_beside_the_page_and_ends_when_told(
    trainer: TrainingProcess, tmp_path: Path
) -> None:
    assert not trainer.is_running()
    trainer.start(from_scratch=True)
    assert trainer.is_running()
    with pytest.raises(TrainingError, match="running already"):
        trainer.start()
    until(lambda: records.load_progress(tmp_path) is not None)
    state, config = str(tmp_path), str(tmp_path / "digits.toml")
    root = str(ROOT)
    assert json.loads((tmp_path / "words.json").read_text()) == [
        "retrain", "--state", state, "--config", config, "--from-scratch", root, True,
    ]  # fmt: skip
    child = trainer._child
    assert child is not None
    trainer.stop()
    # Nothing but the reaping thread waits for it here: there is no zombie.
    until(lambda: not Path(f"/proc/{child.pid}").exists())
    until(lambda: child.returncode == 130)
    assert not trainer.is_running()
    assert trainer.failure() is None
    with pytest.raises(TrainingError, match="nothing to stop"):
        trainer.stop()
    trainer.start()
    assert trainer.is_running()


def test_one_that_another_started_is_seen_and_stopped(
    trainer: TrainingProcess, tmp_path: Path
) -> None:
    words = [*trainer._command, "retrain", "--state", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert trainer.is_running()
        with pytest.raises(TrainingError, match="running already"):
            trainer.start()
        trainer.stop()
        assert other.wait(20) == 130
    assert not trainer.is_running()


def test_a_number_that_another_program_has_by_now_gets_no_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    trainer = TrainingProcess(tmp_path)
    told(tmp_path, pid=os.getpid())
    with pytest.raises(TrainingError, match="nothing to stop"):
        trainer.stop()
    monkeypatch.setattr("appliance.training.process._is_retrain_command", lambda pid: False)
    with (
        hold_training_lock(tmp_path),
        pytest.raises(TrainingError, match="end it where it was started"),
    ):
        trainer.stop()


def test_another_users_training_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(pid: int, number: int) -> None:
        assert number == signal.SIGTERM
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr("appliance.training.process._is_retrain_command", lambda pid: True)
    told(tmp_path, pid=77)
    with (
        hold_training_lock(tmp_path),
        pytest.raises(TrainingError, match="belongs to another user"),
    ):
        TrainingProcess(tmp_path).stop()


def test_one_that_fails_at_once_is_a_sentence(tmp_path: Path) -> None:
    trainer = TrainingProcess(tmp_path, command=[sys.executable, "-c", "raise SystemExit(3)"])
    trainer.start()
    until(lambda: not trainer.is_running())
    assert (trainer.failure() or "").startswith("the training did not begin (code 3): 'journalctl")
    # One that told of itself has said why.
    assert trainer._child is not None
    told(tmp_path, pid=trainer._child.pid)
    assert trainer.failure() is None


def test_a_program_that_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    trainer = TrainingProcess(tmp_path, command=[str(tmp_path / "nothing")])
    with pytest.raises(TrainingError, match="cannot be started"):
        trainer.start()
    assert not trainer.is_running()


def test_one_begun_by_hand_is_told_beside_the_place_in_ram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(tmp_path, sentence="by hand")
    ram = tmp_path / "run"
    ram.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(ram))
    assert (records.load_progress(tmp_path) or {})["sentence"] == "by hand"
    told(tmp_path, sentence="by the timer")
    assert (records.load_progress(tmp_path) or {})["sentence"] == "by the timer"
    (ram / "retrain.json").write_text("[]")
    assert (records.load_progress(tmp_path) or {})["sentence"] == "by hand"

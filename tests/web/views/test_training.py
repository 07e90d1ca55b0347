"""The training over the API: what it says, its curve, start and stop."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from appliance.captures.store import Captures
from appliance.training import records
from appliance.web.views.training import sentence
from tests.conftest import FakeTrainingProcess

EPOCHS = [
    {"number": n, "of": 5, "loss": 0.2 / n, "validation": 0.99 + n / 1000, "camera": 0.95}
    for n in (1, 2, 3)
]
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


def write_progress(folder: Path, **facts: Any) -> None:
    records.Progress(records.progress_path(folder), **facts).save()


def progress(state: str, sentence: str, share: float = 0.0) -> dict[str, Any]:
    return {"state": state, "sentence": sentence, "progress": share}


@pytest.mark.parametrize(
    ("running", "now", "past", "words"),
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
def test_one_sentence_says_what_the_training_does(
    running: bool, now: dict[str, Any] | None, past: list[dict[str, Any]], words: str
) -> None:
    text = sentence(running, now, past)
    assert words in text
    assert text.count(".") == 1


def test_a_start_that_failed_without_a_word_is_a_sentence(
    client: FlaskClient, training: FakeTrainingProcess
) -> None:
    training.failed = "the training did not begin (code 1): the journal tells why"
    answer = client.get("/api/v1/training").get_json()
    assert answer["sentence"] == "The training did not begin (code 1): the journal tells why."


def test_the_api_has_progress_nights_and_readiness(
    client: FlaskClient, training: FakeTrainingProcess, captures: Captures
) -> None:
    first = client.get("/api/v1/training")
    answer = first.get_json()
    assert (answer["running"], answer["progress"], answer["curve"]) == (False, None, None)
    assert (answer["nights"], answer["captures"], answer["worth"]) == ([], 0, False)
    assert answer["enough"] == captures.measure_readiness().sentence
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
    write_progress(
        training.state, state="preparing", sentence="looks at what there is to learn from"
    )
    answer = client.get("/api/v1/training").get_json()
    assert answer["sentence"] == "It looks at what there is to learn from."
    assert answer["curve"] is None
    write_progress(
        training.state, state="training", sentence="epoch 1 of 5", curve=CURVE[:1], loss=0.25
    )
    answer = client.get("/api/v1/training").get_json()
    assert answer["progress"]["loss"] == 0.25
    assert answer["curve"].endswith("-1-0")
    svg = client.get("/api/v1/training/curve.svg")
    assert (svg.status_code, svg.mimetype) == (200, "image/svg+xml")


def test_a_loss_that_diverged_is_null(client: FlaskClient, training: FakeTrainingProcess) -> None:
    training.runs = True
    write_progress(training.state, state="training", loss=float("nan"), curve=[(0.1, float("inf"))])
    text = client.get("/api/v1/training").text
    assert json.loads(text, parse_constant=pytest.fail)["progress"]["loss"] is None


def test_the_captures_and_nights_are_looked_through_once_for_many_polls(
    client: FlaskClient, captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/api/v1/training")
    monkeypatch.setattr(captures, "iter_blocks", lambda: pytest.fail("looked through again"))
    monkeypatch.setattr(records, "load_nights", lambda *_: pytest.fail("read again"))
    for _ in range(3):
        assert client.get("/api/v1/training").status_code == 200


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

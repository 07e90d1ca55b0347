"""Teaching over the API, through Flask's test client."""

import base64
import io
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from appliance.captures.archive import LONGEST_SIDE, export_zip
from appliance.captures.store import Captures
from appliance.device.owner_pin import OwnerPin
from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import Latest, Recent
from appliance.reader.reader import Reader
from appliance.reading import Reading
from model.network import build
from tests.captured import add_capture, glyph
from tests.captures.test_store import damaged
from tests.conftest import SAMPLES, signed_in

PATH = "/api/v1/captures"


def detail(answer: Any) -> str:
    assert answer.content_type == "application/problem+json"
    return str(answer.get_json(force=True)["detail"])


def test_a_tap_keeps_the_reading_just_shown(
    client: FlaskClient,
    captures: Captures,
    latest: Latest,
    networks: LiveNetwork,
    a_seven: Reading,
) -> None:
    latest.show(a_seven)
    reading = client.get("/api/v1/reading").get_json()
    body = {"label": 1, "reading": reading["number"], "at": reading["at"]}
    answer = client.post(PATH, json=body)
    assert answer.status_code == 201
    capture = captures.get(answer.get_json()["id"])
    assert (capture.label, capture.said, capture.corrected, capture.at) == (1, 7, True, 1000.0)
    assert capture.network == networks.card()["sha256"]
    assert capture.confidence == a_seven.confidence
    np.testing.assert_array_equal(capture.glyph, np.rint(a_seven.glyph * 255))
    assert len(capture.picture) < 8000
    with Image.open(io.BytesIO(capture.picture)) as picture:
        assert (picture.mode, max(picture.size)) == ("L", LONGEST_SIDE)


def test_what_a_tap_keeps_can_be_exported_and_comes_in_again(
    client: FlaskClient, captures: Captures, latest: Latest, a_seven: Reading, tmp_path: Path
) -> None:
    latest.show(a_seven)
    client.post(PATH, json={"label": 7, "reading": 1})
    with client.get(f"{PATH}/export") as answer:
        assert answer.mimetype == "application/zip"
        data = answer.data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == 3
    again = client.post(f"{PATH}/import", data=data)
    assert again.get_json() == {"added": 0, "known": 1}
    client.delete(f"{PATH}/1")
    assert client.post(f"{PATH}/import", data=data).get_json()["added"] == 1
    # The file that went between had no name.
    assert {path.suffix for path in tmp_path.iterdir() if "captures" in path.name} <= {
        ".db", ".db-wal", ".db-shm", ".lock",
    }  # fmt: skip


def test_a_tap_that_comes_late_still_hits_the_reading_it_was_for(
    client: FlaskClient, captures: Captures, latest: Latest, a_seven: Reading
) -> None:
    latest.show(a_seven)
    for at in range(7):
        latest.show(a_seven._replace(at=2000.0 + at, digit=3))
    for at in range(20):
        latest.show(Reading(at=3000.0 + at, reason="blank"))
    assert client.post(PATH, json={"label": 7, "reading": 1}).status_code == 201
    assert captures.list_newest()[0].at == 1000.0
    latest.show(a_seven._replace(at=4000.0))
    late = client.post(PATH, json={"label": 7, "reading": 1})
    assert late.status_code == 409
    assert "no longer the one shown" in detail(late)


def test_a_reading_of_before_a_restart_is_not_taken_for_the_one_of_now(
    client: FlaskClient, captures: Captures, latest: Latest, a_seven: Reading
) -> None:
    latest.show(a_seven)
    answer = client.post(PATH, json={"label": 7, "reading": 1, "at": 999.0})
    assert answer.status_code == 409
    assert captures.list_newest() == []


def test_a_blank_reading_cannot_be_labelled(client: FlaskClient, latest: Latest) -> None:
    assert client.post(PATH, json={"label": 7, "reading": 1}).status_code == 409
    latest.show(Reading(at=0, reason="blank"))
    answer = client.post(PATH, json={"label": 7, "reading": 1})
    assert answer.status_code == 409
    assert "nothing was in view" in detail(answer)


def test_a_second_tap_on_a_reading_changes_the_first_and_one_after_undo_is_new(
    client: FlaskClient, captures: Captures, latest: Latest, a_seven: Reading
) -> None:
    latest.show(a_seven)
    body = {"label": 1, "reading": 1}
    first = client.post(PATH, json=body).get_json()["id"]
    assert client.post(PATH, json={**body, "label": 2}).get_json()["id"] == first
    assert [each.label for each in captures.list_newest()] == [2]
    client.delete(f"{PATH}/{first}")
    assert captures.list_newest() == []
    assert client.post(PATH, json=body).get_json()["id"] != first
    assert [each.label for each in captures.list_newest()] == [1]


def test_ones_own_drawing_can_be_labelled(client: FlaskClient, captures: Captures) -> None:
    numbers = []
    for name in ("2-marker.jpg", "3-pen.jpg"):
        body = client.post("/api/v1/read", data=(SAMPLES / name).read_bytes()).get_json()
        numbers.append(body["number"])
    assert max(numbers) < 0
    assert client.post(PATH, json={"label": 5, "reading": numbers[0]}).status_code == 201
    (capture,) = captures.list_newest()
    assert (capture.label, capture.said) == (5, 2)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"label": 7}, "reading must be a whole number: send JSON such as {"),
        ({"label": "7", "reading": 1}, "label must be a whole number from 0 to 10"),
        ({"label": True, "reading": 1}, "label must be a whole number from 0 to 10"),
        ({"label": 11, "reading": 1}, "label must be a whole number from 0 to 10"),
        ({"label": 10**30, "reading": 1}, "label must be a whole number from 0 to 10"),
        ({"label": 7, "reading": 1, "at": "now"}, "at must be a number or null"),
        ([], "the body must be a JSON object"),
    ],
)
def test_a_wrong_body_is_a_sentence(
    client: FlaskClient, latest: Latest, a_seven: Reading, body: Any, sentence: str
) -> None:
    latest.show(a_seven)
    answer = client.post(PATH, json=body)
    assert answer.status_code == 400
    assert sentence in detail(answer)


def test_text_that_is_no_json_is_a_sentence(client: FlaskClient) -> None:
    answer = client.post(PATH, data="{", content_type="application/json")
    assert answer.status_code == 400
    assert "JSON object" in detail(answer)


def test_the_list_has_glyphs_counts_and_pages(client: FlaskClient, captures: Captures) -> None:
    for each, label in enumerate((1, 2, 1)):
        add_capture(captures, label=label, glyph=glyph(each))
    body = client.get(f"{PATH}?label=1&limit=1").get_json()
    assert [each["id"] for each in body["captures"]] == [3]
    assert (body["total"], body["counts"], body["limit"]) == (3, [0, 2, 1] + [0] * 8, 100)
    data = base64.b64decode(body["captures"][0]["glyph"].split(",")[1])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), glyph(2))
    older = client.get(f"{PATH}?label=1&before=3").get_json()["captures"]
    assert [each["id"] for each in older] == [1]
    some = client.get(f"{PATH}?ids=3,99,1").get_json()["captures"]
    assert [each["id"] for each in some] == [3, 1]
    assert client.get(f"{PATH}?ids=").get_json()["captures"] == []
    picture = client.get(f"{PATH}/1/picture")
    assert (picture.mimetype, picture.data) == ("image/png", captures.get(1).picture)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "label=11", "label=x", "before=-1", "before=²", "deleted=2"]
    + ["ids=1,x", "ids=,", f"before={'9' * 5000}", f"ids={'9' * 5000}"],
)
def test_a_wrong_query_is_a_sentence(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert "must be" in detail(answer)


def test_relabel_delete_and_restore(client: FlaskClient, captures: Captures) -> None:
    add_capture(captures)
    body = client.patch(f"{PATH}/1", json={"label": 10}).get_json()
    assert (body["label"], body["corrected"]) == (10, True)
    assert client.delete(f"{PATH}/1").status_code == 200
    assert client.get(PATH).get_json()["captures"] == []
    assert [each["id"] for each in client.get(f"{PATH}?deleted=1").get_json()["captures"]] == [1]
    assert client.post(f"{PATH}/1/restore").get_json()["label"] == 10
    assert client.get(PATH).get_json()["total"] == 1


@pytest.mark.parametrize("number", ["2", "999999999999", "9" * 40, "x"])
def test_a_capture_that_is_not_there_is_a_sentence(client: FlaskClient, number: str) -> None:
    answers = [
        client.patch(f"{PATH}/{number}", json={"label": 1}),
        client.delete(f"{PATH}/{number}"),
        client.post(f"{PATH}/{number}/restore"),
        client.get(f"{PATH}/{number}/picture"),
    ]
    assert {answer.status_code for answer in answers} <= {404, 405}
    assert all(detail(answer) for answer in answers)
    if number == "2":
        assert all("there is no capture 2" in detail(answer) for answer in answers)


def test_the_report_is_the_present_networks(
    client: FlaskClient, captures: Captures, reader: Reader, a_seven: Reading
) -> None:
    pixels = np.rint(a_seven.glyph * 255).astype(np.uint8)
    for label in (7, 7, 2):
        add_capture(captures, label=label, glyph=pixels)
    body = client.get(f"{PATH}/report").get_json()
    (suspect,) = body["mislabelled"]
    assert (suspect["id"], suspect["looks_like"]) == (3, 7)
    assert body["alike"] == [[1, 2, 3]]
    assert (body["enough"], body["counts"][7]) == (False, 2)
    assert len(body["sentences"]) == 3


def test_no_more_room_is_a_sentence(
    client: FlaskClient, captures: Captures, latest: Latest, a_seven: Reading
) -> None:
    captures.limit = 1
    add_capture(captures, label=3)
    latest.show(a_seven)
    answer = client.post(PATH, json={"label": 7, "reading": 1})
    assert answer.status_code == 507
    assert "export them, then delete some" in detail(answer)


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_export_is_a_sentence(
    client: FlaskClient, captures: Captures, data: bytes
) -> None:
    answer = client.post(f"{PATH}/import", data=data)
    assert answer.status_code == 400
    assert detail(answer)


def test_a_file_that_is_too_large_for_the_page_is_a_sentence(client: FlaskClient) -> None:
    answer = client.post(f"{PATH}/import", data=bytes(1_000_001))
    assert answer.status_code == 413
    assert "digits captures import" in detail(answer)


def test_the_page_says_that_a_damaged_file_was_put_aside(
    latest: Latest, tmp_path: Path, app: Flask
) -> None:
    damaged(tmp_path / "d.db")
    captures = Captures(tmp_path / "d.db")
    assert app.test_client().get(PATH).get_json()["notice"] is None
    from appliance.web.views.captures import blueprint

    other = Flask(__name__)
    parts: dict[str, Any] = {"latest": latest, "sent": Recent(), "reader": None}
    other.register_blueprint(blueprint(captures=captures, **parts))
    assert "was damaged" in other.test_client().get(PATH).get_json()["notice"]
    captures.close()


@pytest.mark.slow
def test_thousands_are_counted_and_a_report_is_not_made_twice(
    client: FlaskClient, captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures.limit = 1500
    rng = np.random.default_rng(0)
    for each in range(1200):
        noise = rng.integers(0, 256, (28, 28), dtype=np.uint8)
        add_capture(captures, label=each % 10, glyph=noise)
    listed = client.get(PATH).get_json()
    assert (listed["total"], len(listed["captures"])) == (1200, 50)
    report = client.get(f"{PATH}/report").get_json()
    monkeypatch.setattr(captures, "iter_blocks", lambda: pytest.fail("looked through again"))
    assert client.get(f"{PATH}/report").get_json() == report


def test_taps_at_once_keep_one_capture(
    app: Flask, owner: OwnerPin, captures: Captures, latest: Latest, a_seven: Reading
) -> None:
    latest.show(a_seven)
    pin = owner.make_pin()

    def tap(label: int) -> None:
        client = signed_in(app.test_client(), pin)
        client.post(PATH, json={"label": label, "reading": 1})

    threads = [threading.Thread(target=tap, args=(label,)) for label in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(captures.list_newest()) == 1


def test_an_export_of_nothing_is_a_zip_that_comes_in(
    client: FlaskClient, captures: Captures
) -> None:
    file = io.BytesIO()
    assert export_zip(captures, file) == 0
    answer = client.post(f"{PATH}/import", data=file.getvalue())
    assert answer.get_json() == {"added": 0, "known": 0}


def test_a_capture_names_the_network_that_had_read_not_the_one_that_reads_now(
    client: FlaskClient, captures: Captures, reader: Reader, a_seven: Reading
) -> None:
    had_read = reader.id
    file = io.BytesIO()
    Image.fromarray(a_seven.frame.grey).save(file, "PNG")  # type: ignore[union-attr]
    read = client.post("/api/v1/read", data=file.getvalue()).get_json()
    before = reader.network
    try:
        reader.use(build([["dense", 784, 10]], seed=3))
        assert client.post(PATH, json={"label": 7, "reading": read["number"]}).status_code == 201
        assert captures.list_newest()[0].network == had_read != reader.id
    finally:
        reader.use(before)


def test_one_export_is_made_at_a_time_and_its_end_makes_room_for_the_next(
    client: FlaskClient, captures: Captures
) -> None:
    for each in range(3):
        add_capture(captures, glyph=glyph(each))
    first = client.get(f"{PATH}/export", buffered=False)
    assert first.status_code == 200
    busy = client.get(f"{PATH}/export")
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "10")
    assert "exported already" in detail(busy)
    # Asking what there would be takes no place, and a failure gives it back.
    assert client.head(f"{PATH}/export").status_code == 503
    first.close()
    for _ in range(3):
        assert client.head(f"{PATH}/export").status_code == 200
    with client.get(f"{PATH}/export") as whole:
        assert len(zipfile.ZipFile(io.BytesIO(whole.data)).namelist()) == 7
    with client.get(f"{PATH}/export") as again:
        assert again.data == whole.data


def test_an_export_that_fails_makes_room_for_the_next(
    client: FlaskClient, captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_capture(captures)

    def fails() -> Any:
        raise OSError("the card is gone")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(captures, "iter_captures", fails)
        with pytest.raises(OSError, match="the card is gone"):
            client.get(f"{PATH}/export")
    with client.get(f"{PATH}/export") as whole:
        assert whole.status_code == 200


def test_an_export_writes_nothing_to_the_card(
    client: FlaskClient, captures: Captures, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_capture(captures)

    def none(*_: Any, **__: Any) -> Any:
        raise AssertionError("a file is made")

    monkeypatch.setattr("tempfile.TemporaryFile", none)
    with client.get(f"{PATH}/export") as whole:
        assert zipfile.ZipFile(io.BytesIO(whole.data)).testzip() is None

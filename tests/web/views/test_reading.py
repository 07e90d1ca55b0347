"""The newest reading, pictures that are sent to be read, and health, over the API."""

import base64
import io
import threading
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from appliance.outputs.latest import Latest
from appliance.picture import PictureQueue
from appliance.reader.reader import Reader
from appliance.reading import Frame, Reading, make_frame
from appliance.simulator.handwriting import PLAIN, render_strokes
from appliance.simulator.paper import Conditions, render_photograph
from appliance.web.app import create_app
from tests.conftest import SAMPLES


def picture(data_url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data_url.split(",")[1]))))


def test_before_the_first_frame_it_says_that_the_camera_is_starting(client: FlaskClient) -> None:
    answer = client.get("/api/v1/reading").get_json()
    assert (answer["digit"], answer["fault"]) == (None, "the camera is starting")
    assert client.get("/api/v1/health").get_json()["status"] == "fault"


def test_the_newest_reading_with_its_strip(
    client: FlaskClient, latest: Latest, a_seven: Reading
) -> None:
    latest.show(a_seven._replace(settled=7))
    answer = client.get("/api/v1/reading").get_json()
    assert answer["digit"] == answer["settled"] == 7
    assert answer["state"] == "ready"
    assert answer["frame"] == [640, 480]
    assert len(answer["probabilities"]) == 10
    assert "strip" not in answer
    strip = client.get("/api/v1/reading?pictures=1").get_json()["strip"]
    assert picture(strip["frame"]).shape == (240, 320)
    np.testing.assert_array_equal(picture(strip["glyph"]), np.rint(a_seven.glyph * 255))


def test_an_unchanged_reading_is_not_sent_again(
    client: FlaskClient, latest: Latest, a_seven: Reading
) -> None:
    latest.show(a_seven)
    tag = client.get("/api/v1/reading").headers["ETag"]
    again = client.get("/api/v1/reading", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    latest.show(a_seven)
    assert client.get("/api/v1/reading", headers={"If-None-Match": tag}).status_code == 200


def test_a_fault_is_its_own_sentence(client: FlaskClient, latest: Latest) -> None:
    latest.show(Reading(at=0, fault="no camera found: check the ribbon cable"))
    assert client.get("/").status_code == 200
    answer = client.get("/api/v1/reading?pictures=1").get_json()
    assert answer["fault"] == "no camera found: check the ribbon cable"
    assert answer["strip"] == dict.fromkeys(("frame", "ink", "mark", "glyph"))
    health = client.get("/api/v1/health").get_json()
    assert health["status"] == "fault"
    assert health["camera"]["fault"] == answer["fault"]


def test_health_names_the_network(client: FlaskClient, latest: Latest, a_seven: Reading) -> None:
    latest.show(a_seven)
    health = client.get("/api/v1/health").get_json()
    assert health["status"] == "ok"
    assert health["network"]["preset"] == "appliance"
    assert health["network"]["test"]["total"] == 10_000
    assert health["camera"]["source"] == "folder:samples"


def test_a_loop_that_is_stuck_is_a_fault(parts: dict[str, Any], a_seven: Reading) -> None:
    now = 0.0
    latest = Latest(clock=lambda: now)
    client = create_app(**{**parts, "latest": latest}).test_client()
    latest.show(a_seven)
    assert client.get("/api/v1/health").get_json()["status"] == "ok"
    now = 31.0
    health = client.get("/api/v1/health").get_json()
    assert health["status"] == "fault"
    assert "no reading for 31 seconds" in health["camera"]["fault"]


def test_two_pictures_may_wait_and_a_third_is_refused_for_now(parts: dict[str, Any]) -> None:
    entered, leave = threading.Semaphore(0), threading.Event()

    class Slow(Reader):
        def __init__(self) -> None:
            pass

        def read(self, frame: Frame) -> Reading:
            entered.release()
            assert leave.wait(10)
            return Reading(at=0, reason="blank")

    queue = PictureQueue()
    app = create_app(**{**parts, "reader": Slow()}, queue=queue)
    data = (SAMPLES / "2-marker.jpg").read_bytes()
    codes: list[int] = []

    def send() -> None:
        codes.append(post_picture(app.test_client(), data, "image/jpeg").status_code)

    first = threading.Thread(target=send)
    first.start()
    assert entered.acquire(timeout=10)
    others = [threading.Thread(target=send) for _ in range(2)]
    for other in others:
        other.start()
    # One of the two waits for the first; the other is refused at once.
    while not codes:
        others[0].join(0.01)
        others[1].join(0.01)
    assert codes == [503]
    # Nor does anybody else in this process decode one meanwhile.
    with queue.turn(timeout=0) as mine:
        assert not mine
    leave.set()
    for thread in (first, *others):
        thread.join(10)
    assert sorted(codes) == [200, 200, 503]


def post_picture(client: FlaskClient, data: bytes, how: str, query: str = "") -> Any:
    if how == "as a file":
        files = {"anything": (io.BytesIO(data), "my photo.jpg")}
        return client.post(f"/api/v1/read{query}", data=files)
    return client.post(f"/api/v1/read{query}", data=data, content_type=how)


WAYS = ["as a file", "image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded"]


@pytest.mark.parametrize("how", WAYS)
def test_a_posted_picture_is_read(client: FlaskClient, how: str) -> None:
    answer = post_picture(client, (SAMPLES / "4-shadow.jpg").read_bytes(), how)
    assert answer.status_code == 200
    assert answer.get_json()["digit"] == 4
    assert answer.get_json()["box"]


def two_digits() -> np.ndarray:
    """Return a picture of a small 5 and, to the right of it and larger, a 2."""
    cover = np.maximum(
        render_strokes(PLAIN[5], (480, 640), centre=(110, 200), height=110, width=9),
        render_strokes(PLAIN[2], (480, 640), centre=(380, 250), height=220, width=17),
    )
    return render_photograph(cover, Conditions(light=0.3), np.random.default_rng(0), unit=200)


def assert_two_and_five(body: dict[str, Any]) -> None:
    """Check that both digits are listed in reading order, and the large one as the answer."""
    assert [mark["digit"] for mark in body["marks"]] == [5, 2]
    for mark in body["marks"]:
        assert set(mark) == {"digit", "reason", "confidence", "probabilities", "box"}
        assert mark["reason"] is None
        assert len(mark["probabilities"]) == 10
        assert mark["confidence"] == max(mark["probabilities"])
    assert {key: body[key] for key in body["marks"][1]} == body["marks"][1]


def test_every_mark_of_a_picture_is_listed(client: FlaskClient) -> None:
    file = io.BytesIO()
    Image.fromarray(two_digits()).save(file, "PNG")
    body = post_picture(client, file.getvalue(), "image/png").get_json()
    assert body["frame"] == [640, 480]
    assert_two_and_five(body)


def test_every_mark_of_the_newest_reading_is_listed(
    client: FlaskClient, latest: Latest, reader: Reader
) -> None:
    latest.show(reader.read(make_frame(two_digits(), 1000.0)))
    assert_two_and_five(client.get("/api/v1/reading").get_json())


def test_a_blank_picture_and_a_fault_have_no_marks(client: FlaskClient, latest: Latest) -> None:
    blank = post_picture(client, (SAMPLES / "none-blank.jpg").read_bytes(), "image/jpeg").get_json()
    assert (blank["digit"], blank["reason"], blank["marks"]) == (None, "blank", [])
    latest.show(Reading(at=0, fault="no camera found"))
    assert client.get("/api/v1/reading").get_json()["marks"] == []


def test_a_picture_is_read_as_a_frame_is(client: FlaskClient, a_seven: Reading) -> None:
    answer = post_picture(
        client, (SAMPLES / "7-shadow.jpg").read_bytes(), "image/jpeg", "?pictures=1"
    )
    body, expected = answer.get_json(), a_seven.to_json()
    assert {key: body[key] for key in expected if key != "milliseconds"} == {
        key: value for key, value in expected.items() if key != "milliseconds"
    }
    np.testing.assert_array_equal(picture(body["strip"]["glyph"]), np.rint(a_seven.glyph * 255))


def test_a_drawing_with_a_transparent_ground_is_read(client: FlaskClient) -> None:
    sample = Image.open(SAMPLES / "2-marker.jpg").convert("L")
    drawing = Image.new("RGBA", sample.size, (0, 0, 0, 0))
    drawing.paste((0, 0, 0, 255), mask=sample.point(lambda grey: 255 if grey < 90 else 0))
    file = io.BytesIO()
    drawing.save(file, "PNG")
    assert post_picture(client, file.getvalue(), "image/png").get_json()["digit"] == 2


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"", 400, "no picture was sent"),
        (b"%PDF-1.7" + b"\0" * 50, 415, "not a JPEG, PNG, WebP, BMP, GIF or TIFF picture"),
        ((SAMPLES / "2-marker.jpg").read_bytes()[:3000], 415, "the picture is damaged"),
    ],
)
@pytest.mark.parametrize("how", ["as a file", "image/jpeg"])
def test_what_is_no_picture_is_a_sentence(
    client: FlaskClient, data: bytes, status: int, sentence: str, how: str
) -> None:
    answer = post_picture(client, data, how)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert sentence in answer.get_json(force=True)["detail"]


def test_a_picture_that_is_too_large_is_a_sentence(client: FlaskClient) -> None:
    answer = post_picture(client, b"\xff" * 1_000_001, "image/jpeg")
    assert answer.status_code == 413
    assert "larger than the limit of 1 MB" in answer.get_json(force=True)["detail"]


def test_a_form_without_a_file_is_a_sentence(client: FlaskClient) -> None:
    answer = client.post("/api/v1/read", data={"a": "b"}, content_type="multipart/form-data")
    assert answer.status_code == 400

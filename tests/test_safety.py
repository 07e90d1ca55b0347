"""Attacks that no other test tries; `docs/safety.md` lists them all."""

import hmac
import io
import json
import zipfile
from html import escape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from appliance.captures.store import Captures
from appliance.device.owner_pin import OwnerPin
from appliance.errors import PictureError
from appliance.networks.live import LiveNetwork
from appliance.settings.schema import EffectiveSetting
from appliance.web.app import create_app
from appliance.web.views import device
from appliance.web.views.reading import _first_file
from tests.conftest import SAMPLES, FakeTrainingProcess, signed_in
from tests.networks.test_live import saying

SCRIPT = "<script>alert(1)</script>"


# ---- what the browser is told ----


@pytest.mark.parametrize(
    "path",
    ["/", "/history", "/teach", "/training", "/device", "/static/base.js", "/nowhere", "/metrics",
     "/api/v1/reading", "/api/v1/history.csv", "/api/v1/captures/99/picture", "/api/v1/session"],
)  # fmt: skip
def test_every_answer_forbids_frames_guesses_and_what_comes_from_elsewhere(
    client: FlaskClient, path: str
) -> None:
    with client.get(path, headers={"Origin": "http://evil.example"}) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        # No other site's script reads it.
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_asking_whether_another_site_may_change_something_is_answered_with_nothing(
    client: FlaskClient,
) -> None:
    asks = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/api/v1/training", headers=asks)
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_another_method_in_a_header_is_not_followed(
    client: FlaskClient, training: FakeTrainingProcess
) -> None:
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert client.get("/api/v1/training", headers={header: "POST"}).status_code == 200
        assert client.get("/api/v1/training?_method=POST", headers={header: "POST"}).data
    assert training.asked == []


def test_what_a_proxy_would_say_changes_nothing_on_the_page(client: FlaskClient) -> None:
    plain = client.get("/").data
    told = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "Forwarded":
            "host=evil.example", "X-Original-URL": "/evil", "X-Rewrite-URL": "/evil"}  # fmt: skip
    answer = client.get("/", headers=told)
    assert answer.data == plain
    assert b"evil" not in answer.data


@pytest.mark.parametrize("said", ["en\r\nX-Evil: 1", "de\nSet-Cookie: a=b", "en;path=/", SCRIPT])
@pytest.mark.parametrize("path", ["/", "/device", "/history"])
def test_the_language_puts_nothing_into_the_headers_or_the_page(
    client: FlaskClient, path: str, said: str
) -> None:
    answer = client.get(path, query_string={"language": said})
    assert answer.status_code == 200
    assert "X-Evil" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert SCRIPT not in answer.text
    assert answer.headers["Content-Language"] == "en"


@pytest.mark.parametrize("name", ["answer", "before", "limit", "page", "label", "ids", "beside"])
def test_the_query_is_on_no_page(client: FlaskClient, name: str) -> None:
    for path in ("/", "/history", "/device", "/teach", "/training"):
        answer = client.get(path, query_string={name: SCRIPT})
        assert "<script>alert" not in answer.text or answer.mimetype == "application/problem+json"


# ---- texts that others choose ----


def test_names_settings_and_cards_are_text_on_the_page(
    parts: dict[str, Any], networks: LiveNetwork, owner: OwnerPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.socket, "gethostname", lambda: f"host{SCRIPT}")
    card = {"preset": f"preset{SCRIPT}", "parameters": SCRIPT, "test": None}
    networks.vault.promote(networks.vault.add(saying(8), card))
    parts["in_force"] = [
        EffectiveSetting("web", "names", f"value{SCRIPT}", f"help{SCRIPT}", f"from{SCRIPT}", page)
        for page in (False, True)
    ]
    client = create_app(**{**parts, "camera": SCRIPT}).test_client()
    # So that the new one reads.
    assert client.get("/api/v1/networks").mimetype == "application/json"
    signed_in(client, owner.make_pin())
    page = client.get("/device").text
    assert f'value="value{escape(SCRIPT)}"' in page
    for each in ("host", "preset", "value", "help", "from"):
        assert f"{each}&lt;script&gt;" in page
    assert SCRIPT not in page


def test_the_name_of_a_file_that_is_sent_is_nowhere(client: FlaskClient) -> None:
    data = (SAMPLES / "4-shadow.jpg").read_bytes()
    for name in (f"{SCRIPT}.jpg", "../../owner.json", "a\\..\\b", "\0.jpg"):
        answer = client.post("/api/v1/read", data={"photo": (io.BytesIO(data), name)})
        assert answer.get_json()["digit"] == 4
        assert "script" not in answer.text
        bad = client.post("/api/v1/read", data={"photo": (io.BytesIO(b"x"), name)})
        assert bad.status_code == 415
        assert "script" not in bad.text


# ---- paths ----


@pytest.mark.parametrize("id", ["..%2f..%2fowner", "../../owner", "%2e%2e", "current", "a%00b"])
def test_no_networks_name_leads_out_of_their_folder(client: FlaskClient, id: str) -> None:
    assert client.get(f"/api/v1/networks/{id}").status_code == 404
    assert client.get(f"/api/v1/networks/appliance?beside={id}").status_code == 404
    # Where the path leads elsewhere by itself there is nothing that could be sent to.
    assert client.post(f"/api/v1/networks/{id}/promote").status_code in (404, 405)


@pytest.mark.parametrize("number", ["..", "-1", "1e3", "1%2f..", "9" * 30, "１"])
def test_no_captures_number_is_anything_else(client: FlaskClient, number: str) -> None:
    assert client.get(f"/api/v1/captures/{number}/picture").status_code == 404


# ---- bodies ----


def test_a_form_of_many_parts_is_refused_before_it_is_taken_apart(client: FlaskClient) -> None:
    part = b"--b\r\nContent-Disposition: form-data; name=a; filename=x\r\n\r\n\r\n"
    for many in (200, 15_000):
        answer = client.post(
            "/api/v1/read", data=part * many + b"--b--\r\n",
            content_type="multipart/form-data; boundary=b",
        )  # fmt: skip
        assert answer.status_code == 415
        assert "one file" in json.loads(answer.data)["detail"]


def test_a_part_of_a_form_without_an_end_is_not_kept_in_memory(client: FlaskClient) -> None:
    for endless in (b"", b"--b\r\nContent-Disposition: form-data; name=a; filename=x\r\nX: "):
        answer = client.post(
            "/api/v1/read", data=endless + b"y" * 999_000,
            content_type="multipart/form-data; boundary=b",
        )  # fmt: skip
        assert answer.status_code == 400
    data = (SAMPLES / "2-marker.jpg").read_bytes()
    chunks = iter([b"--b\r\nContent-Disposition: form-data; name=a\r\nX: ", *[bytes(99_999)] * 50])
    with pytest.raises(PictureError, match="too large"):
        list(_first_file(chunks, b"b"))
    assert next(chunks, None) is not None
    head = b"--b\r\nContent-Disposition: form-data; name=a; filename=x\r\n\r\n"
    # An empty file, which a browser sends for a field that was left out, is not the picture.
    form = [head + b"\r\n" + head, data[:1000], data[1000:], b"\r\n--b--\r\n"]
    assert b"".join(_first_file(iter(form), b"b")) == data


def test_where_a_photograph_was_taken_is_not_kept(
    client: FlaskClient, captures: Captures, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "in the secret garden"
    exif.get_ifd(0x8825)[29] = "the secret day"
    file = io.BytesIO()
    with Image.open(SAMPLES / "7-shadow.jpg") as photo:
        photo.save(file, "JPEG", exif=exif, comment=b"the secret comment", quality=95)
    assert file.getvalue().count(b"secret") >= 2
    read = client.post("/api/v1/read?pictures=1", data=file.getvalue())
    assert b"secret" not in read.data
    taught = {"label": 7, "reading": read.get_json()["number"]}
    assert client.post("/api/v1/captures", json=taught).status_code == 201
    picture = client.get("/api/v1/captures/1/picture").data
    assert Image.open(io.BytesIO(picture)).size[0] > 20
    with client.get("/api/v1/captures/export") as answer:
        export = answer.data
    with zipfile.ZipFile(io.BytesIO(export)) as archive:
        members = [archive.read(name) for name in archive.namelist()]
    kept = [each.read_bytes() for each in tmp_path.glob("captures.db*")]
    assert kept
    for data in (picture, *members, *kept):
        assert b"secret" not in data
        assert b"Exif" not in data


# ---- the session ----


def test_the_session_is_a_new_one_whatever_the_browser_brings(
    app: Flask, stranger: FlaskClient, owner: OwnerPin
) -> None:
    pin = owner.make_pin()
    tokens, cookies = set(), set()
    for brought in ("", "chosen-by-another", "again"):
        if brought == "chosen-by-another":
            stranger.set_cookie("digits-owner", brought)
        answer = stranger.post("/api/v1/session", json={"pin": pin, "token": "chosen"})
        tokens.add(answer.get_json()["token"])
        cookies.add(answer.headers["Set-Cookie"].split(";")[0])
    assert len(tokens) == len(cookies) == 3
    assert "chosen" not in "".join(tokens | cookies)


def test_what_is_secret_is_compared_in_the_same_time_for_every_guess(
    client: FlaskClient, owner: OwnerPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    honest = hmac.compare_digest

    def compare(a: Any, b: Any) -> bool:
        compared.append(len(a))
        return honest(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    owner.check("000000", "a")
    assert compared
    compared.clear()
    client.post("/api/v1/training", json={}, headers={"X-CSRF-Token": "0"})
    # The cookie's signature, and the token.
    assert len(compared) >= 2

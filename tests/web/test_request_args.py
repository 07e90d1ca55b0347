"""What is no JSON, no text and no number is refused with 400 on every route, and never a 500."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, run_wsgi_app

from appliance.captures.store import Captures
from appliance.device.control import Control
from appliance.device.owner_pin import OwnerPin
from appliance.outputs.latest import Latest
from appliance.reading import Reading
from appliance.storage.layout import StateDirectory
from tests.captured import add_capture
from tests.conftest import FakeTrainingProcess
from tests.device.test_pin import changes, detail

TAKES_JSON = {
    ("POST", "/api/v1/session"): {"pin": "HERE"},
    ("POST", "/api/v1/captures"): {"label": 7, "reading": 1, "at": "HERE"},
    ("PATCH", "/api/v1/captures/1"): {"label": "HERE"},
    ("PATCH", "/api/v1/settings"): {"table": "reader", "key": "agree", "value": "HERE"},
    ("POST", "/api/v1/training"): {"from_scratch": "HERE"},
}
"""Each route that takes JSON, with a body in which something else may stand HERE."""
HOSTILE = {
    "half of a surrogate pair": r'"\ud800"',
    "the other half": r'"12\udfff"',
    "the halves in the wrong order": r'"\udc00\ud800"',
    "half a pair as a key": r'{"\ud800": 1}',
    "half a pair deep inside": r'[[{"a": ["b", "\udcff"]}]]',
    "brackets without end": "[" * 100_000,
    "brackets that end": "[" * 100_000 + "]" * 100_000,
    "objects in objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "no number": "NaN",
    "infinity": "-Infinity",
    "more than any number": "1e400",
    "a number of five thousand digits": "9" * 5000,
    "a number of a million digits": "-" + "9" * 1_000_000,
    "no JSON": "{'a': 1}",
    "half of it": '"',
    "a zero byte": '"\0"',
}


@pytest.fixture
def busy(client: FlaskClient, latest: Latest, captures: Captures, a_seven: Reading) -> FlaskClient:
    latest.show(a_seven)
    add_capture(captures)
    return client


@pytest.mark.parametrize("what", HOSTILE)
def test_what_could_not_be_kept_is_400_on_every_route(
    busy: FlaskClient, training: FakeTrainingProcess, what: str
) -> None:
    limit = busy.application.config["MAX_CONTENT_LENGTH"]
    for (method, path), body in TAKES_JSON.items():
        data = json.dumps(body).replace('"HERE"', HOSTILE[what])
        answer = busy.open(path, method=method, data=data, content_type="application/json")
        wanted = 413 if len(data) > limit else 400
        assert (answer.status_code, path) == (wanted, path)
        assert detail(answer)
    assert training.asked == []


@pytest.mark.parametrize("body", [b"\xff\xfe", b'"\xed\xa0\x80"', b'{"pin": "\xc3"}', b"\x00" * 9])
def test_what_is_no_utf_8_is_400_on_every_route(
    busy: FlaskClient, training: FakeTrainingProcess, body: bytes
) -> None:
    for method, path in TAKES_JSON:
        answer = busy.open(path, method=method, data=body, content_type="application/json")
        assert (answer.status_code, path) == (400, path)
    assert training.asked == []


def test_every_route_that_takes_json_is_tried(app: Flask) -> None:
    document = app.test_client().get("/api/v1/openapi.json").get_json()
    takes = {
        (method.upper(), path.replace("{number}", "1"))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "application/json" in operation.get("requestBody", {}).get("content", ())
    }
    assert takes == set(TAKES_JSON)
    assert takes - {("POST", "/api/v1/session")} <= set(changes(app))


ODD = "%ed%a0%80", "%ff%fe", "%00", "%c3", "%1b[2J", "%0d%0aX-Y:%201", "%e2%80%ae", "%u0041", "%"


def addresses(app: Flask) -> list[str]:
    """Return an address of each route, with odd characters where something may stand."""
    found = []
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:filename>", "HERE").replace("<id>", "HERE")
        for name in ("number", "name"):
            head, _, rest = path.partition("<")
            path = f"{head}HERE{rest.partition(f'{name}>')[2]}" if f"{name}>" in path else path
        found.append(path)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD)
def test_odd_paths_and_queries_are_no_500(busy: FlaskClient, odd: str) -> None:
    names = "before", "answer", "limit", "label", "ids", "deleted", "reading", "digit", "layer"
    query = "&".join(f"{name}={odd}" for name in (*names, "page", "language", "beside", "of", odd))
    for path in addresses(busy.application):
        assert "<" not in path
        for address in (path.replace("HERE", odd), f"{path}?{query}", f"/{odd}{path}"):
            with busy.get(address) as answer:
                assert answer.status_code < 500, address


@pytest.mark.parametrize("odd", ["\udcff".encode(errors="surrogateescape").decode("latin-1"), "ÿþ",
                                 "\x1b[2J", '"', "\x80", "a" * 9000])  # fmt: skip
def test_odd_headers_and_cookies_are_no_500(busy: FlaskClient, odd: str) -> None:
    environ: dict[str, Any] = {
        f"HTTP_{name}": odd
        for name in ("ACCEPT_LANGUAGE", "COOKIE", "ORIGIN", "SEC_FETCH_SITE", "X_CSRF_TOKEN",
                     "IF_NONE_MATCH", "IF_MODIFIED_SINCE", "RANGE", "REFERER", "ACCEPT")
    }  # fmt: skip
    alone = [{name: value} for name, value in environ.items()]
    cookies = {"HTTP_COOKIE": f"digits-owner={odd}; digits-language={odd}; {odd}"}
    for each in (environ, *alone, cookies, {"HTTP_HOST": odd}, {"CONTENT_TYPE": odd}):
        for method, path in (("GET", "/"), ("GET", "/api/v1/reading"), ("GET", "/api/v1/session"),
                             ("GET", "/device"), ("POST", "/api/v1/session"),
                             ("POST", "/api/v1/training"), ("POST", "/api/v1/read")):  # fmt: skip
            # Flask's client would take a Host apart that the appliance only compares.
            asked = EnvironBuilder(path=path, method=method, data=b"{}").get_environ() | each
            _, status, _ = run_wsgi_app(busy.application.wsgi_app, asked, buffered=True)
            assert int(status[:3]) < 500, (path, each)


def test_a_pin_that_cannot_be_text_counts_as_no_attempt(
    client: FlaskClient, owner: OwnerPin
) -> None:
    for _ in range(10):
        answer = client.post(
            "/api/v1/session", data=r'{"pin": "\ud800"}', content_type="application/json"
        )
        assert answer.status_code == 400
    refused = owner.check("wrong", "127.0.0.1")
    assert refused is not None
    assert refused.sentence.endswith("4 more tries")


def test_what_is_answered_says_whose_it_is(app: Flask, busy: FlaskClient, control: Control) -> None:
    """JSON and pages differ by who asks, or may: no cache between shows one's to another."""
    stranger = app.test_client()
    paths = [path for path in addresses(app) if path != "/static/HERE"]
    for client in (stranger, busy):
        for path in paths:
            with client.get(path.replace("HERE", "1")) as answer:
                kept = answer.cache_control
                assert kept.no_store or kept.private, path
                assert "cookie" in answer.vary, path
                if answer.status_code >= 400 or path == "/api/v1/session":
                    assert kept.no_store, path
                tag = answer.headers.get("ETag")
            if tag and not kept.no_store:
                # What has not changed is not sent again.
                with client.get(path, headers={"If-None-Match": tag}) as again:
                    assert again.status_code in (200, 304), path
                    assert again.status_code == 304 or again.headers["ETag"] != tag, path
                    assert again.cache_control.private, path
    with stranger.get("/static/base.js") as answer:
        assert not answer.cache_control.private


def test_a_drawing_with_words_says_that_it_differs_by_language(
    client: FlaskClient, training: FakeTrainingProcess
) -> None:
    (StateDirectory(training.state).nights).write_text(
        json.dumps({"at": 1.0, "outcome": "kept", "why": "w", "outcomes": {},
                    "curve": [[1, 0.5], [2, 0.4]], "epochs": []}) + "\n"
    )  # fmt: skip
    answer = client.get("/api/v1/training/curve.svg")
    assert answer.status_code == 200
    assert "accept-language" in answer.vary
    assert "cookie" in answer.vary

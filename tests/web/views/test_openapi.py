"""The API's description agrees with its routes and with what they answer."""

import io
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from appliance.captures.archive import export_zip
from appliance.captures.store import Captures
from appliance.networks.vault import Vault
from appliance.outputs.latest import Latest
from appliance.reading import Reading
from tests.bench.site.make import describe
from tests.captured import add_capture
from tests.conftest import SAMPLES, FakeTrainingProcess
from tests.device.test_pin import ANYONES, OWNERS
from tests.networks.test_live import saying

DOCUMENT = describe()
METHODS = {"get", "post", "put", "patch", "delete"}


def described_operations() -> set[tuple[str, str]]:
    return {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}


def routes(app: Flask) -> dict[tuple[str, str], str]:
    """Return the endpoint of each (method, path) of the API."""
    endpoints = {}
    for rule in app.url_map.iter_rules():
        path = re.sub("<(.+?)>", r"{\1}", rule.rule)
        if path.startswith("/api/") or path == "/metrics":
            for method in {each.lower() for each in rule.methods or ()} & METHODS:
                endpoints[method, path] = rule.endpoint
    return endpoints


def schema_of(method: str, path: str, code: int, kind: str) -> dict[str, Any] | None:
    """Return the schema of an answer, with what it refers to; None where none is described."""
    answers = DOCUMENT["paths"][path][method]["responses"]
    described = answers.get(str(code)) or answers[f"{code // 100}XX"]
    schema = described["content"][kind]["schema"]
    return {**schema, "components": DOCUMENT["components"]}


def check(method: str, path: str, answer: Any) -> None:
    kind = answer.content_type.split(";")[0]
    schema = schema_of(method, path, answer.status_code, kind)
    if kind.endswith("json"):
        Draft202012Validator(schema).validate(answer.get_json(force=True))


def test_every_route_is_described_and_nothing_else(app: Flask) -> None:
    assert described_operations() == set(routes(app))


def test_operations_of_the_owner_are_described_so(app: Flask) -> None:
    for (method, path), endpoint in routes(app).items():
        looks = method == "get"
        needs = (not looks or endpoint in OWNERS) and endpoint not in ANYONES
        operation = DOCUMENT["paths"][path][method]
        assert ("security" in operation, path) == (needs, path)
        refusals = {"401"} if looks else {"401", "403"}
        assert needs <= refusals.issubset(operation["responses"]), path


def test_the_parameters_are_those_of_the_path() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            names = {each["name"] for each in operation.get("parameters", ())
                    if each["in"] == "path"}  # fmt: skip
            assert names == set(re.findall(r"{(\w+)}", path))


@pytest.mark.slow
def test_the_document_is_served_and_is_valid(client: FlaskClient) -> None:
    import schemathesis

    document = client.get("/api/v1/openapi.json").get_json()
    assert document == DOCUMENT
    schema = schemathesis.openapi.from_dict(document)
    schema.validate()
    assert len(list(schema.get_all_operations())) == len(described_operations())


@pytest.fixture
def busy(
    client: FlaskClient,
    latest: Latest,
    captures: Captures,
    networks: Any,
    training: FakeTrainingProcess,
    a_seven: Reading,
) -> FlaskClient:
    """The owner of an appliance that has read, kept and trained something."""
    latest.show(a_seven)
    add_capture(captures)
    vault: Vault = networks.vault
    vault.promote(vault.add(saying(4), {}))
    return client


def test_get_routes_answer_as_described(busy: FlaskClient, networks: Any) -> None:
    id = networks.vault.load_current().id
    for method, path in sorted(described_operations()):
        if method == "get":
            address = path.replace("{number}", "1").replace("{id}", id).replace("{name}", "ink")
            with busy.get(address) as answer:
                assert answer.status_code == 200 or path.endswith((".svg", "/report")), path
                check(method, path, answer)
    looks = [
        ("/api/v1/reading?pictures=1", "/api/v1/reading"),
        ("/api/v1/history?limit=0", "/api/v1/history"),
        ("/api/v1/captures?label=99", "/api/v1/captures"),
        ("/api/v1/captures/7/picture", "/api/v1/captures/{number}/picture"),
        ("/api/v1/networks/nothere", "/api/v1/networks/{id}"),
        (f"/api/v1/networks/{id}?beside={id}", "/api/v1/networks/{id}"),
    ]
    for address, path in looks:
        check("get", path, busy.get(address))


def test_changing_routes_answer_as_described(
    busy: FlaskClient, captures: Captures, networks: Any, training: FakeTrainingProcess
) -> None:
    id = networks.vault.add(saying(8), {})
    picture = (SAMPLES / "7-shadow.jpg").read_bytes()
    exported = io.BytesIO()
    export_zip(captures, exported)
    requests: list[tuple[str, str, str, dict[str, Any], int]] = [
        ("post", "/api/v1/read", "/api/v1/read", {"data": picture}, 200),
        ("post", "/api/v1/read", "/api/v1/read", {"data": b"x"}, 415),
        ("post", "/api/v1/captures", "/api/v1/captures", {"json": {"label": 7, "reading": 1}}, 201),
        ("post", "/api/v1/captures", "/api/v1/captures", {"json": {"label": 7}}, 400),
        ("patch", "/api/v1/captures/{number}", "/api/v1/captures/1", {"json": {"label": 3}}, 200),
        ("delete", "/api/v1/captures/{number}", "/api/v1/captures/1", {}, 200),
        ("delete", "/api/v1/captures/{number}", "/api/v1/captures/99", {}, 404),
        ("post", "/api/v1/captures/{number}/restore", "/api/v1/captures/1/restore", {}, 200),
        ("post", "/api/v1/captures/import", "/api/v1/captures/import",
         {"data": exported.getvalue()}, 200),
        ("post", "/api/v1/networks/{id}/promote", f"/api/v1/networks/{id}/promote", {}, 200),
        ("post", "/api/v1/networks/roll-back", "/api/v1/networks/roll-back", {}, 200),
        ("post", "/api/v1/training", "/api/v1/training", {"json": {}}, 202),
        ("post", "/api/v1/training/stop", "/api/v1/training/stop", {}, 409),
        ("patch", "/api/v1/settings", "/api/v1/settings",
         {"json": {"table": "reader", "key": "agree", "value": 4}}, 200),
        ("patch", "/api/v1/settings", "/api/v1/settings", {"json": {"value": 4}}, 400),
        ("post", "/api/v1/doctor", "/api/v1/doctor", {}, 200),
        ("post", "/api/v1/leds/test", "/api/v1/leds/test", {}, 202),
        ("post", "/api/v1/device/start-again", "/api/v1/device/start-again", {}, 202),
        ("post", "/api/v1/device/reboot", "/api/v1/device/reboot", {}, 202),
        ("post", "/api/v1/device/power-off", "/api/v1/device/power-off", {}, 202),
        ("post", "/api/v1/session", "/api/v1/session", {"json": {"pin": "x"}}, 403),
        ("delete", "/api/v1/session", "/api/v1/session", {}, 200),
        ("post", "/api/v1/training", "/api/v1/training", {"json": {}}, 401),
    ]  # fmt: skip
    for method, path, address, body, code in requests:
        answer = busy.open(address, method=method.upper(), **body)
        assert (answer.status_code, path) == (code, path)
        check(method, path, answer)
    unsafe = {pair for pair in described_operations() if pair[0] != "get"}
    assert {(method, path) for method, path, *_ in requests} == unsafe

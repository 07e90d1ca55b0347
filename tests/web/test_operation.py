"""A view gets the checked values of its request, and what it returns becomes the answer."""

from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from appliance.web.operation import operation
from appliance.web.request_args import SWITCH, integer

DIGIT = integer(0, 9, "a digit", examples=[7])
LETTERS = {"type": "string", "pattern": "^[a-z]*$", "description": "small letters"}
NAME = {"type": "string", "maxLength": 5, "default": "", "examples": ["Ada"]}


@pytest.fixture
def client() -> FlaskClient:
    app = Flask(__name__)

    @app.get("/echo/<number>")
    @operation(
        "Echo",
        path={"number": DIGIT},
        query={"limit": integer(-3, 50, default=20), "letters": LETTERS, "all": SWITCH},
    )
    def echo(**values: Any) -> dict[str, Any]:
        return values

    @app.post("/needs")
    @operation("Needs a body", body={"digit": DIGIT, "name": NAME}, status=201)
    def needs(**values: Any) -> dict[str, Any]:
        return values

    @app.post("/may")
    @operation("May have a body", body={"name": NAME})
    def may(name: str) -> Response:
        return Response(name, status=299)

    return app.test_client()


def test_a_view_gets_the_values_of_path_and_query(client: FlaskClient) -> None:
    assert client.get("/echo/7").get_json() == {
        "number": 7, "limit": 20, "letters": None, "all": None,
    }  # fmt: skip
    assert client.get("/echo/7?limit=-3&letters=abc&all").get_json() == {
        "number": 7, "limit": -3, "letters": "abc", "all": "1",
    }  # fmt: skip


@pytest.mark.parametrize("number", ["10", "-1", "x", "7.0", "²", "9" * 5000])
def test_a_wrong_path_is_not_found(client: FlaskClient, number: str) -> None:
    assert client.get(f"/echo/{number}").status_code == 404


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=51", "limit must be a whole number from -3 to 50"),
        ("limit=", "limit must be a whole number from -3 to 50"),
        ("letters=A", "letters must be small letters"),
        ("letters=a%0a", "letters must be small letters"),
    ],
)
def test_a_wrong_query_is_a_bad_request(client: FlaskClient, query: str, sentence: str) -> None:
    answer = client.get(f"/echo/7?{query}")
    assert answer.status_code == 400
    assert sentence in answer.text


def test_a_view_gets_the_values_of_the_body(client: FlaskClient) -> None:
    answer = client.post("/needs", json={"digit": 3, "more": 4})
    assert (answer.status_code, answer.get_json()) == (201, {"digit": 3, "name": ""})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, "the body must be a JSON object"),
        ([3], "the body must be a JSON object"),
        ({}, "digit must be a whole number from 0 to 9"),
        ({"digit": True}, "digit must be a whole number from 0 to 9"),
        ({"digit": 3.0}, "digit must be a whole number from 0 to 9"),
        ({"digit": 3, "name": "Babbage"}, "name must be a text of at most 5 characters"),
        ({"digit": 3, "name": None}, "name must be a text of at most 5 characters"),
    ],
)
def test_a_wrong_body_is_a_bad_request_with_an_example(
    client: FlaskClient, body: Any, sentence: str
) -> None:
    answer = client.post("/needs", json=body)
    assert answer.status_code == 400
    assert f"{sentence}: send JSON such as" in answer.text


def test_a_body_whose_values_all_have_defaults_may_be_left_out(client: FlaskClient) -> None:
    assert client.post("/may").status_code == 299
    assert client.post("/may", json={"name": "Ada"}).text == "Ada"
    assert client.post("/may", data="no JSON").status_code == 400

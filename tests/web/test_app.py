"""The application: what holds for every page and every route of the API."""

import re
import sqlite3

import pytest
from flask.testing import FlaskClient

from appliance.captures.store import Captures
from appliance.outputs.history import History
from tests.conftest import ROOT


def test_the_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert all(link.startswith("/") for link in re.findall(r'(?:src|href)="([^"]+)"', page.text))
    links = re.findall(r'<(?:script|link|img)\b[^>]*(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 4
    total = len(page.data)
    for link in set(links):
        assert link.startswith("/")
        with client.get(link) as part:
            assert part.status_code == 200
            total += len(part.data)
    assert (
        "default-src 'none'; script-src 'self'; style-src 'self'"
        in page.headers["Content-Security-Policy"]
    )
    assert total < 100_000


@pytest.mark.parametrize("path", ["history", "captures", "networks", "training", "openapi.json"])
def test_what_has_not_changed_is_not_sent_again(client: FlaskClient, path: str) -> None:
    tag = client.get(f"/api/v1/{path}").headers["ETag"]
    again = client.get(f"/api/v1/{path}", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    assert client.get(f"/api/v1/{path}", headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("DELETE", "/api/v1/reading", 405), ("GET", "/api/v1/read", 405), ("GET", "/nowhere", 404)]
    + [("POST", "/", 405)],
)
def test_wrong_methods_and_paths_are_problems_in_json(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert ("Allow" in answer.headers) == (status == 405)
    problem = answer.get_json(force=True)
    assert problem["status"] == status
    assert problem["detail"]


def test_a_defect_is_a_problem_without_a_traceback(
    client: FlaskClient,
    history: History,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise sqlite3.ProgrammingError("no sqlite of this name")

    monkeypatch.setattr(history, "list_newest", defect)
    answer = client.get("/api/v1/history")
    assert answer.status_code == 500
    assert "sqlite" not in answer.text
    assert "ProgrammingError" in caplog.text


def test_what_is_asked_of_a_closed_database_is_told_to_ask_again(
    client: FlaskClient, history: History, captures: Captures, caplog: pytest.LogCaptureFixture
) -> None:
    history.close()
    captures.close()
    for path in ("history", "captures", "captures/report", "training"):
        answer = client.get(f"/api/v1/{path}")
        assert (answer.status_code, "ask again" in answer.text) == (503, True), path
    assert "Traceback" not in caplog.text


def test_static_paths_do_not_lead_out(client: FlaskClient) -> None:
    for path in ("../__init__.py", "..%2f__init__.py", "%2e%2e/api.py"):
        assert client.get(f"/static/{path}").status_code == 404


def test_templates_have_no_inline_script_or_style() -> None:
    templates = list((ROOT / "appliance/web/templates").glob("*.html"))
    assert len(templates) > 5
    for each in templates:
        page = each.read_text()
        assert "<style" not in page
        assert not re.search(r"\son\w+=|style=", page)

"""The readings over time: the page without a script, the API's pages, the table."""

import csv
import io
import re
import time
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from appliance.outputs.history import NO_DIGIT, History
from appliance.reading import Reading
from appliance.storage import rows
from appliance.web.views.history import blueprint


def show_digits(
    history: History, *digits: int | None, at: float = 1000.0, reason: str = "blank"
) -> None:
    """Show digits one after the other, a minute apart."""
    for place, digit in enumerate(digits):
        history.show(
            Reading(
                at=at + 60 * place, settled=digit, confidence=0.9 if digit is not None else 0.0,
                reason=reason if digit is None else None,
            )
        )  # fmt: skip


def digits_on(text: str) -> list[str]:
    return re.findall(r"<td><b>(.+?)</b></td>", text)


def test_entries_are_listed_by_page_and_by_answer(history: History) -> None:
    show_digits(history, 3, None, 5, 3, None, 7)
    newest = history.list_newest(3)
    assert [each.digit for each in newest] == [7, None, 3]
    rest = history.list_newest(10, before=newest[-1].id)
    assert [each.digit for each in rest] == [5, None, 3]
    assert [each.id for each in history.list_newest(9, answer=3)] == [4, 1]
    assert [each.digit for each in history.list_newest(9, answer=NO_DIGIT)] == [None, None]
    assert history.list_newest(9, before=3, answer=7) == []


def test_digits_are_counted_by_the_hour(history: History) -> None:
    show_digits(history, 1, 2, None, 3, at=7200.0)
    show_digits(history, 4, at=3 * 3600 + 1.0)
    assert history.count_per_hour(3600.0, 4) == [0, 3, 1, 0]
    assert history.count_per_hour(7261.0, 1) == [2]


class Calendar32(datetime):
    """The calendar of a system that counts seconds in 32 bits, as a Pi Zero may."""

    @classmethod
    def fromtimestamp(cls, at: float, tz: tzinfo | None = None) -> "Calendar32":
        if not -(2**31) <= at < 2**31:
            raise OverflowError("timestamp out of range for platform time_t")
        return super().fromtimestamp(at, tz)


@pytest.mark.parametrize("future", [2e9, 5e9])
def test_rows_of_a_clock_that_was_ahead_break_neither_the_pages_nor_the_table(
    client: FlaskClient, history: History, monkeypatch: pytest.MonkeyPatch, future: float
) -> None:
    monkeypatch.setattr(rows, "datetime", Calendar32)
    show_digits(history, *(place % 10 for place in range(40)), at=time.time() - 3600)
    show_digits(history, *(place % 10 for place in range(40)), at=future)
    # The clock was set back.
    show_digits(history, 7, at=time.time() - 60)
    seen, path = [], "/history"
    while path:
        page = client.get(path)
        assert page.status_code == 200
        seen += digits_on(page.text)
        path = "".join(re.findall(r'button quiet" href="(/history\?before=[0-9]+)"', page.text))
    assert seen == ["7", *[str(place % 10) for place in range(40)][::-1] * 2]
    lines = list(csv.reader(io.StringIO(client.get("/api/v1/history.csv").text)))
    assert len(lines) == 82
    assert {line[1][:2] for line in lines[2:42]} == {"20" if future < 4e9 else "21"}
    assert client.get("/api/v1/history").get_json()["readings"][0]["digit"] == 7


def test_the_page_shows_the_newest_first_and_leads_to_the_older(
    client: FlaskClient, history: History
) -> None:
    show_digits(history, *(place % 10 for place in range(70)))
    page = client.get("/history").text
    assert len(digits_on(page)) == 50
    assert digits_on(page)[0] == "9"
    assert ">Newest<" not in page
    (older,) = re.findall(r'href="(/history\?before=[^"]+)"', page)
    rest = client.get(older.replace("&amp;", "&")).text
    assert len(digits_on(rest)) == 20
    assert ">Older<" not in rest
    assert ">Newest<" in rest


def test_the_page_shows_one_digit_alone(client: FlaskClient, history: History) -> None:
    show_digits(history, 3, None, 5, 3, reason="unsure between 4 and 9")
    assert digits_on(client.get("/history?answer=3").text) == ["3", "3"]
    nothing = client.get("/history?answer=10").text
    assert digits_on(nothing) == ["–"]
    assert "unsure between 4 and 9" in nothing
    assert "None of these." in client.get("/history?answer=8").text


def test_an_empty_history_says_so(client: FlaskClient) -> None:
    page = client.get("/history").text
    assert "None yet." in page
    assert "<svg" not in page


def test_markup_in_the_history_is_escaped_on_the_page(
    client: FlaskClient, history: History
) -> None:
    show_digits(history, 3, None, reason="<script>alert(1)</script>")
    page = client.get("/history").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize("query", ["answer=11", "answer=x", "before=0", "before=9e9", "limit=51"])
def test_a_wrong_query_is_a_sentence(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/history?{query}")
    assert answer.status_code == 400
    assert "must be a whole number from" in answer.get_json(force=True)["detail"]


def test_the_api_has_pages_too(client: FlaskClient, history: History) -> None:
    show_digits(history, 1, 2, 3)
    first = client.get("/api/v1/history?limit=2").get_json()["readings"]
    rest = client.get(f"/api/v1/history?before={first[-1]['id']}").get_json()["readings"]
    assert [each["digit"] for each in first + rest] == [3, 2, 1]
    assert client.get("/api/v1/history?answer=2").get_json()["readings"][0]["digit"] == 2


def test_the_table_has_all_of_it_and_no_formula(client: FlaskClient, history: History) -> None:
    show_digits(history, 3, None, 5, reason='=HYPERLINK("http://evil")')
    answer = client.get("/api/v1/history.csv")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert "history.csv" in answer.headers["Content-Disposition"]
    head, *rows = csv.reader(io.StringIO(answer.text))
    assert head == ["id", "time", "digit", "confidence", "reason"]
    assert [row[2] for row in rows] == ["5", "", "3"]
    assert rows[1][4].startswith("'=")
    assert re.fullmatch(r"1970-01-01T\d\d:\d\d:\d\d[+-]\d\d:\d\d", rows[2][1])


def test_a_long_history_is_exported_whole(tmp_path: Path) -> None:
    history = History(tmp_path / "long.db", limit=5000)
    app = Flask(__name__)
    app.register_blueprint(blueprint(history))
    show_digits(history, *(place % 2 for place in range(1203)))
    assert len(app.test_client().get("/api/v1/history.csv").text.splitlines()) == 1204
    history.close()


def test_history_is_the_newest_first(
    client: FlaskClient, history: History, a_seven: Reading
) -> None:
    for at, digit in enumerate((1, 2, 3)):
        history.show(a_seven._replace(at=float(at), settled=digit))
    answer = client.get("/api/v1/history?limit=2").get_json()["readings"]
    assert [(entry["at"], entry["digit"]) for entry in answer] == [(2, 3), (1, 2)]
    assert answer[0]["glyph"].startswith("data:image/png;base64,")
    assert len(client.get("/api/v1/history").get_json()["readings"]) == 3


@pytest.mark.parametrize(
    "limit", ["0", "501", "-1", "x", "", "1e3", "9" * 5000, "0" * 9 + "50" + "9" * 9, "²"]
)
def test_a_wrong_limit_is_a_sentence(client: FlaskClient, limit: str) -> None:
    answer = client.get("/api/v1/history", query_string={"limit": limit})
    assert answer.status_code == 400
    assert answer.get_json(force=True)["detail"] == "limit must be a whole number from 1 to 500"

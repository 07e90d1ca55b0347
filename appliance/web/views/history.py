"""The readings over time: as a page, over the API, and as CSV for a spreadsheet."""

import csv
import io
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template, request, url_for

from appliance.outputs.history import NO_DIGIT, Entry, History
from appliance.storage.rows import MAX_ID, local_time
from appliance.web.draw.pictures import to_png_url
from appliance.web.language import request_texts
from appliance.web.operation import operation
from appliance.web.request_args import Schemas, integer, query_values

# Only annotations need them: a start does without.
if TYPE_CHECKING:
    from appliance.web import schemas

_MOST_LISTED = 500
_ROWS, _HOURS = 50, 24
_QUERY: Schemas = {
    "limit": integer(1, _MOST_LISTED, "how many at most", default=50),
    "before": integer(1, MAX_ID, "only those with lower ids: the next page"),
    "answer": integer(0, NO_DIGIT, f"only those that show this digit, or none: {NO_DIGIT}"),
}
_PAGE_QUERY: Schemas = {**_QUERY, "limit": integer(1, _ROWS, default=_ROWS)}


def blueprint(history: History, clock: Callable[[], float] = time.time) -> Blueprint:
    """Return the routes over the history; `clock` gives Unix seconds."""
    routes = Blueprint("history", __name__)

    @routes.get("/api/v1/history")
    @operation("The readings that changed the answer, the newest first", query=_QUERY)
    def past(limit: int, before: int | None, answer: int | None) -> "schemas.History":
        entries = history.list_newest(limit, before=before, answer=answer)
        return {"readings": [to_json(entry) for entry in entries], "notice": history.notice}

    @routes.get("/api/v1/history.csv")
    @operation("The whole history as CSV, the newest first", gives=("text/csv",))
    def table() -> Response:
        headers = {"Content-Disposition": 'attachment; filename="history.csv"'}
        return Response(csv_lines(history), content_type="text/csv; charset=utf-8", headers=headers)

    @routes.get("/history")
    def page() -> str:
        from appliance.web.draw.bars import render_counts

        query = query_values(_PAGE_QUERY)
        entries, answer = history.list_newest(**query), query["answer"]
        older = None
        if len(entries) == _ROWS:
            older = url_for(".page", before=entries[-1].id, answer=answer)
        t = request_texts()
        now = clock()
        since = now - now % 3600 - (_HOURS - 1) * 3600
        counts = history.count_per_hour(since, _HOURS)
        hours = [f"{datetime.fromtimestamp(since + 3600 * each):%H}" for each in range(_HOURS)]
        return render_template(
            "history.html",
            entries=[{**to_json(entry), "time": _local_time(entry.at)} for entry in entries],
            answer=answer,
            answers=[
                (None, t("history.all")),
                *((digit, str(digit)) for digit in range(10)),
                (NO_DIGIT, t("history.none")),
            ],
            older=older,
            first="before" not in request.args,
            bars=render_counts(
                counts,
                hours,
                t("history.bars"),
                t("history.bars_say", total=sum(counts), most=max(counts)),
            ),
            any_lately=any(counts),
            notice=history.notice,
        )

    return routes


def to_json(entry: Entry) -> "schemas.HistoryEntry":
    return {
        "id": entry.id,
        "at": entry.at,
        "digit": entry.digit,
        "reason": entry.reason,
        "confidence": round(entry.confidence, 4),
        "glyph": None if entry.glyph is None else to_png_url(entry.glyph),
    }


def csv_lines(history: History) -> Iterator[str]:
    """Yield the whole history as CSV, the newest first, never all of it in memory."""
    before = None
    yield _csv_row("id", "time", "digit", "confidence", "reason")
    while entries := history.list_newest(_MOST_LISTED, before=before):
        for each in entries:
            digit = "" if each.digit is None else each.digit
            at = local_time(each.at).isoformat(timespec="seconds")
            reason = _without_formula(each.reason or "")
            yield _csv_row(each.id, at, digit, f"{each.confidence:.4f}", reason)
        before = entries[-1].id


def _csv_row(*cells: object) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _without_formula(text: str) -> str:
    """Return a text with a quote before what a spreadsheet would take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _local_time(at: float) -> str:
    return f"{local_time(at):%Y-%m-%d %H:%M:%S}"

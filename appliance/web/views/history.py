"""The readings over time: as a page, over the API, as a table for a spreadsheet."""

import csv
import io
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request, url_for

from appliance.outputs.history import NO_DIGIT, Entry, History
from appliance.web.draw.pictures import to_png_url
from appliance.web.language import request_texts
from appliance.web.request_args import int_arg

MOST_HISTORY = 500
MOST_NUMBER = 10**12
_ROWS, _HOURS = 50, 24


def blueprint(history: History, clock: Callable[[], float] = time.time) -> Blueprint:
    """Return the routes over the history; `clock` gives Unix seconds."""
    routes = Blueprint("history", __name__)

    def asked(most: int, usual: int) -> tuple[list[Entry], int | None]:
        """Return the entries that the query asks for, and which answer it asks for."""
        answer, before = int_arg("answer", 0, NO_DIGIT), int_arg("before", 1, MOST_NUMBER)
        limit = int_arg("limit", 1, most) or usual
        return history.newest(limit, before=before, answer=answer), answer

    @routes.get("/api/v1/history")
    def past() -> Response:
        entries, _ = asked(MOST_HISTORY, 50)
        return jsonify(readings=[_told(entry) for entry in entries], notice=history.notice)

    @routes.get("/api/v1/history.csv")
    def table() -> Response:
        made = lines(history)
        headers = {"Content-Disposition": 'attachment; filename="history.csv"'}
        return Response(made, content_type="text/csv; charset=utf-8", headers=headers)

    @routes.get("/history")
    def page() -> str:
        from appliance.web.draw.bars import render_counts

        entries, answer = asked(_ROWS, _ROWS)
        older = None
        if len(entries) == _ROWS:
            older = url_for(".page", before=entries[-1].id, answer=answer)
        t = request_texts()
        now = clock()
        since = now - now % 3600 - (_HOURS - 1) * 3600
        counts = history.hours(since, _HOURS)
        hours = [f"{datetime.fromtimestamp(since + 3600 * each):%H}" for each in range(_HOURS)]
        return render_template(
            "history.html",
            entries=[{**_told(entry), "time": _local(entry.at)} for entry in entries],
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


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "digit": entry.digit,
        "reason": entry.reason,
        "confidence": round(entry.confidence, 4),
        "glyph": None if entry.glyph is None else to_png_url(entry.glyph),
    }


def lines(history: History) -> Iterator[str]:
    """Yield the whole history as CSV, the newest first, never all of it in memory."""
    before = None
    yield _row("id", "time", "digit", "confidence", "reason")
    while entries := history.newest(MOST_HISTORY, before=before):
        for each in entries:
            digit = "" if each.digit is None else each.digit
            at = datetime.fromtimestamp(each.at).astimezone().isoformat(timespec="seconds")
            yield _row(each.id, at, digit, f"{each.confidence:.4f}", _harmless(each.reason or ""))
        before = entries[-1].id


def _row(*cells: object) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _local(at: float) -> str:
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}"

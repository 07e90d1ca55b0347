"""Every error of the API as RFC 9457 problem details."""

import json
from http import HTTPStatus

from flask import Response


def problem(status: int, sentence: str, *, retry_after: int | None = None) -> Response:
    """Return an error response whose `detail` is a sentence for a person.

    `retry_after` are the seconds after which a program may try again.
    """
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": sentence}
    response = Response(
        json.dumps(body, ensure_ascii=False).encode(errors="backslashreplace"),
        status,
        content_type="application/problem+json",
    )
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response

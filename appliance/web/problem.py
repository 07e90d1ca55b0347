"""One shape for every error of the API: RFC 9457 problem details."""

import json
from http import HTTPStatus

from flask import Response


def problem(status: int, sentence: str, *, retry_after: int | None = None) -> Response:
    """Return an error response whose `detail` is a sentence for a person.

    `retry_after` tells a program in how many seconds it may ask again.
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

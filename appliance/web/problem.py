"""One shape for every error of the API: RFC 9457 problem details."""

import json
from http import HTTPStatus

from flask import Response


def problem(status: int, sentence: str) -> Response:
    """Return an error response whose `detail` is a sentence for a person."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": sentence}
    return Response(
        json.dumps(body, ensure_ascii=False), status, content_type="application/problem+json"
    )

"""What a route of the API takes and answers: declared once, checked here, and described by it."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import Response, jsonify

from appliance.web.request_args import Schemas, body_values, path_values, query_values

View = TypeVar("View", bound=Callable[..., Any])


class Operation:
    """One operation of the API, as its view declares it with `operation`."""

    def __init__(
        self,
        summary: str,
        path: Schemas,
        query: Schemas,
        body: Schemas | None,
        status: int,
        takes: tuple[str, ...],
        gives: tuple[str, ...],
        refuses: tuple[int, ...],
    ) -> None:
        self.summary, self.path, self.query, self.body = summary, path, query, body
        self.status, self.takes, self.gives, self.refuses = status, takes, gives, refuses


def operation(
    summary: str,
    *,
    path: Schemas | None = None,
    query: Schemas | None = None,
    body: Schemas | None = None,
    status: int = 200,
    takes: tuple[str, ...] = (),
    gives: tuple[str, ...] = (),
    refuses: tuple[int, ...] = (),
) -> Callable[[View], Callable[..., Response]]:
    """Return a decorator of a view, which is then called with the checked values by their names.

    `path`, `query` and `body` are JSON schemas by name, as in `request_args`. A view returns a
    response, or the JSON object that its return annotation names, sent with `status`. `takes` and
    `gives` are the media types of a body and of an answer that are not JSON; `refuses` are the
    statuses that no declaration implies.
    """
    declared = Operation(summary, path or {}, query or {}, body, status, takes, gives, refuses)

    def declare(view: View) -> Callable[..., Response]:
        @wraps(view)
        def answer(**texts: str) -> Response:
            values = path_values(declared.path, texts)
            values.update(query_values(declared.query))
            if declared.body is not None:
                values.update(body_values(declared.body))
            result = view(**values)
            if isinstance(result, Response):
                return result
            response = jsonify(result)
            response.status_code = status
            return response

        answer.operation = declared  # type: ignore[attr-defined]
        return answer

    return declare

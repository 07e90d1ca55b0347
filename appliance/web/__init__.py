"""The page and the API: objects go in, a Flask application comes out."""

import time
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from appliance.outputs.history import History
from appliance.outputs.latest import Latest
from appliance.reader import Reader
from appliance.web import api, page
from appliance.web.problem import problem

POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"


def create_app(
    *,
    latest: Latest,
    history: History,
    reader: Reader,
    network: dict[str, Any],
    camera: str,
    upload_megabytes: int,
) -> Flask:
    """Return the application that shows these parts.

    `network` is the card of the network that reads, `camera` the camera's source as the settings
    name it; a picture of more than `upload_megabytes` is refused.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = upload_megabytes * 1_000_000
    app.register_blueprint(page.blueprint)
    app.register_blueprint(
        api.blueprint(
            latest=latest,
            history=history,
            reader=reader,
            network=network,
            camera=camera,
            clock=time.time,
        )
    )

    @app.before_request
    def limited() -> None:
        # Werkzeug before 2.3 holds a form to the limit, and no other body.
        if (request.content_length or 0) > app.config["MAX_CONTENT_LENGTH"]:
            raise RequestEntityTooLarge

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        said = {
            404: f"there is nothing at {request.path}",
            405: f"{request.method} does not go with {request.path}",
            413: f"the picture, or its form, is larger than the limit of {upload_megabytes} MB",
        }
        response = problem(error.code or 500, said.get(error.code or 500, error.description or ""))
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.valid_methods or [])
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        app.logger.exception("a request failed: %s %s", request.method, request.path)
        return problem(500, "the request failed here, not at your end: the log tells why")

    @app.after_request
    def careful(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return app

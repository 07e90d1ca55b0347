"""The page and the API as one Flask application, made of the appliance's parts."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from appliance.captures.store import Captures
from appliance.device.control import Control
from appliance.device.owner_pin import OwnerPin
from appliance.errors import StateError
from appliance.networks.live import LiveNetwork
from appliance.outputs.history import History
from appliance.outputs.latest import Latest, Recent
from appliance.outputs.metrics import Metrics
from appliance.picture import PictureQueue
from appliance.reader.reader import Reader
from appliance.settings.schema import EffectiveSetting
from appliance.training.process import TrainingProcess
from appliance.web.access import session
from appliance.web.access.guard import guard
from appliance.web.inside import view
from appliance.web.language import register_languages
from appliance.web.lazy_routes import App
from appliance.web.problem import problem as problem_of
from appliance.web.views import captures as captures_api
from appliance.web.views import control as control_api
from appliance.web.views import device as device_page
from appliance.web.views import history as history_page
from appliance.web.views import metrics as metrics_page
from appliance.web.views import networks as networks_api
from appliance.web.views import pages
from appliance.web.views import reading as reading_api
from appliance.web.views import training as training_api

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def create_app(
    *,
    latest: Latest,
    history: History,
    captures: Captures,
    reader: Reader,
    networks: LiveNetwork,
    training: TrainingProcess,
    owner: OwnerPin,
    metrics: Metrics,
    control: Control,
    camera: str,
    state: Path,
    in_force: Sequence[EffectiveSetting],
    upload_megabytes: int,
    queue: PictureQueue | None = None,
    names: Iterable[str] = (),
    look: str = "anyone",
    problem: str | None = None,
) -> Flask:
    """Return the application over these parts.

    `camera` is the camera's source as the settings name it, `state` the state directory, `in_force`
    all settings. A request of more than `upload_megabytes` is refused. A picture that is sent is
    read in its turn of `queue`, which all that decode pictures in this process share. `names` and
    `look` are as in `guard`. `problem` is what was wrong with the state directory at the start.
    """
    app = App(__name__)
    app.config["MAX_CONTENT_LENGTH"] = upload_megabytes * 1_000_000
    guard(app, owner, names=names, look=look)
    register_languages(app)

    def problems() -> list[str]:
        return [each for each in (owner.obstacle, problem) if each]

    @app.context_processor
    def add_problems() -> dict[str, Any]:
        return {"problems": problems}

    app.register_blueprint(pages.blueprint(latest))
    app.register_blueprint(session.blueprint(owner))
    app.register_blueprint(history_page.blueprint(history))
    app.register_blueprint(
        device_page.blueprint(
            latest=latest,
            networks=networks,
            control=control,
            owner=owner,
            state=state,
            in_force=in_force,
        )
    )
    app.register_blueprint(control_api.blueprint(control))
    sent = Recent()
    app.register_blueprint(
        reading_api.blueprint(
            latest=latest,
            sent=sent,
            reader=reader,
            networks=networks,
            camera=camera,
            problems=problems,
            pin_faults=control.pin_faults,
            queue=queue or PictureQueue(),
            clock=time.time,
        )
    )
    app.register_blueprint(
        metrics_page.blueprint(
            metrics=metrics,
            latest=latest,
            captures=captures,
            networks=networks,
            training=training,
        )
    )
    app.register_blueprint(networks_api.blueprint(networks))
    app.register_blueprint(training_api.blueprint(training, captures))
    app.register_blueprint(
        captures_api.blueprint(captures=captures, latest=latest, sent=sent, reader=reader)
    )

    app.register_blueprint(
        view.blueprint(reader=reader, networks=networks, latest=latest, drawn=sent)
    )

    @app.before_request
    def check_length() -> None:
        # Werkzeug before 2.3 checks the length of forms alone.
        if (request.content_length or 0) > app.config["MAX_CONTENT_LENGTH"]:
            raise RequestEntityTooLarge

    @app.errorhandler(HTTPException)
    def answer_refusal(error: HTTPException) -> Response:
        sentences = {
            404: f"there is nothing at {request.path}",
            405: f"{request.method} does not go with {request.path}",
            413: f"the picture, or its form, is larger than the limit of {upload_megabytes} MB",
        }
        if error.code == 413 and request.path.endswith("/captures/import"):
            sentences[413] = (
                f"the zip is larger than the limit of {upload_megabytes} MB: "
                "use 'digits captures import' on the appliance itself"
            )
        status = error.code or 500
        response = problem_of(status, sentences.get(status, error.description or ""))
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.valid_methods or [])
        return response

    @app.errorhandler(StateError)
    def answer_state_error(error: StateError) -> Response:
        return problem_of(503, str(error))

    @app.errorhandler(Exception)
    def answer_defect(error: Exception) -> Response:
        app.logger.exception("a request failed: %s %r", request.method, request.path)
        return problem_of(500, "the request failed here, not at your end: the log tells why")

    @app.after_request
    def tag_json(response: Response) -> Response:
        # The page asks again and again: what is the same is not sent again.
        if request.method == "GET" and response.mimetype == "application/json":
            response.add_etag()
            response.make_conditional(request)
        return response

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return app

"""The training over the API: what it is doing, what the last nights came to, start and stop it."""

import json
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request

from appliance.captures.readiness import Enough
from appliance.captures.store import Captures
from appliance.errors import StateError, TrainingError
from appliance.training import records
from appliance.training.process import TrainingProcess
from appliance.web.cache import Cache
from appliance.web.language import request_texts
from appliance.web.problem import problem
from appliance.web.request_args import json_body

MOST_NIGHTS = 7
_OF_THE_CURVE = ("curve", "epochs")
_UNTOLD: dict[str, Any] = {
    "outcome": "",
    "why": "it does not say why",
    "outcomes": {},
    "candidate": None,
}
_OUTCOMES = {
    "promoted": "The last candidate reads now",
    "kept": "The last candidate was not promoted",
    "left": "The last training is not at its end",
    "diverged": "The last training came to nothing",
}


def blueprint(trainer: TrainingProcess, captures: Captures) -> Blueprint:
    """Return the routes over the retraining of an appliance with these captures."""
    routes = Blueprint("training", __name__, url_prefix="/api/v1/training")
    state = trainer.state
    kept_nights, kept_enough = Cache[list[dict[str, Any]]](), Cache[Enough]()

    def past() -> list[dict[str, Any]]:
        stamp = _stamp(state / records.NIGHTS)
        return kept_nights.get(
            stamp, lambda: [_UNTOLD | each for each in records.load_nights(state, MOST_NIGHTS)]
        )

    @routes.errorhandler(TrainingError)
    def refused(error: TrainingError) -> Response:
        return problem(409, str(error))

    @routes.errorhandler(StateError)
    def unreadable(error: StateError) -> Response:
        return problem(503, str(error))

    @routes.get("")
    def training() -> Response:
        running, progress = trainer.is_running(), records.load_progress(state)
        enough = kept_enough.get(captures.change(), captures.enough)
        told = {
            "running": running,
            "sentence": sentence(running, progress, past(), trainer.failure()),
            "progress": progress,
            "curve": _name(_shown(running, progress, past())),
            "nights": [
                {key: value for key, value in night.items() if key not in _OF_THE_CURVE}
                for night in past()
            ],
            "enough": enough.sentence,
            "worth": enough.enough,
            "captures": enough.to_learn + enough.held_out,
            "may_begin": enough.some,
        }
        # A loss that diverged is no number, which JSON cannot tell.
        return jsonify(json.loads(json.dumps(told), parse_constant=lambda _: None))

    @routes.get("/curve.svg")
    def curve() -> Response:
        from appliance.web.draw.curves import render_learning_curves

        shown = _shown(trainer.is_running(), records.load_progress(state), past())
        if shown is None:
            return problem(404, "there is no curve yet: a training draws it")
        points, epochs = shown.get("curve", ()), shown.get("epochs", ())
        of = shown.get("of", 0)
        svg = render_learning_curves(points, epochs, of, request_texts())
        return Response(svg, mimetype="image/svg+xml")

    @routes.post("")
    def start() -> Response:
        body = json_body() if request.get_data() else {}
        from_scratch = body.get("from_scratch", False) if isinstance(body, dict) else None
        if not isinstance(from_scratch, bool):
            return problem(400, 'the body must be {"from_scratch": true}, or false, or none')
        trainer.start(from_scratch=from_scratch)
        return _accepted("the training starts")

    @routes.post("/stop")
    def stop() -> Response:
        trainer.stop()
        return _accepted("the training ends: it keeps where it is, and goes on from there")

    return routes


def sentence(
    running: bool,
    progress: dict[str, Any] | None,
    past: list[dict[str, Any]],
    failed: str | None = None,
) -> str:
    """Return in one sentence what the training does, or what came of the last one.

    `past` are the last nights, the newest first; `failed` is what is known of one that could not
    even say of itself that it failed.
    """
    last = past[0] if past else None
    begun = progress is not None and progress["state"] != "ended"
    if running:
        if progress is None or not begun:
            return "It starts."
        does = progress["sentence"]
        return f"It trains: {does}." if progress["state"] == "training" else f"It {does}."
    if failed:
        return f"{failed[0].upper()}{failed[1:]}."
    if progress is not None and begun:
        where = f"at {progress['progress']:.0%}" if progress["progress"] else "before it had begun"
        return f"The last training was interrupted {where}: the next one goes on from there."
    if progress is not None and (last is None or progress["sentence"] != last["why"]):
        return f"The last training gave up: {progress['sentence'].rstrip('.')}."
    if last is None:
        return "It has not trained yet."
    return f"{_OUTCOMES.get(last['outcome'], 'The last training')}: {last['why'].rstrip('.')}."


def _shown(
    running: bool, progress: dict[str, Any] | None, past: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return whose curve is shown: the one that runs, else the last that has one."""
    if running:
        past = []
    own = [progress] if progress else []
    return next((each for each in own + past if each.get("curve") or each.get("epochs")), None)


def _name(shown: dict[str, Any] | None) -> str | None:
    """Return a text that is another one when the curve is."""
    if shown is None:
        return None
    points, epochs = len(shown.get("curve", ())), len(shown.get("epochs", ()))
    return f"{shown.get('started', shown.get('at'))}-{points}-{epochs}"


def _stamp(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _accepted(words: str) -> Response:
    response = jsonify(said=words)
    response.status_code = 202
    return response

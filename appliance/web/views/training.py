"""The training over the API: its progress, what the last nights came to, start and stop."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify

from appliance.captures.readiness import Readiness
from appliance.captures.store import Captures
from appliance.errors import StateError, TrainingError
from appliance.storage.layout import StateDirectory
from appliance.training import records
from appliance.training.process import TrainingProcess
from appliance.web.cache import Cache
from appliance.web.language import request_texts
from appliance.web.operation import operation
from appliance.web.problem import problem
from appliance.web.request_args import Schemas

# Only annotations need them: a start does without.
if TYPE_CHECKING:
    from appliance.web import schemas

_MOST_NIGHTS = 7
_CURVE_KEYS = ("curve", "epochs")
_START: Schemas = {
    "from_scratch": {
        "type": "boolean",
        "description": "true: from new weights, not from those of the network that reads",
        "default": False,
        "examples": [True],
    }
}
_UNKNOWN_NIGHT: dict[str, Any] = {
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
    cached_nights, cached_readiness = Cache[list[dict[str, Any]]](), Cache[Readiness]()

    def load_nights() -> list[dict[str, Any]]:
        stamp = _stamp(StateDirectory(state).nights)
        return cached_nights.get(
            stamp,
            lambda: [_UNKNOWN_NIGHT | each for each in records.load_nights(state, _MOST_NIGHTS)],
        )

    @routes.errorhandler(TrainingError)
    def refuse_now(error: TrainingError) -> Response:
        return problem(409, str(error))

    @routes.errorhandler(StateError)
    def refuse_unreadable(error: StateError) -> Response:
        return problem(503, str(error))

    @routes.get("")
    @operation("What the training does; it has an ETag", refuses=(503,))
    def training() -> "schemas.Training | Response":
        running, progress = trainer.is_running(), records.load_progress(state)
        readiness = cached_readiness.get(captures.count_changes(), captures.measure_readiness)
        answer: schemas.Training = {
            "running": running,
            "sentence": sentence(running, progress, load_nights(), trainer.failure()),
            "progress": progress,
            "curve": _name_curve(_find_curve(running, progress, load_nights())),
            "nights": [
                {key: value for key, value in night.items() if key not in _CURVE_KEYS}
                for night in load_nights()
            ],
            "enough": readiness.sentence,
            "worth": readiness.enough,
            "captures": readiness.to_learn + readiness.held_out,
            "may_begin": readiness.may_begin,
        }
        # A loss that diverged is NaN, which JSON does not have.
        return jsonify(json.loads(json.dumps(answer), parse_constant=lambda _: None))

    @routes.get("/curve.svg")
    @operation(
        "Loss and accuracy of the training that runs, or of the last one",
        gives=("image/svg+xml",),
        refuses=(404, 503),
    )
    def curve() -> Response:
        from appliance.web.draw.curves import render_learning_curves

        run = _find_curve(trainer.is_running(), records.load_progress(state), load_nights())
        if run is None:
            return problem(404, "there is no curve yet: a training draws it")
        points, epochs = run.get("curve", ()), run.get("epochs", ())
        of = run.get("of", 0)
        svg = render_learning_curves(points, epochs, of, request_texts())
        return Response(svg, mimetype="image/svg+xml")

    @routes.post("")
    @operation("Start a training", body=_START, status=202, refuses=(409,))
    def start(from_scratch: bool) -> "schemas.Started":
        trainer.start(from_scratch=from_scratch)
        return {"said": "the training starts"}

    @routes.post("/stop")
    @operation("Stop the training", status=202, refuses=(409,))
    def stop() -> "schemas.Started":
        trainer.stop()
        return {"said": "the training ends: it keeps where it is, and goes on from there"}

    return routes


def sentence(
    running: bool,
    progress: dict[str, Any] | None,
    past: list[dict[str, Any]],
    failed: str | None = None,
) -> str:
    """Return in one sentence what the training does, or what came of the last one.

    `past` are the last nights, the newest first; `failed` says why a training did not start at all,
    if it did not.
    """
    last = past[0] if past else None
    unfinished = progress is not None and progress["state"] != "ended"
    if running:
        if progress is None or not unfinished:
            return "It starts."
        does = progress["sentence"]
        return f"It trains: {does}." if progress["state"] == "training" else f"It {does}."
    if failed:
        return f"{failed[0].upper()}{failed[1:]}."
    if progress is not None and unfinished:
        where = f"at {progress['progress']:.0%}" if progress["progress"] else "before it had begun"
        return f"The last training was interrupted {where}: the next one goes on from there."
    if progress is not None and (last is None or progress["sentence"] != last["why"]):
        return f"The last training gave up: {progress['sentence'].rstrip('.')}."
    if last is None:
        return "It has not trained yet."
    return f"{_OUTCOMES.get(last['outcome'], 'The last training')}: {last['why'].rstrip('.')}."


def _find_curve(
    running: bool, progress: dict[str, Any] | None, past: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return the training whose curve is drawn: the one that runs, else the last that has one."""
    if running:
        past = []
    own = [progress] if progress else []
    return next((each for each in own + past if each.get("curve") or each.get("epochs")), None)


def _name_curve(run: dict[str, Any] | None) -> str | None:
    """Return a text that changes with the curve, None if there is none."""
    if run is None:
        return None
    points, epochs = len(run.get("curve", ())), len(run.get("epochs", ()))
    return f"{run.get('started', run.get('at'))}-{points}-{epochs}"


def _stamp(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size

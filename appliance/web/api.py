"""The API, /api/v1: what the page shows, as JSON."""

import secrets
import threading
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from appliance import __version__
from appliance.errors import PictureError
from appliance.outputs.history import Entry, History
from appliance.outputs.latest import Latest
from appliance.picture import picture_from_bytes
from appliance.reader import Reader
from appliance.reading import Reading
from appliance.web.pictures import StripOfNewest, png, strip
from appliance.web.problem import problem

MOST_HISTORY = 500
PATIENCE = 10.0
"""Seconds that a sent picture waits for the one before it."""


def blueprint(
    *,
    latest: Latest,
    history: History,
    reader: Reader,
    network: dict[str, Any],
    camera: str,
    clock: Callable[[], float],
) -> Blueprint:
    """Return the API's routes over these parts; `clock` gives Unix seconds."""
    routes = Blueprint("api", __name__, url_prefix="/api/v1")
    newest_strip = StripOfNewest()
    # A restart begins to count anew; an ETag of before must not match then.
    boot = secrets.token_hex(4)
    one_at_a_time = threading.Lock()

    @routes.get("/reading")
    def reading() -> Response:
        number, newest = latest.newest()
        pictures = "pictures" in request.args
        tag = f"{boot}-{number}{'p' * pictures}"
        if tag in request.if_none_match:
            return _tagged(Response(status=304), tag)
        if newest is None:
            newest = Reading(at=clock(), fault="the camera is starting")
        return _tagged(
            jsonify(
                number=number,
                **_with_frame(newest),
                state=newest.state,
                settled=newest.settled,
                fault=newest.fault,
                **({"strip": newest_strip.of(number, newest)} if pictures else {}),
            ),
            tag,
        )

    @routes.get("/history")
    def past() -> Response:
        asked = request.args.get("limit", "50")
        if not (asked.isascii() and asked.isdigit() and 1 <= int(asked[:9]) <= MOST_HISTORY):
            return problem(400, f"limit must be a whole number from 1 to {MOST_HISTORY}")
        return jsonify(readings=[_entry(entry) for entry in history.newest(int(asked))])

    @routes.get("/health")
    def health() -> Response:
        number, newest = latest.newest()
        fault = newest.fault if newest else "the camera is starting"
        return jsonify(
            status="fault" if fault or network.get("problem") else "ok",
            version=__version__,
            readings=number,
            camera={
                "source": camera,
                "fault": fault,
                "seconds_since_reading": round(clock() - newest.at, 1) if newest else None,
            },
            network={
                "preset": network.get("preset"),
                "sha256": network.get("sha256"),
                "parameters": network.get("parameters"),
                "test": network.get("test"),
                "problem": network.get("problem"),
            },
        )

    @routes.post("/read")
    def read() -> Response:
        if request.mimetype == "multipart/form-data":
            sent = next(iter(request.files.values()), None)
            data = sent.read() if sent else b""
        else:
            # Any other type, a form's too: the body is the picture.
            data = request.get_data(cache=False)
        if not data:
            return problem(400, "no picture was sent: POST a JPEG or PNG as the body or as a file")
        # A large photograph takes memory: on 512 MB there is room for one at a time.
        if not one_at_a_time.acquire(timeout=PATIENCE):
            return problem(503, "other pictures are being read: try again in a few seconds")
        try:
            answer = reader.read(picture_from_bytes(data, "the picture", clock()))
        except PictureError as error:
            return problem(415, str(error))
        finally:
            one_at_a_time.release()
        pictures = {"strip": strip(answer)} if "pictures" in request.args else {}
        return jsonify(**_with_frame(answer), **pictures)

    return routes


def _with_frame(reading: Reading) -> dict[str, Any]:
    """Return a reading with its time and the frame's [width, height], which the box refers to."""
    frame = list(reading.frame.size) if reading.frame else None
    return {**reading.as_json(), "at": reading.at, "frame": frame}


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "digit": entry.digit,
        "reason": entry.reason,
        "confidence": round(entry.confidence, 4),
        "glyph": None if entry.glyph is None else png(entry.glyph),
    }


def _tagged(response: Response, tag: str) -> Response:
    response.set_etag(tag)
    response.headers["Cache-Control"] = "no-cache"
    return response

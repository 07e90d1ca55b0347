"""The captures over the API: label what was just read, look through what is kept, in and out."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from flask import Blueprint, Response, jsonify, request

from appliance.captures.store import Capture, Captures
from appliance.errors import CaptureError, ClosedError, NoCaptureError, StateError
from appliance.outputs.latest import Latest, Recent
from appliance.reader.reader import Reader
from appliance.reading import Reading
from appliance.web.draw.pictures import encode_surroundings, to_png_url
from appliance.web.problem import problem
from appliance.web.request_args import int_arg, json_body
from model.network import NOT_A_DIGIT

# Imported where somebody looks: the start does without.
if TYPE_CHECKING:
    from appliance.captures.audit import Reports

MOST_LISTED = 200


class Teaching:
    """Turns a person's word on a reading into a capture; a second word on it changes the first."""

    def __init__(self, captures: Captures, latest: Latest, drawn: Recent) -> None:
        self._captures = captures
        self._recent = (drawn, latest.recent)
        self._latest = latest
        self._lock = threading.Lock()
        self._of_reading: dict[tuple[int, float], int] = {}

    def teach(self, number: int, at: float | None, label: int) -> Capture | str:
        """Return the capture of a reading, or the sentence that tells why there can be none.

        `number` is the reading's, below zero for a picture that was sent. `at` is its time, where
        the caller knows it: numbers begin anew with a restart.
        """
        reading = self._recent[number > 0].of(number)
        if reading is None or (at is not None and at != reading.at):
            newest, _ = self._latest.newest()
            if number == newest:
                return "nothing was in view in that reading: show a digit, then tap"
            return "that reading is no longer the one shown: look at the page, then tap again"
        with self._lock:
            return self._kept(number, reading, label)

    def _kept(self, number: int, reading: Reading, label: int) -> Capture:
        key = number, reading.at
        if key in self._of_reading:
            try:
                return self._captures.relabel(self._of_reading[key], label)
            except NoCaptureError:
                # It was undone; this tap is a new one.
                pass
        assert reading.glyph is not None
        capture = self._captures.add(
            label=label,
            said=reading.digit,
            reason=reading.reason,
            confidence=min(1.0, max(0.0, reading.confidence)),
            network=reading.network,
            glyph=np.rint(reading.glyph * 255).astype(np.uint8),
            picture=encode_surroundings(reading),
            at=reading.at,
        )
        self._of_reading[key] = capture.id
        for old in list(self._of_reading)[:-16]:
            del self._of_reading[old]
        return capture


def blueprint(*, captures: Captures, latest: Latest, drawn: Recent, reader: Reader) -> Blueprint:
    """Return the routes over the captures; `drawn` has the pictures that were sent and read."""
    routes = Blueprint("teach", __name__, url_prefix="/api/v1/captures")
    teaching = Teaching(captures, latest, drawn)

    @cache
    def reports() -> "Reports":
        from appliance.captures.audit import Reports

        return Reports(captures)

    importing, exporting = threading.Lock(), threading.Lock()

    @routes.errorhandler(CaptureError)
    def wrong(error: CaptureError) -> Response:
        return problem(400, str(error))

    @routes.errorhandler(NoCaptureError)
    def gone(error: NoCaptureError) -> Response:
        return problem(404, str(error))

    @routes.errorhandler(StateError)
    def no_room(error: StateError) -> Response:
        return problem(507, str(error))

    @routes.errorhandler(ClosedError)
    def ends(error: ClosedError) -> Response:
        return problem(503, str(error))

    @routes.post("")
    def teach() -> Response:
        body = _body()
        label, number, at = _whole(body, "label"), _whole(body, "reading"), body.get("at")
        if at is not None and type(at) not in (int, float):
            raise CaptureError("'at' is the reading's own time, a number")
        answer = teaching.teach(number, at, label)
        if isinstance(answer, str):
            return problem(409, answer)
        response = jsonify(_told(answer))
        response.status_code = 201
        return response

    @routes.get("")
    def listing() -> Response:
        label = int_arg("label", 0, NOT_A_DIGIT)
        before = int_arg("before", 1, 10**12)
        limit = int_arg("limit", 1, MOST_LISTED) or 50
        deleted = int_arg("deleted", 0, 1) == 1
        numbers = _numbers(request.args.get("ids"))
        found = captures.listing(label, before, limit, deleted) if numbers is None else []
        for number in numbers or ():
            with suppress(NoCaptureError):
                found.append(captures.get(number))
        counts = captures.counts()
        return jsonify(
            captures=[_told(each) for each in found],
            counts=list(counts.values()),
            total=sum(counts.values()),
            limit=captures.limit,
            notice=captures.notice,
        )

    @routes.patch("/<int(max=999999999999):number>")
    def relabel(number: int) -> Response:
        return jsonify(_told(captures.relabel(number, _whole(_body(), "label"))))

    @routes.delete("/<int(max=999999999999):number>")
    def delete(number: int) -> Response:
        captures.delete(number)
        return jsonify(_told(captures.get(number)))

    @routes.post("/<int(max=999999999999):number>/restore")
    def restore(number: int) -> Response:
        captures.restore(number)
        return jsonify(_told(captures.get(number)))

    @routes.get("/<int(max=999999999999):number>/picture")
    def picture(number: int) -> Response:
        response = Response(captures.get(number).picture, mimetype="image/png")
        # A number is never given again, and its picture never changes.
        response.headers["Cache-Control"] = "private, max-age=86400"
        return response

    @routes.get("/report")
    def report() -> Response:
        # In this order: what is asked of a new network under the old one's id is asked again.
        network = reader.id
        made = reports().newest(network, reader.network.probabilities)
        if made is None:
            sentence = "the captures are being looked through: ask again in a moment"
            return problem(503, sentence, retry_after=2)
        return jsonify(made.as_json())

    def exported() -> Iterator[bytes]:
        from appliance.captures.archive import export_parts

        # Once this is begun its end, whatever that is, makes room for the next.
        try:
            yield b""
            yield from export_parts(captures)
        finally:
            exporting.release()

    @routes.get("/export")
    def export() -> Response:
        # What cannot be read at all is said while there is a status to say it with.
        captures.change()
        if not exporting.acquire(blocking=False):
            sentence = "the captures are being exported already: try again when that is done"
            return problem(503, sentence, retry_after=10)
        parts = exported()
        next(parts)
        headers = {"Content-Disposition": "attachment; filename=captures.zip"}
        return Response(parts, mimetype="application/zip", headers=headers)

    @routes.post("/import")
    def bring() -> Response:
        from appliance.captures.archive import import_zip

        if not importing.acquire(blocking=False):
            sentence = "another file is being imported: try again when it is done"
            return problem(503, sentence, retry_after=10)
        try:
            with _on_the_card(captures) as file:
                shutil.copyfileobj(request.stream, file)
                if not file.tell():
                    raise CaptureError("nothing was sent: POST the zip of an export as the body")
                done = import_zip(captures, file, "the zip")
                return jsonify(added=done.added, known=done.known)
        finally:
            importing.release()

    return routes


@contextmanager
def _on_the_card(captures: Captures) -> Iterator[IO[bytes]]:
    """Lend a file without a name beside the captures: in /tmp it could be in memory."""
    try:
        with tempfile.TemporaryFile(dir=captures.file.parent) as file:
            yield file
    except StateError:
        raise
    except OSError as error:
        raise StateError(
            f"the file could not be written ({error.strerror}): make room on the card"
        ) from None


def _told(capture: Capture) -> dict[str, Any]:
    return {
        "id": capture.id,
        "at": capture.at,
        "label": capture.label,
        "said": capture.said,
        "reason": capture.reason,
        "confidence": round(capture.confidence, 4),
        "network": capture.network,
        "corrected": capture.corrected,
        "held_out": capture.held_out,
        "glyph": to_png_url(capture.glyph),
    }


def _body() -> dict[str, Any]:
    body = json_body()
    if not isinstance(body, dict):
        raise CaptureError('the body must be a JSON object, such as {"label": 7}')
    return body


def _whole(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    # True is an int to Python.
    if type(value) is not int:
        raise CaptureError(f"'{name}' must be a whole number")
    return value


def _numbers(text: str | None) -> list[int] | None:
    """Return the captures that are asked for by number, or None where none are."""
    if text is None:
        return None
    parts = text.split(",", MOST_LISTED)[:MOST_LISTED] if text else []
    if not all(part.isascii() and part.isdigit() and len(part) < 13 for part in parts):
        raise CaptureError("ids must be numbers of captures with commas between")
    return [int(part) for part in parts]

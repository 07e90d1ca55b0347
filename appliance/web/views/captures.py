"""The captures over the API: label what was just read, look through them, export and import."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO, TYPE_CHECKING

import numpy as np
from flask import Blueprint, Response, jsonify, request

from appliance.captures.store import Capture, Captures
from appliance.errors import CaptureError, ClosedError, NoCaptureError, StateError
from appliance.outputs.latest import Latest, Recent
from appliance.reader.reader import Reader
from appliance.reading import Reading
from appliance.storage.rows import MAX_ID
from appliance.web.draw.pictures import encode_surroundings, to_png_url
from appliance.web.operation import operation
from appliance.web.problem import problem
from appliance.web.request_args import Schemas, integer
from model.network import NOT_A_DIGIT

# Imported where somebody looks: the start does without.
if TYPE_CHECKING:
    from appliance.captures.audit import ReportCache
    from appliance.web import schemas

_MOST_LISTED = 200
_MOST_TAPS = 16
_ZIP = "application/zip"
_NUMBER: Schemas = {"number": integer(0, MAX_ID - 1, "the capture's number")}
_LABEL = integer(0, NOT_A_DIGIT, f"the digit, or {NOT_A_DIGIT} for what is not one", examples=[7])
_TAP: Schemas = {
    "label": _LABEL,
    "reading": {"type": "integer", "description": "the reading's number", "examples": [12]},
    "at": {
        "type": ["number", "null"],
        "description": "the reading's time: numbers start again with the appliance",
        "default": None,
        "examples": [1767225600.5],
    },
}
_QUERY: Schemas = {
    "label": integer(0, NOT_A_DIGIT, "only those with this label"),
    "before": integer(1, MAX_ID - 1, "only those with lower numbers: the next page"),
    "limit": integer(1, _MOST_LISTED, "how many at most", default=50),
    "deleted": integer(0, 1, "1: those that were deleted", default=0),
    "ids": {
        "type": "string",
        "pattern": "^([0-9]{1,12}(,[0-9]{1,12})*)?$",
        "description": f"up to {_MOST_LISTED} numbers of captures with commas between them",
    },
}


class Teaching:
    """Makes captures of readings; labelling a reading again changes the capture that it has."""

    def __init__(self, captures: Captures, latest: Latest, sent: Recent) -> None:
        self._captures = captures
        self._recent = (sent, latest.recent)
        self._latest = latest
        self._lock = threading.Lock()
        self._of_reading: dict[tuple[int, float], int] = {}

    def label(self, number: int, at: float | None, label: int) -> Capture | str:
        """Return the capture of a reading, or a sentence that says why there is none.

        `number` is the reading's, below zero for a picture that was sent. `at` is its time, if the
        caller knows it: numbers start again with the appliance.
        """
        reading = self._recent[number > 0].of(number)
        if reading is None or (at is not None and at != reading.at):
            newest, _ = self._latest.newest()
            if number == newest:
                return "nothing was in view in that reading: show a digit, then tap"
            return "that reading is no longer the one shown: look at the page, then tap again"
        with self._lock:
            return self._store(number, reading, label)

    def _store(self, number: int, reading: Reading, label: int) -> Capture:
        key = number, reading.at
        if key in self._of_reading:
            # One that was deleted since is not brought back: this tap makes a new one.
            with suppress(NoCaptureError):
                return self._captures.relabel(self._of_reading[key], label)
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
        for old in list(self._of_reading)[:-_MOST_TAPS]:
            del self._of_reading[old]
        return capture


def blueprint(*, captures: Captures, latest: Latest, sent: Recent, reader: Reader) -> Blueprint:
    """Return the routes over the captures; `sent` has the readings of pictures that were sent."""
    routes = Blueprint("teach", __name__, url_prefix="/api/v1/captures")
    teaching = Teaching(captures, latest, sent)
    importing, exporting = threading.Lock(), threading.Lock()

    @cache
    def reports() -> "ReportCache":
        from appliance.captures.audit import ReportCache

        return ReportCache(captures)

    @routes.errorhandler(CaptureError)
    def refuse_file(error: CaptureError) -> Response:
        return problem(400, str(error))

    @routes.errorhandler(NoCaptureError)
    def refuse_number(error: NoCaptureError) -> Response:
        return problem(404, str(error))

    @routes.errorhandler(StateError)
    def refuse_write(error: StateError) -> Response:
        return problem(507, str(error))

    @routes.errorhandler(ClosedError)
    def refuse_while_closing(error: ClosedError) -> Response:
        return problem(503, str(error))

    @routes.post("")
    @operation("Label a reading", body=_TAP, status=201, refuses=(409, 507))
    def teach(reading: int, at: float | None, label: int) -> "schemas.Capture | Response":
        capture = teaching.label(reading, at, label)
        return problem(409, capture) if isinstance(capture, str) else to_json(capture)

    @routes.get("")
    @operation("List captures, the newest first", query=_QUERY)
    def listing(
        label: int | None, before: int | None, limit: int, deleted: int, ids: str | None
    ) -> "schemas.Captures":
        if ids is None:
            listed = captures.list_newest(label, before, limit, bool(deleted))
        else:
            listed = []
            for number in ids.split(",")[:_MOST_LISTED] if ids else ():
                with suppress(NoCaptureError):
                    listed.append(captures.get(int(number)))
        counts = captures.count_labels()
        return {
            "captures": [to_json(each) for each in listed],
            "counts": list(counts.values()),
            "total": sum(counts.values()),
            "limit": captures.limit,
            "notice": captures.notice,
        }

    @routes.patch("/<number>")
    @operation("Change a capture's label", path=_NUMBER, body={"label": _LABEL}, refuses=(507,))
    def relabel(number: int, label: int) -> "schemas.Capture":
        return to_json(captures.relabel(number, label))

    @routes.delete("/<number>")
    @operation("Delete a capture; it can be restored", path=_NUMBER, refuses=(507,))
    def delete(number: int) -> "schemas.Capture":
        captures.delete(number)
        return to_json(captures.get(number))

    @routes.post("/<number>/restore")
    @operation("Restore a deleted capture", path=_NUMBER, refuses=(507,))
    def restore(number: int) -> "schemas.Capture":
        captures.restore(number)
        return to_json(captures.get(number))

    @routes.get("/<number>/picture")
    @operation("The picture around a capture's mark", path=_NUMBER, gives=("image/png",))
    def picture(number: int) -> Response:
        response = Response(captures.get(number).picture, mimetype="image/png")
        # A number is never given again, and its picture never changes.
        response.headers["Cache-Control"] = "private, max-age=86400"
        return response

    @routes.get("/report")
    @operation("Which captures look mislabelled or alike", refuses=(503,))
    def report() -> "schemas.Report | Response":
        # In this order: what a new network answers under the old one's id is asked again.
        network = reader.id
        newest = reports().get(network, reader.network.probabilities)
        if newest is None:
            sentence = "the captures are being looked through: ask again in a moment"
            return problem(503, sentence, retry_after=2)
        return jsonify(newest.to_json())

    def export_in_parts() -> Iterator[bytes]:
        from appliance.captures.archive import export_parts

        # From the first part on, the end of this generator makes room for the next export.
        try:
            yield b""
            yield from export_parts(captures)
        finally:
            exporting.release()

    @routes.get("/export")
    @operation("All captures as a zip; one export at a time", gives=(_ZIP,), refuses=(503, 507))
    def export() -> Response:
        # A file that cannot be read at all is an error while there is still a status to send.
        captures.count_changes()
        if not exporting.acquire(blocking=False):
            sentence = "the captures are being exported already: try again when that is done"
            return problem(503, sentence, retry_after=10)
        parts = export_in_parts()
        next(parts)
        headers = {"Content-Disposition": "attachment; filename=captures.zip"}
        return Response(parts, mimetype=_ZIP, headers=headers)

    @routes.post("/import")
    @operation("Add the captures of an export", takes=(_ZIP,), refuses=(400, 507))
    def bring() -> "schemas.Imported | Response":
        from appliance.captures.archive import import_zip

        if not importing.acquire(blocking=False):
            sentence = "another file is being imported: try again when it is done"
            return problem(503, sentence, retry_after=10)
        try:
            with _temporary_file(captures) as file:
                shutil.copyfileobj(request.stream, file)
                if not file.tell():
                    raise CaptureError("nothing was sent: POST the zip of an export as the body")
                done = import_zip(captures, file, "the zip")
                return {"added": done.added, "known": done.known}
        finally:
            importing.release()

    return routes


@contextmanager
def _temporary_file(captures: Captures) -> Iterator[IO[bytes]]:
    """Open a file without a name beside the captures: /tmp may be in memory."""
    try:
        with tempfile.TemporaryFile(dir=captures.file.parent) as file:
            yield file
    except StateError:
        raise
    except OSError as error:
        raise StateError(
            f"the file could not be written ({error.strerror}): make room on the card"
        ) from None


def to_json(capture: Capture) -> "schemas.Capture":
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

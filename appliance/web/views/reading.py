"""The newest reading, reading a picture that is sent, and the appliance's health, over the API."""

import itertools
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.sansio.multipart import Data, Field, File, MultipartDecoder, NeedData

from appliance import __version__
from appliance.errors import PictureError
from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import STARTING, Latest, Recent
from appliance.picture import PictureQueue, picture_from_chunks
from appliance.reader.reader import Reader
from appliance.reading import Reading
from appliance.web.access.poll_interval import POLL_AFTER, PollInterval
from appliance.web.cache import Cache, set_etag
from appliance.web.draw.pictures import encode_stages
from appliance.web.operation import operation
from appliance.web.problem import problem
from appliance.web.request_args import SWITCH, Schemas

# Only annotations need them: a start does without.
if TYPE_CHECKING:
    from appliance.web import schemas

LATE = 30.0
"""Seconds without a reading or another fault after which the loop counts as stuck."""
_PICTURES: Schemas = {"pictures": {**SWITCH, "description": "with the pictures of each stage"}}
_POLL: Schemas = {
    **_PICTURES,
    "page": {
        "type": "string",
        "maxLength": 32,
        "description": f"any name of the page's own: then {POLL_AFTER} says when to ask again",
    },
}
_MOST_PARTS = 100
_MOST_BETWEEN = 1_000_000
"""Bytes of a form that may come before the next part of it."""
_CHUNK = 1 << 16


def blueprint(
    *,
    latest: Latest,
    sent: Recent,
    reader: Reader,
    networks: LiveNetwork,
    camera: str,
    problems: Callable[[], list[str]],
    pin_faults: Mapping[str, str],
    queue: PictureQueue,
    clock: Callable[[], float],
) -> Blueprint:
    """Return the routes; `clock` gives Unix seconds, `problems` what is wrong with the state.

    A picture that is sent is read in its turn of `queue`; its reading goes into `sent`, numbered
    from -1 down.
    """
    routes = Blueprint("api", __name__, url_prefix="/api/v1")
    # Without the pictures and with them.
    bodies, description = (Cache[bytes](), Cache[bytes]()), Cache[dict[str, Any]]()
    poll_interval = PollInterval()
    # After a restart numbers start again; an ETag from before must not match.
    boot = secrets.token_hex(4)
    numbers = itertools.count(-1, -1)
    waiting_room = threading.Semaphore(2)

    @routes.get("/reading")
    @operation("The newest reading; it has an ETag", query=_POLL)
    def reading(pictures: str | None, page: str | None) -> "schemas.Reading | Response":
        number, newest = latest.newest()
        with_strip = pictures is not None
        tag = f"{boot}-{number}{'p' * with_strip}"
        if newest is None:
            newest = Reading(at=clock(), fault=STARTING)
        if tag in request.if_none_match:
            response = Response(status=304)
        else:
            body = bodies[with_strip].get(number, lambda: _to_json(number, newest, with_strip))
            response = Response(body, mimetype="application/json")
        if page is not None:
            wait = poll_interval.next_poll(page, newest.milliseconds / 1000)
            response.headers[POLL_AFTER] = f"{wait:.1f}"
        return set_etag(response, tag)

    @routes.get("/health")
    @operation("Whether the appliance works")
    def health() -> "schemas.Health":
        # Without frames the loop does not notice a promotion.
        networks.refresh()
        network = networks.card()
        number, newest = latest.newest()
        age = latest.seconds_since()
        fault = newest.fault if newest else STARTING
        if age is not None and age > LATE and not fault:
            fault = f"there was no reading for {age:.0f} seconds: restart the appliance"
        return {
            "status": "fault" if fault or network["problem"] or problems() else "ok",
            "version": __version__,
            "readings": number,
            "problems": problems(),
            "camera": {
                "source": camera,
                "fault": fault,
                "seconds_since_reading": None if age is None else round(age, 1),
            },
            "network": {
                "id": network["id"],
                "preset": network.get("preset"),
                "sha256": network.get("sha256"),
                "parameters": network.get("parameters"),
                "test": network.get("test"),
                "problem": network["problem"],
            },
            "pins": {"leds": pin_faults.get("leds"), "button": pin_faults.get("button")},
        }

    @routes.get("/openapi.json")
    @operation("This description, OpenAPI 3.1")
    def describe() -> dict[str, Any]:
        # Only programs ask for it: the start does without.
        from appliance.web.views.openapi import document

        return description.get(0, lambda: document(current_app))

    @routes.post("/read")
    @operation(
        "Read a picture, sent as the body or as a form's first file",
        query=_PICTURES,
        takes=("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff"),
        refuses=(400, 415, 503),
    )
    def read(pictures: str | None) -> "schemas.PictureReading | Response":
        # A photograph takes memory: on 512 MB there is room for one. A second may wait for it; a
        # third would take a thread from those who only look.
        if not waiting_room.acquire(blocking=False):
            sentence = "other pictures are being read: try again in a few seconds"
            return problem(503, sentence, retry_after=3)
        try:
            with queue.turn():
                chunks = _picture_chunks()
                first = next(chunks, b"")
                if not first:
                    return problem(400, "no picture was sent: POST a picture, bare or as a file")
                file = itertools.chain([first], chunks)
                answer = reader.read(picture_from_chunks(file, "the picture", clock()))
                with_strip = {"strip": encode_stages(answer)} if pictures is not None else {}
                number = next(numbers)
                sent.keep(number, answer)
                return jsonify(number=number, **_with_frame(answer), **with_strip)
        except PictureError as error:
            return problem(415, str(error))
        finally:
            waiting_room.release()

    return routes


def _to_json(number: int, reading: Reading, with_strip: bool) -> bytes:
    """Return the newest reading as JSON, with or without the pictures of each stage."""
    answer = {
        "number": number,
        **_with_frame(reading),
        "state": reading.state,
        "settled": reading.settled,
        "fault": reading.fault,
        **({"strip": encode_stages(reading)} if with_strip else {}),
    }
    return json.dumps(answer).encode()


def _picture_chunks() -> Iterator[bytes]:
    """Yield the picture of a request: its first file, or its body whatever type it claims.

    It is read in chunks: waitress keeps a body in a file, and all of it would fill the memory.
    """
    body = iter(lambda: request.stream.read(_CHUNK), b"")
    if request.mimetype != "multipart/form-data":
        return body
    return _first_file(body, request.mimetype_params.get("boundary", "").encode())


def _first_file(body: Iterator[bytes], boundary: bytes) -> Iterator[bytes]:
    """Yield the first file of a form that is not empty; nothing if there is none, or no form.

    Raises PictureError if the parts before it are too many or too large.
    """
    if not boundary:
        return
    decoder, parts, between = MultipartDecoder(boundary), 0, 0
    in_file = has_data = False
    try:
        for chunk in body:
            decoder.receive_data(chunk)
            between += len(chunk)
            while not isinstance(event := decoder.next_event(), NeedData):
                between = 0
                if isinstance(event, Data):
                    if in_file and event.data:
                        has_data = True
                        yield event.data
                    if has_data and not event.more_data:
                        return
                elif isinstance(event, Field | File):
                    in_file = isinstance(event, File)
                    parts += 1
                if parts > _MOST_PARTS:
                    raise PictureError("the form has too many parts: send it with one file")
            if between > _MOST_BETWEEN:
                raise PictureError("a part of the form is too large: send it with one file")
    except PictureError:
        raise
    except ValueError:
        # Not a form.
        return


def _with_frame(reading: Reading) -> dict[str, Any]:
    """Return a reading with its time and its frame's [width, height]."""
    frame = list(reading.frame.size) if reading.frame else None
    return {**reading.to_json(), "at": reading.at, "frame": frame}

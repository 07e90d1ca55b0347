"""The API, /api/v1: what the page shows, as JSON."""

import itertools
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.sansio.multipart import Data, Field, File, MultipartDecoder, NeedData

from appliance import __version__
from appliance.errors import PictureError
from appliance.networks.live import LiveNetwork
from appliance.outputs.latest import STARTING, Latest, Recent
from appliance.picture import Turns, picture_from_chunks
from appliance.reader.reader import Reader
from appliance.reading import Reading
from appliance.web.access.poll_interval import POLL_AFTER, PollInterval
from appliance.web.cache import Cache, set_etag
from appliance.web.draw.pictures import encode_stages
from appliance.web.problem import problem

LATE = 30.0
"""Seconds without a reading, or a fault told anew, after which the loop is taken for stuck."""
_MOST_PARTS = 100
_MOST_BETWEEN = 1_000_000
"""No more bytes than this are kept of what comes before a part of a form."""
_CHUNK = 1 << 16


def blueprint(
    *,
    latest: Latest,
    drawn: Recent,
    reader: Reader,
    networks: LiveNetwork,
    camera: str,
    problems: Callable[[], list[str]],
    turns: Turns,
    clock: Callable[[], float],
) -> Blueprint:
    """Return the API's routes over these parts; `clock` gives Unix seconds, `problems`
    what is not well with the state directory.

    What is read for a request goes into `drawn`, under numbers below zero, in its turn of `turns`.
    """
    routes = Blueprint("api", __name__, url_prefix="/api/v1")
    # With the pictures and without.
    newest_told = Cache[bytes](), Cache[bytes]()
    poll_interval = PollInterval()
    # A restart begins to count anew; an ETag of before must not match then.
    boot = secrets.token_hex(4)
    numbers = itertools.count(-1, -1)
    places = threading.Semaphore(2)

    @routes.get("/reading")
    def reading() -> Response:
        number, newest = latest.newest()
        pictures = "pictures" in request.args
        tag = f"{boot}-{number}{'p' * pictures}"
        if newest is None:
            newest = Reading(at=clock(), fault=STARTING)
        if tag in request.if_none_match:
            response = Response(status=304)
        else:
            body = newest_told[pictures].get(number, lambda: _told(number, newest, pictures))
            response = Response(body, mimetype="application/json")
        if "page" in request.args:
            wait = poll_interval.next_poll(request.args["page"][:32], newest.milliseconds / 1000)
            response.headers[POLL_AFTER] = f"{wait:.1f}"
        return set_etag(response, tag)

    @routes.get("/health")
    def health() -> Response:
        # Without frames the loop does not look.
        networks.refresh()
        network = networks.card()
        number, newest = latest.newest()
        age = latest.seconds_since()
        fault = newest.fault if newest else STARTING
        if age is not None and age > LATE and not fault:
            fault = f"there was no reading for {age:.0f} seconds: restart the appliance"
        return jsonify(
            status="fault" if fault or network["problem"] or problems() else "ok",
            version=__version__,
            readings=number,
            problems=problems(),
            camera={
                "source": camera,
                "fault": fault,
                "seconds_since_reading": None if age is None else round(age, 1),
            },
            network={
                "id": network["id"],
                "preset": network.get("preset"),
                "sha256": network.get("sha256"),
                "parameters": network.get("parameters"),
                "test": network.get("test"),
                "problem": network["problem"],
            },
        )

    @routes.get("/openapi.json")
    def described() -> Response:
        # It is long, and asked for by programs alone: the start does without.
        from appliance.web.views.openapi import document

        return jsonify(document())

    @routes.post("/read")
    def read() -> Response:
        # A photograph takes memory: on 512 MB there is room for one. A second may wait for it; a
        # third would take a thread from those who only look.
        if not places.acquire(blocking=False):
            sentence = "other pictures are being read: try again in a few seconds"
            return problem(503, sentence, retry_after=3)
        try:
            with turns.next():
                chunks = _sent()
                first = next(chunks, b"")
                if not first:
                    return problem(
                        400, "no picture was sent: POST a JPEG or PNG, bare or as a file"
                    )
                file = itertools.chain([first], chunks)
                answer = reader.read(picture_from_chunks(file, "the picture", clock()))
                pictures = {"strip": encode_stages(answer)} if "pictures" in request.args else {}
                number = next(numbers)
                drawn.keep(number, answer)
                return jsonify(number=number, **_with_frame(answer), **pictures)
        except PictureError as error:
            return problem(415, str(error))
        finally:
            places.release()

    return routes


def _told(number: int, reading: Reading, pictures: bool) -> bytes:
    """Return the newest reading as JSON, with its strip where the pictures are asked for."""
    told = {
        "number": number,
        **_with_frame(reading),
        "state": reading.state,
        "settled": reading.settled,
        "fault": reading.fault,
        **({"strip": encode_stages(reading)} if pictures else {}),
    }
    return json.dumps(told).encode()


def _sent() -> Iterator[bytes]:
    """Yield the picture of a request: its first file, or its body whatever type it claims.

    It is read as it is asked for: a body waits in a file, and would be the memory's largest part.
    """
    body = iter(lambda: request.stream.read(_CHUNK), b"")
    if request.mimetype != "multipart/form-data":
        return body
    return _first_file(body, request.mimetype_params.get("boundary", "").encode())


def _first_file(body: Iterator[bytes], boundary: bytes) -> Iterator[bytes]:
    """Yield the first file of a form that has anything; nothing where there is none, or no form.

    Raises PictureError for more parts before it than a form has, or larger ones.
    """
    if not boundary:
        return
    decoder, parts, between = MultipartDecoder(boundary), 0, 0
    in_file = begun = False
    try:
        for chunk in body:
            decoder.receive_data(chunk)
            between += len(chunk)
            while not isinstance(event := decoder.next_event(), NeedData):
                between = 0
                if isinstance(event, Data):
                    if in_file and event.data:
                        begun = True
                        yield event.data
                    if begun and not event.more_data:
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
        # What is no form has no file.
        return


def _with_frame(reading: Reading) -> dict[str, Any]:
    """Return a reading with its time and the frame's [width, height], which the box refers to."""
    frame = list(reading.frame.size) if reading.frame else None
    return {**reading.as_json(), "at": reading.at, "frame": frame}

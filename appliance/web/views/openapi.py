"""GET /api/v1/openapi.json: the API described for programs, as OpenAPI 3.1."""

from functools import cache
from typing import Any

from appliance import __version__
from appliance.web.access.poll_interval import POLL_AFTER
from appliance.web.access.session import TOKEN
from appliance.web.views.captures import MOST_LISTED
from appliance.web.views.history import MOST_HISTORY, MOST_NUMBER
from model.network import NOT_A_DIGIT

Schema = dict[str, Any]


@cache
def document() -> Schema:
    """Return the whole document, which never changes while the appliance runs."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "digit appliance",
            "version": __version__,
            "description": "What the page does, for programs. Anyone may look; a change, and "
            "what is marked so, needs the owner's session, and a change its token in "
            f"{TOKEN}. Errors are RFC 9457 problem details.",
        },
        "paths": {path: _with_errors(item) for path, item in _PATHS.items()},
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "digits-owner"},
                "token": {"type": "apiKey", "in": "header", "name": TOKEN},
            },
        },
    }


# ---- the shapes ----


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Schema = {"type": "string"}
_YES: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_DIGIT: Schema = {"type": "integer", "minimum": 0, "maximum": 9}
_LABEL: Schema = {"type": "integer", "minimum": 0, "maximum": NOT_A_DIGIT}
_ANY: Schema = {"type": "object"}
_TIME: Schema = {"type": "number", "description": "Unix seconds"}
_COUNTS = _list(_WHOLE, minItems=NOT_A_DIGIT + 1, maxItems=NOT_A_DIGIT + 1)
_PICTURE = _or_null({"type": "string", "description": "a data URL"})
_ANSWER: dict[str, Schema] = {
    "digit": _or_null(_DIGIT),
    "reason": _or_null(_TEXT),
    "confidence": _SHARE,
    "probabilities": _list(_SHARE, minItems=10, maxItems=10),
    "box": _or_null(_list(_WHOLE, minItems=4, maxItems=4)),
}
_READING: dict[str, Schema] = {
    "number": _WHOLE,
    "at": _TIME,
    "frame": _or_null(_list(_WHOLE, minItems=2, maxItems=2)),
    "milliseconds": _NUMBER,
    "marks": _list(_object(**_ANSWER)),
    **_ANSWER,
}
_SCHEMAS: dict[str, Schema] = {
    "Problem": _object(title=_TEXT, status=_WHOLE, detail=_TEXT),
    "Session": _object(owner=_YES, token=_or_null(_TEXT), pin=_YES),
    "Reading": {
        "type": "object",
        "required": list(_READING),
        "properties": {
            **_READING,
            "state": {"enum": ["ready", "looking", "error"]},
            "settled": _or_null(_DIGIT),
            "fault": _or_null(_TEXT),
            "strip": _object(frame=_PICTURE, ink=_PICTURE, mark=_PICTURE, glyph=_PICTURE),
        },
    },
    "History": _object(
        readings=_list(
            _object(
                id=_WHOLE, at=_TIME, digit=_or_null(_DIGIT), reason=_or_null(_TEXT),
                confidence=_SHARE, glyph=_PICTURE,
            )
        )
    ),
    "Health": _object(
        status={"enum": ["ok", "fault"]},
        version=_TEXT,
        readings=_WHOLE,
        problems=_list(_TEXT),
        camera=_object(
            source=_TEXT, fault=_or_null(_TEXT), seconds_since_reading=_or_null(_NUMBER)
        ),
        network=_object(id=_TEXT, problem=_or_null(_TEXT)),
    ),
    "Device": _object(
        name=_TEXT, addresses=_list(_TEXT), version=_TEXT, python=_TEXT, machine=_TEXT,
        libraries=_ANY, network=_TEXT, fault=_or_null(_TEXT),
        reading_milliseconds=_or_null(_NUMBER), celsius=_or_null(_NUMBER), power=_or_null(_TEXT),
        power_before=_or_null(_TEXT),
        exposure=_or_null(_object(camera=_TEXT, seconds=_NUMBER, gain=_NUMBER)),
        memory_resident_bytes=_or_null(_WHOLE), memory_available_bytes=_or_null(_WHOLE),
        disk_free_bytes=_or_null(_WHOLE), uptime_seconds=_NUMBER, time=_TIME, clock_is_set=_YES,
    ),
    "Settings": _object(
        settings=_list(
            _object(table=_TEXT, key=_TEXT, value=_TEXT, help=_TEXT, origin=_TEXT, page=_YES)
        ),
        waiting=_YES,
    ),
    "Capture": _object(
        id=_WHOLE, at=_TIME, label=_LABEL, said=_or_null(_DIGIT), reason=_or_null(_TEXT),
        confidence=_SHARE, network=_TEXT, corrected=_YES, held_out=_YES, glyph=_PICTURE,
    ),
    "Captures": _object(
        captures=_list(_named("Capture")), counts=_COUNTS, total=_WHOLE, limit=_WHOLE,
        notice=_or_null(_TEXT),
    ),
    "Report": _object(
        counts=_COUNTS, enough=_YES,
        mislabelled=_list(_object(id=_WHOLE, looks_like=_LABEL, confidence=_SHARE)),
        alike=_list(_list(_WHOLE)), sentences=_list(_TEXT),
    ),
    "Imported": _object(added=_WHOLE, known=_WHOLE),
    "Network": _object(
        id=_TEXT,
        state={"enum": ["current", "previous", "candidate", "shipped", "damaged"]},
        made=_TIME, shipped=_YES, card=_ANY,
    ),
    "Networks": _object(
        networks=_list(_named("Network")),
        reads=_object(id=_TEXT, problem=_or_null(_TEXT), file=_or_null(_TEXT)),
        before=_or_null(_TEXT),
    ),
    "Training": _object(
        running=_YES, sentence=_TEXT, progress=_or_null(_ANY), curve=_or_null(_TEXT),
        nights=_list(_ANY), enough=_TEXT, worth=_YES, captures=_WHOLE, may_begin=_YES,
    ),
    "Inside": _object(
        id=_TEXT,
        layers=_list(
            _object(
                kind=_TEXT, shape=_list(_WHOLE, minItems=1, maxItems=3), parameters=_WHOLE,
                multiply_adds=_WHOLE,
            )
        ),
        filters=_list({"type": "string", "description": "a data URL"}),
        report=_or_null(
            _object(
                accuracy=_SHARE, right=_WHOLE, total=_WHOLE, refused=_WHOLE,
                confusion=_list(_COUNTS, minItems=10, maxItems=10), calibration_error=_SHARE,
                bins=_list(
                    _object(low=_SHARE, high=_SHARE, count=_WHOLE, confidence=_SHARE,
                            accuracy=_SHARE)
                ),
                wrong=_list(
                    _object(number=_WHOLE, label=_DIGIT, answer=_LABEL, confidence=_SHARE,
                            glyph=_PICTURE)
                ),
            )
        ),
    ),
    "Findings": _object(
        findings=_list(_object(what=_TEXT, good=_or_null(_YES), sentence=_TEXT))
    ),
    "Said": _object(said=_TEXT),
    "Log": _object(lines=_list(_object(at=_TIME, level=_TEXT, text=_TEXT))),
}  # fmt: skip


# ---- the requests ----


def _answer(what: str, schema: Schema | str, *, kind: str = "application/json") -> Schema:
    schema = _named(schema) if isinstance(schema, str) else schema
    return {"description": what, "content": {kind: {"schema": schema}}}


def _asked(name: str, schema: Schema, what: str, place: str = "query") -> Schema:
    told = {"name": name, "in": place, "schema": schema, "description": what}
    return {**told, "required": True} if place == "path" else told


def _body(schema: Schema, kind: str = "application/json", *, required: bool = True) -> Schema:
    return {"required": required, "content": {kind: {"schema": schema}}}


def _look(summary: str, answer: Schema, *asked: Schema, refusals: str = "") -> Schema:
    return _operation(summary, {"200": answer}, asked, None, refusals)


def _owners(summary: str, answer: Schema, *, refusals: str = "") -> Schema:
    """Return an operation that looks at what the owner alone may see."""
    told = _look(summary, answer, refusals=f"401 {refusals}")
    return {**told, "security": [{"session": []}]}


def _change(
    summary: str,
    answers: dict[str, Schema],
    *asked: Schema,
    body: Schema | None = None,
    refusals: str = "",
) -> Schema:
    """Return an operation that only the owner may ask for."""
    told = _operation(summary, answers, asked, body, f"401 403 {refusals}")
    return {**told, "security": [{"session": [], "token": []}]}


def _operation(
    summary: str,
    answers: dict[str, Schema],
    asked: tuple[Schema, ...],
    body: Schema | None,
    refusals: str,
) -> Schema:
    problem = {"application/problem+json": {"schema": _named("Problem")}}
    refused = {code: {"description": _REFUSALS[code], "content": problem}
               for code in refusals.split()}  # fmt: skip
    told: Schema = {"summary": summary, "responses": {**answers, **refused}}
    if asked:
        told["parameters"] = list(asked)
    if body is not None:
        told["requestBody"] = body
    return told


def _with_errors(item: Schema) -> Schema:
    """Return a path's operations with what any of them may answer."""
    problem = {"application/problem+json": {"schema": _named("Problem")}}
    always = {"description": "refused: for whom, whence or how it was asked", "content": problem}
    return {
        method: {**told, "responses": {**told["responses"], "4XX": always}}
        for method, told in item.items()
    }


_REFUSALS = {
    "304": "nothing new since the ETag",
    "400": "what was sent is not what is wanted",
    "401": "only the owner may",
    "403": "the token is missing, or the PIN is wrong",
    "404": "there is no such thing",
    "409": "not now",
    "415": "not a picture",
    "429": "too many wrong PINs",
    "503": "busy, or not to be had at the moment",
    "507": "the disk refuses it",
}
_SESSION = _answer("who asks", "Session")
_CAPTURE = _answer("the capture", "Capture")
_NETWORKS = _answer("the networks, as they are now", "Networks")
_SAID = {"202": _answer("what happens now", "Said")}
_NUMBERED = _asked("number", {"type": "integer", "minimum": 0, "maximum": MOST_NUMBER - 1},
                   "the capture's number", "path")  # fmt: skip
_NETWORK_ID = _asked("id", {"type": "string", "pattern": "^[0-9a-f]{1,64}$"},
                     "the network's id", "path")  # fmt: skip
_PICTURES = _asked("pictures", {"const": "1"}, "with the strip, as data URLs")

_PATHS: dict[str, Schema] = {
    "/api/v1/reading": {
        "get": _look(
            "The newest reading; it has an ETag", _answer("a reading", "Reading"), _PICTURES,
            _asked("page", {"type": "string", "maxLength": 32},
                   f"a name of the page's own: then {POLL_AFTER} tells when to ask again"),
        )
    },
    "/api/v1/reading/{name}": {
        "get": _look(
            "One picture of the newest reading; it has an ETag",
            {
                "description": "a JPEG for the frame, a PNG for the rest",
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary"}}
                    for kind in ("image/jpeg", "image/png")
                },
            },
            _asked("name", {"enum": ["frame", "ink", "mark", "glyph"]}, "which", "path"),
            refusals="404",
        )
    },
    "/api/v1/read": {
        "post": _operation(
            "Read a JPEG or PNG",
            {"200": _answer("its reading", "Reading")},
            (_PICTURES,),
            {
                "required": True,
                "content": {
                    "image/png": {"schema": {"type": "string", "format": "binary"}},
                    "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            "400 415 503",
        )
    },
    "/api/v1/history": {
        "get": _look(
            "The readings that changed the answer, the newest first",
            _answer("readings", "History"),
            _asked("limit", {"type": "integer", "minimum": 1, "maximum": MOST_HISTORY}, "how many"),
            _asked("before", {"type": "integer", "minimum": 1, "maximum": MOST_NUMBER},
                   "only those of lower ids: the next page"),
            _asked("answer", _LABEL, "only those that show this digit, or none: 10"),
            refusals="400",
        )
    },
    "/api/v1/history.csv": {
        "get": _look("The whole history, the newest first", _answer("CSV", _TEXT, kind="text/csv"))
    },
    "/api/v1/device": {
        "get": _look("How the machine does", _answer("the device", "Device"))
    },
    "/api/v1/log": {
        "get": _owners("The log's last lines, the oldest first", _answer("lines", "Log"))
    },
    "/api/v1/settings": {
        "get": _owners(
            "The settings in force, and whether one was changed that waits for the next start",
            _answer("the settings", "Settings"),
        ),
        "patch": _change(
            "Change a setting, from the next start on; null takes the settings file's value",
            {"200": _answer("that it is kept", "Said")},
            body=_body(
                {
                    "type": "object",
                    "required": ["table", "key", "value"],
                    "properties": {"table": _TEXT, "key": _TEXT, "value": {}},
                }
            ),
            refusals="400 503",
        )
    },
    "/api/v1/doctor": {
        "post": _change(
            "Check all that 'digits doctor' does; good is null for what cannot be told here",
            {"200": _answer("what was found", "Findings")},
            refusals="503",
        )
    },
    "/api/v1/leds/test": {"post": _change("Light each LED in turn", _SAID, refusals="409")},
    "/api/v1/device/start-again": {"post": _change("Start the appliance again", _SAID)},
    "/api/v1/device/reboot": {"post": _change("Restart the machine", _SAID, refusals="409")},
    "/api/v1/device/power-off": {
        "post": _change("Switch the machine off", _SAID, refusals="409")
    },
    "/api/v1/health": {"get": _look("Whether all is well", _answer("the state", "Health"))},
    "/api/v1/session": {
        "get": _look("Who asks, and the token that changes need", _SESSION),
        "post": _operation(
            "Show the PIN", {"200": _SESSION}, (), _body(_object(pin=_TEXT)), "400 403 429 503"
        ),
        "delete": _operation("Leave", {"200": _SESSION}, (), None, ""),
    },
    "/api/v1/captures": {
        "get": _look(
            "The captures, the newest first",
            _answer("captures", "Captures"),
            _asked("label", _LABEL, "only those of this label"),
            _asked("before", {"type": "integer", "minimum": 1, "maximum": MOST_NUMBER - 1},
                   "only those of lower numbers: the next page"),
            _asked("limit", {"type": "integer", "minimum": 1, "maximum": MOST_LISTED}, "how many"),
            _asked("deleted", {"enum": [0, 1]}, "1 for those that were taken out"),
            _asked("ids", {"type": "string", "pattern": "^([0-9]{1,12}(,[0-9]{1,12})*)?$"},
                   "these, with commas between"),
            refusals="400",
        ),
        "post": _change(
            "Keep a reading with what it really is",
            {"201": _CAPTURE},
            body=_body(
                {
                    "type": "object",
                    "required": ["label", "reading"],
                    "properties": {"label": _LABEL, "reading": _WHOLE, "at": _NUMBER},
                }
            ),
            refusals="400 409 507",
        ),
    },
    "/api/v1/captures/{number}": {
        "patch": _change(
            "Another label", {"200": _CAPTURE}, _NUMBERED, body=_body(_object(label=_LABEL)),
            refusals="400 404 507",
        ),
        "delete": _change("Take it out", {"200": _CAPTURE}, _NUMBERED, refusals="404 507"),
    },
    "/api/v1/captures/{number}/restore": {
        "post": _change("Bring it back", {"200": _CAPTURE}, _NUMBERED, refusals="404 507")
    },
    "/api/v1/captures/{number}/picture": {
        "get": _look(
            "What was around it",
            _answer("a PNG", {"type": "string", "format": "binary"}, kind="image/png"),
            _NUMBERED,
            refusals="404",
        )
    },
    "/api/v1/captures/report": {
        "get": _look(
            "Which captures look mislabelled or alike", _answer("the report", "Report"),
            refusals="503",
        )
    },
    "/api/v1/captures/export": {
        "get": _owners(
            "All captures; one export at a time",
            _answer("a zip", {"type": "string", "format": "binary"}, kind="application/zip"),
            refusals="503 507",
        )
    },
    "/api/v1/captures/import": {
        "post": _change(
            "Add the captures of an export",
            {"200": _answer("how many", "Imported")},
            body=_body({"type": "string", "format": "binary"}, "application/zip"),
            refusals="400 503 507",
        )
    },
    "/api/v1/networks": {"get": _look("The networks, the newest first", _NETWORKS)},
    "/api/v1/networks/{id}": {
        "get": _look(
            "One network's card", _answer("the network", "Network"), _NETWORK_ID,
            _asked("beside", _TEXT, "another's id: then with the facts of both"), refusals="404",
        )
    },
    "/api/v1/networks/{id}/promote": {
        "post": _change("Read with it", {"200": _NETWORKS}, _NETWORK_ID, refusals="404 409 503")
    },
    "/api/v1/networks/roll-back": {
        "post": _change("Read with the one before", {"200": _NETWORKS}, refusals="409 503")
    },
    "/api/v1/training": {
        "get": _look("What the training does; it has an ETag", _answer("the training", "Training"),
                     refusals="503"),
        "post": _change(
            "Begin a training", _SAID,
            body=_body({"type": "object", "properties": {"from_scratch": _YES}}, required=False),
            refusals="400 409",
        ),
    },
    "/api/v1/training/stop": {"post": _change("End the training", _SAID, refusals="409")},
    "/api/v1/training/curve.svg": {
        "get": _look(
            "Loss and accuracy of the one that runs, or of the last",
            _answer("a drawing", _TEXT, kind="image/svg+xml"), refusals="404",
        )
    },
    "/api/v1/inside": {
        "get": _look(
            "The layers of the network that reads, the first filters, what it answers to MNIST's "
            "test digits; it has an ETag",
            _answer("the network from inside", "Inside"),
        )
    },
    "/api/v1/openapi.json": {"get": _look("This document", _answer("OpenAPI 3.1", _ANY))},
    "/metrics": {
        "get": _look(
            "Counts and gauges for Prometheus",
            _answer("Prometheus's text format", _TEXT, kind="text/plain"),
        )
    },
}  # fmt: skip

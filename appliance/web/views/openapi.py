"""GET /api/v1/openapi.json: the API's description, made from the routes and their types.

Not apispec with marshmallow: views would need its schema classes at every start, which a Pi Zero
has no time for. Types that annotations name, and this converter, are imported when it is asked for.
"""

import inspect
import re
import types
import typing
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal, NotRequired, Union

from flask import Flask, Response

from appliance import __version__
from appliance.web import schemas
from appliance.web.access.guard import needs_owner
from appliance.web.access.session import COOKIE, TOKEN
from appliance.web.operation import Operation
from appliance.web.request_args import Schema, Schemas, requires_body

_METHODS = "DELETE", "GET", "PATCH", "POST", "PUT"
_REFUSALS = {
    400: "the request has a wrong or missing value",
    401: "only the owner may do this",
    403: "the token is missing or wrong, or the PIN is wrong",
    404: "there is no such thing",
    409: "not possible now",
    415: "not a picture that is read",
    429: "too many wrong PINs",
    503: "busy or not available: try again",
    507: "no space, or the disk refuses to write",
}
_UNIONS = Union, types.UnionType
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}


def document(app: Flask) -> Schema:
    """Return the description of every route of an application that declares an `operation`."""
    components = _Components()
    paths: dict[str, dict[str, Schema]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        declared: Operation | None = getattr(view, "operation", None)
        if declared is None:
            continue
        path = paths.setdefault(re.sub("<(.+?)>", r"{\1}", rule.rule), {})
        for method in sorted({*(rule.methods or ())} & {*_METHODS}):
            owner = needs_owner(method, rule.endpoint)
            path[method.lower()] = _operation(declared, view, method, owner, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "digit appliance",
            "version": __version__,
            "description": "What the page does, for programs. Anyone may look; only the owner may "
            "change anything, or see what is marked so. That needs the session's cookie, and a "
            f"change its token in {TOKEN} as well. Errors are RFC 9457 problem details.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                "token": {"type": "apiKey", "in": "header", "name": TOKEN},
            },
        },
    }


def _operation(
    declared: Operation,
    view: Callable[..., Any],
    method: str,
    owner: bool,
    components: "_Components",
) -> Schema:
    refuses = set(declared.refuses)
    described: Schema = {"summary": declared.summary}
    if owner:
        # A change is refused as well while the state directory cannot be written.
        refuses |= {401} if method == "GET" else {401, 403, 503}
        described["security"] = [
            {"session": []} if method == "GET" else {"session": [], "token": []}
        ]
    if declared.path:
        refuses.add(404)
    parameters = [
        *_parameters("path", declared.path, required=True),
        *_parameters("query", declared.query),
    ]
    if parameters:
        described["parameters"] = parameters
    if declared.query or declared.body is not None:
        refuses.add(400)
    if declared.body is not None:
        content = {"application/json": {"schema": _body(declared.body)}}
        described["requestBody"] = {"required": requires_body(declared.body), "content": content}
    elif declared.takes:
        described["requestBody"] = {"required": True, "content": _files(declared.takes)}
    problem = {"application/problem+json": {"schema": components.of(schemas.Problem)}}
    described["responses"] = {
        str(declared.status): _answer(declared, view, components),
        **{str(code): {"description": _REFUSALS[code], "content": problem}
           for code in sorted(refuses)},
        "4XX": {"description": "refused: because of who asks, from where, or how",
                "content": problem},
    }  # fmt: skip
    return described


def _parameters(place: str, values: Schemas, **more: Any) -> list[Schema]:
    return [
        {
            "name": name,
            "in": place,
            "description": schema["description"],
            "schema": {key: value for key, value in schema.items() if key != "description"},
            **more,
        }
        for name, schema in values.items()
    ]


def _body(values: Schemas) -> Schema:
    required = [name for name, schema in values.items() if "default" not in schema]
    return {"type": "object", "properties": values, **({"required": required} if required else {})}


def _answer(declared: Operation, view: Callable[..., Any], components: "_Components") -> Schema:
    """Return the description of a view's success: files, or the JSON of its return annotation."""
    if declared.gives:
        return {"description": "the file", "content": _files(declared.gives)}
    hint = typing.get_type_hints(view, localns={"schemas": schemas})["return"]
    choices = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    (shape,) = [each for each in choices if each is not Response]
    content = {"application/json": {"schema": components.of(shape)}}
    description = components.description(shape) or HTTPStatus(declared.status).phrase
    return {"description": description, "content": content}


def _files(kinds: tuple[str, ...]) -> Schema:
    """Return the content of files of these media types."""
    text = {"type": "string"}
    return {
        kind: {"schema": text if "text" in kind or "svg" in kind else {**text, "format": "binary"}}
        for kind in kinds
    }


class _Components:
    """The schemas of types; those of classes stand once, by their names, in `schemas`."""

    def __init__(self) -> None:
        self.schemas: Schemas = {}

    def of(self, hint: Any) -> Schema:
        """Return the JSON schema of a type.

        It may be a JSON type, None or Any, a list, dict, union or Literal, one Annotated with
        (keyword, value) of its schema, and a TypedDict, NamedTuple or dataclass of such types.
        """
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if hint is Any:
            return {}
        if hint is type(None):
            return {"type": "null"}
        if origin is Annotated:
            return {**self.of(args[0]), **dict(args[1:])}
        if origin in _UNIONS:
            return {"anyOf": [self.of(each) for each in args]}
        if origin is Literal:
            return {"enum": list(args)}
        if origin is list:
            return {"type": "array", "items": self.of(args[0])}
        if origin is dict or hint in _JSON_TYPES:
            return {"type": _JSON_TYPES[origin or hint]}
        name = hint.__name__
        if name not in self.schemas:
            self.schemas[name] = {}
            self.schemas[name] = self._object(hint)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, shape: type) -> Schema:
        required, properties = [], {}
        for name, hint in typing.get_type_hints(shape, include_extras=True).items():
            if typing.get_origin(hint) is NotRequired:
                (hint,) = typing.get_args(hint)
            else:
                required.append(name)
            properties[name] = self.of(hint)
        described: Schema = {"type": "object", "required": required, "properties": properties}
        return described | {"description": self.description(shape)}

    @staticmethod
    def description(shape: Any) -> str:
        """Return the docstring of a class, without the full stop; "" for a dict."""
        return "" if typing.get_origin(shape) is dict else (inspect.getdoc(shape) or "").rstrip(".")

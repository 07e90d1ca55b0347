"""The values in a request, checked against JSON schemas: in its path, its query and its JSON body.

A schema uses of JSON Schema: type, minimum, maximum, maxLength, pattern, enum, const, default,
description and examples. The API's description (views/openapi.py) shows the same schemas.
"""

import json
import re
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest, NotFound

Schema = dict[str, Any]
Schemas = dict[str, Schema]

SWITCH: Schema = {"const": "1"}
"""A parameter of the query that is on when it is there, whatever its value."""
_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,), "number": (int, float), "string": (str,), "boolean": (bool,),
    "null": (type(None),),
}  # fmt: skip
_WORDS = {
    "integer": "a whole number", "number": "a number", "string": "a text",
    "boolean": "true or false", "null": "null",
}  # fmt: skip


def integer(least: int, most: int, description: str = "", **more: Any) -> Schema:
    """Return the schema of a whole number from `least` to `most`."""
    return {
        "type": "integer", "minimum": least, "maximum": most, "description": description, **more
    }  # fmt: skip


def int_arg(name: str, least: int, most: int) -> int | None:
    """Return a whole number of the query from `least` to `most`, None where there is none.

    Raises BadRequest for anything else.
    """
    value: int | None = query_values({name: integer(least, most)})[name]
    return value


def path_values(schemas: Schemas, texts: dict[str, str]) -> dict[str, Any]:
    """Return the values in an address; raises NotFound for one that its schema refuses."""
    values = {name: _parse(text, schemas[name]) for name, text in texts.items()}
    if not all(_is_valid(value, schemas[name]) for name, value in values.items()):
        raise NotFound
    return values


def query_values(schemas: Schemas) -> dict[str, Any]:
    """Return the values of the query, a missing one's default or None.

    Raises BadRequest for one that its schema refuses.
    """
    values = {}
    for name, schema in schemas.items():
        text = request.args.get(name)
        value = schema.get("default") if text is None else _parse(text, schema)
        if text is not None and not _is_valid(value, schema):
            raise BadRequest(f"{name} must be {_words(schema)}")
        values[name] = value
    return values


def body_values(schemas: Schemas) -> dict[str, Any]:
    """Return the values of the JSON body, a missing one's default.

    A body may be left out where every value has a default. Raises BadRequest, with an example, for
    a body that is not an object, and for a value that is missing or that its schema refuses.
    """
    body = json_body()
    if body is None and not requires_body(schemas) and not request.get_data():
        body = {}
    problem = None
    if not isinstance(body, dict):
        problem = "the body must be a JSON object"
        body = {}
    values = {}
    for name, schema in schemas.items():
        if name not in body and "default" in schema:
            values[name] = schema["default"]
        elif name in body and _is_valid(body[name], schema):
            values[name] = body[name]
        else:
            problem = problem or f"{name} must be {_words(schema)}"
    if problem:
        example = {name: schema["examples"][0] for name, schema in schemas.items()}
        raise BadRequest(f"{problem}: send JSON such as {json.dumps(example)}")
    return values


def requires_body(schemas: Schemas) -> bool:
    """Tell whether a body of these values must be sent."""
    return any("default" not in schema for schema in schemas.values())


def json_body() -> Any:
    """Return the JSON of the request's body, None if it is not JSON.

    None as well for what could not be stored or answered later: half of a surrogate pair, infinity,
    NaN, a number of more than 300 digits, brackets nested too deeply.
    """
    if not request.is_json:
        return None
    try:
        body = json.loads(request.get_data(), parse_int=_parse_int, parse_constant=_refuse)
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return body


def _parse(text: str, schema: Schema) -> Any:
    """Return the value that a text of the address stands for, the text itself if it is none."""
    if "const" in schema:
        return schema["const"]
    digits = text.removeprefix("-")
    # A number of thousands of digits is not even converted.
    if schema["type"] == "integer" and digits.isascii() and digits.isdigit() and len(digits) < 14:
        return int(text)
    return text


def _is_valid(value: Any, schema: Schema) -> bool:
    if "const" in schema:
        return bool(value == schema["const"])
    # True is an int to Python, and none to JSON.
    if "type" in schema and type(value) not in {
        each for kind in _kinds(schema) for each in _TYPES[kind]
    }:
        return False
    if isinstance(value, str):
        return (
            value in schema.get("enum", (value,))
            and len(value) <= schema.get("maxLength", len(value))
            and ("pattern" not in schema or bool(re.fullmatch(schema["pattern"], value)))
        )
    if isinstance(value, int | float):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _words(schema: Schema) -> str:
    """Return what a value must be, as an error's sentence says it."""
    if "pattern" in schema:
        return str(schema["description"])
    words = " or ".join(_WORDS[kind] for kind in _kinds(schema)) or "given"
    if "minimum" in schema:
        words += f" from {schema['minimum']} to {schema['maximum']}"
    if "maxLength" in schema:
        words += f" of at most {schema['maxLength']} characters"
    return words


def _kinds(schema: Schema) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _parse_int(text: str) -> int:
    return int(text) if len(text) <= 300 else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)

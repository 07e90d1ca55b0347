"""The values in a request: whole numbers in its query, JSON in its body."""

import json
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest


def int_arg(name: str, least: int, most: int) -> int | None:
    """Return a whole number of the query from `least` to `most`, None where there is none.

    Raises BadRequest for anything else.
    """
    text = request.args.get(name)
    if text is None:
        return None
    digits = text.removeprefix("-") if least < 0 else text
    # A number of thousands of digits is not even converted.
    is_number = digits.isascii() and digits.isdigit() and len(digits) < 14
    number = int(text) if is_number else least - 1
    if not least <= number <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}")
    return number


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


def _parse_int(text: str) -> int:
    return int(text) if len(text) <= 300 else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)

"""What a request asks for: whole numbers in its query, JSON in its body."""

import json
from collections.abc import Callable
from typing import Any

from flask import request


def whole(
    name: str, least: int, most: int, refuse: Callable[[str], Exception] = ValueError
) -> int | None:
    """Return a whole number of the query from `least` to `most`, None where it is not asked for.

    Raises what `refuse` makes of the sentence for anything else.
    """
    text = request.args.get(name)
    if text is None:
        return None
    digits = text.removeprefix("-") if least < 0 else text
    # A number of thousands of digits is not even converted.
    is_one = digits.isascii() and digits.isdigit() and len(digits) < 14
    number = int(text) if is_one else least - 1
    if not least <= number <= most:
        raise refuse(f"{name} must be a whole number from {least} to {most}")
    return number


def sent() -> Any:
    """Return the JSON of the request's body, None for what is none.

    None as well for what could not be kept or answered later: half of a surrogate pair, a number
    that is none or has more than 300 digits, brackets in brackets without end.
    """
    if not request.is_json:
        return None
    try:
        body = json.loads(request.get_data(), parse_int=_int, parse_constant=_refuse)
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return body


def _int(text: str) -> int:
    return int(text) if len(text) <= 300 else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)

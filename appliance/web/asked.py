"""What a request asks for: whole numbers in its query, JSON in its body."""

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
    """Return the JSON of the request's body, None for what is none."""
    try:
        return request.get_json(silent=True)
    except RecursionError:
        # A hundred thousand brackets are no request of anybody's, and no defect here.
        return None

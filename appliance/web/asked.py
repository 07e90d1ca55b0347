"""What a request asks for in its query: whole numbers in a range."""

from collections.abc import Callable

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
    # A number of thousands of digits is not even converted.
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 14 else least - 1
    if not least <= number <= most:
        raise refuse(f"{name} must be a whole number from {least} to {most}")
    return number

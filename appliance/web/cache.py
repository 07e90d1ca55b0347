"""Values are not computed twice, answers not sent twice: a cache, and ETags."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from flask import Response

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """A thread-safe cache of the `size` values that were used last.

    A value is kept under its stamp: anything that changes whenever the value would.
    """

    def __init__(self, size: int = 1) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: dict[object, Value] = {}

    def get(self, stamp: object, make: Callable[[], Value]) -> Value:
        """Return the value of a stamp, from `make` if it is new; other callers wait meanwhile."""
        with self._lock:
            value = self._values.pop(stamp) if stamp in self._values else make()
            # A dict keeps the order of insertion: the least recently used value is the first.
            self._values[stamp] = value
            for old in list(self._values)[: -self._size]:
                del self._values[old]
            return value


def set_etag(response: Response, etag: str) -> Response:
    """Return the response with an ETag, which a browser asks about before it uses its copy."""
    response.set_etag(etag)
    response.headers["Cache-Control"] = "no-cache"
    return response

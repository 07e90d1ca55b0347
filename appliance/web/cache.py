"""What is made once and told often: a Pi Zero is asked by many pages."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Holds the newest value, which is made anew only when its stamp is another one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[object, Value] | None = None

    def of(self, stamp: object, make: Callable[[], Value]) -> Value:
        """Return the value of a stamp; of many who ask at once, one makes it and the rest wait."""
        with self._lock:
            if self._kept is None or self._kept[0] != stamp:
                self._kept = stamp, make()
            return self._kept[1]


class KeptFew(Generic[Value]):
    """Holds the values of the stamps that were asked for last, `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: dict[object, Value] = {}

    def of(self, stamp: object, make: Callable[[], Value]) -> Value:
        """Return the value of a stamp; one at a time is made, and whoever asks meanwhile waits."""
        with self._lock:
            value = self._kept.pop(stamp) if stamp in self._kept else make()
            # A dict is in the order of what was put in: the first was not asked for the longest.
            self._kept[stamp] = value
            for old in list(self._kept)[: -self._size]:
                del self._kept[old]
            return value

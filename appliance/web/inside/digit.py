"""Which digit is followed through the network: a reading's, or one of the project's own."""

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.outputs.latest import Latest, Recent
from appliance.reading import Array
from appliance.vision.glyph import SIDE
from appliance.web.cache import Cache
from appliance.web.inside.feature_maps import grey
from appliance.web.request_args import int_arg

MOST_NUMBER = 10**12
_SECONDS = 2
"""So long the newest reading is the one that was found before."""
_LOOKED_AT = 32
_OWN = 3
"""The digit that is shown before anything was read."""


class Digit(NamedTuple):
    """A digit to step through: a reading's by its number, or one of the project's own."""

    glyph: Array
    number: int | None = None
    own: int | None = None

    @property
    def key(self) -> str:
        return f".{self.number}" if self.own is None else f".own{self.own}"

    @property
    def query(self) -> dict[str, int | None]:
        """What an address of the view names it by."""
        return {"reading": self.number, "digit": self.own}

    @property
    def url(self) -> str:
        return grey(self.glyph).url


class Digits:
    """The digits that can be looked at, each for longer than its reading is kept elsewhere."""

    def __init__(self, latest: Latest, drawn: Recent, clock: Callable[[], float]) -> None:
        self._latest, self._drawn, self._clock = latest, drawn, clock
        self._newest = Cache[Digit | None]()
        self._lock = threading.Lock()
        self._looked_at: dict[int, Digit] = {}

    def asked(self) -> tuple[Digit, bool]:
        """Return the digit that the query names, and whether it is another for one that is gone.

        Raises BadRequest for a query that names none.
        """
        own, number = int_arg("digit", 0, 9), int_arg("reading", -MOST_NUMBER, MOST_NUMBER)
        if own is not None:
            return _own(own), False
        found = None if number is None else self._of(number)
        if found is not None:
            return found, False
        return self.camera() or _own(_OWN), number is not None

    def camera(self) -> Digit | None:
        """Return the camera's newest reading with a mark, looked for every two seconds."""
        return self._newest.get(int(self._clock() // _SECONDS), self._find_newest)

    def sent(self) -> list[Digit]:
        """Return the last few that were drawn or sent, the newest first."""
        return [
            Digit(reading.glyph, number)
            for number, reading in self._drawn.newest(4)
            if reading.glyph is not None
        ]

    def _find_newest(self) -> Digit | None:
        for number, _ in self._latest.recent.newest(1):
            return self._of(number)
        return None

    def _of(self, number: int) -> Digit | None:
        with self._lock:
            found = self._looked_at.pop(number, None)
            if found is None:
                reading = (self._latest.recent if number > 0 else self._drawn).of(number)
                if reading is None or reading.glyph is None:
                    return None
                found = Digit(reading.glyph, number)
            self._looked_at[number] = found
            for old in list(self._looked_at)[:-_LOOKED_AT]:
                del self._looked_at[old]
            return found


@lru_cache
def _own(digit: int) -> Digit:
    from PIL import Image

    # Drawn by data/make_samples.py: the simulator's pen needs scipy, which the appliance does
    # without.
    with Image.open(Path(__file__).parents[1] / "static" / "own-digits.png") as picture:
        pixels = np.asarray(picture)[:, SIDE * digit : SIDE * (digit + 1)]
    return Digit(np.divide(pixels, 255, dtype=np.float32), own=digit)

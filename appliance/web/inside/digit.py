"""The digit that is followed through the network: a reading's, or one of ten examples."""

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.outputs.latest import Latest, Recent
from appliance.reading import Array
from appliance.storage.rows import MAX_ID
from appliance.vision.glyph import SIDE
from appliance.web.cache import Cache
from appliance.web.request_args import int_arg

_REFRESH_SECONDS = 2
"""The view looks for a newer reading of the camera's every so many seconds."""
_MAX_KEPT = 32
_FIRST_EXAMPLE = 3
"""The digit that is shown before anything was read."""


class Digit(NamedTuple):
    """A glyph (28, 28) to follow: a reading's with its number, or the example of a digit."""

    glyph: Array
    number: int | None = None
    example: int | None = None

    @property
    def key(self) -> str:
        return f".{self.number}" if self.example is None else f".own{self.example}"

    @property
    def query(self) -> dict[str, int | None]:
        """The part of the view's URL that names it."""
        return {"reading": self.number, "digit": self.example}

    @property
    def url(self) -> str:
        from appliance.web.inside.feature_maps import render_grey

        return render_grey(self.glyph).url


class Digits:
    """The digits to follow; keeps those that were followed for longer than their readings are kept.

    `uploads` has the readings of pictures that were drawn on the page or sent to it; their numbers
    are below zero.
    """

    def __init__(self, latest: Latest, uploads: Recent, clock: Callable[[], float]) -> None:
        self._latest, self._uploads, self._clock = latest, uploads, clock
        self._newest = Cache[Digit | None]()
        self._lock = threading.Lock()
        self._kept: dict[int, Digit] = {}

    def requested(self) -> tuple[Digit, bool]:
        """Return the digit that the query names, and whether it stands in for one that is gone.

        Raises BadRequest for a query that names none.
        """
        example, number = int_arg("digit", 0, 9), int_arg("reading", -MAX_ID, MAX_ID)
        if example is not None:
            return load_example(example), False
        digit = None if number is None else self._find(number)
        if digit is not None:
            return digit, False
        return self.from_camera() or load_example(_FIRST_EXAMPLE), number is not None

    def from_camera(self) -> Digit | None:
        """Return the camera's newest reading with a mark, None without one."""
        return self._newest.get(int(self._clock() // _REFRESH_SECONDS), self._find_newest)

    def from_uploads(self) -> list[Digit]:
        """Return the last few that were drawn or sent, the newest first."""
        return [
            Digit(reading.glyph, number)
            for number, reading in self._uploads.newest(4)
            if reading.glyph is not None
        ]

    def _find_newest(self) -> Digit | None:
        for number, _ in self._latest.recent.newest(1):
            return self._find(number)
        return None

    def _find(self, number: int) -> Digit | None:
        with self._lock:
            digit = self._kept.pop(number, None)
            if digit is None:
                reading = (self._latest.recent if number > 0 else self._uploads).of(number)
                if reading is None or reading.glyph is None:
                    return None
                digit = Digit(reading.glyph, number)
            self._kept[number] = digit
            for old in list(self._kept)[:-_MAX_KEPT]:
                del self._kept[old]
            return digit


@lru_cache
def load_example(digit: int) -> Digit:
    """Return the example of a digit, which data/make_samples.py drew: its pen needs scipy."""
    from PIL import Image

    with Image.open(Path(__file__).parents[1] / "static" / "own-digits.png") as picture:
        pixels = np.asarray(picture)[:, SIDE * digit : SIDE * (digit + 1)]
    return Digit(np.divide(pixels, 255, dtype=np.float32), example=digit)

"""Sheets to read: digits and strokes, drawn and photographed."""

import numpy as np

from appliance.reading import Frame, Reading, make_frame
from appliance.simulator.handwriting import PLAIN, Stroke, render_strokes
from appliance.simulator.paper import Conditions, render_photograph

SHAPE = 480, 640


def draw(strokes: int | list[Stroke], **place: object) -> np.ndarray:
    """Return the cover of a plain digit or of strokes, by default in the middle."""
    strokes = PLAIN[strokes] if isinstance(strokes, int) else strokes
    return render_strokes(
        strokes, SHAPE, **{"centre": (320, 240), "height": 200, "width": 16, **place}
    )


def photograph(cover: np.ndarray, seed: int = 0, **conditions: float) -> Frame:
    rng = np.random.default_rng(seed)
    return make_frame(render_photograph(cover, Conditions(**conditions), rng, unit=200), 0)


def one_line(reading: Reading) -> str:
    """Return the digits of a reading as a person would read them out."""
    return "".join("?" if mark.digit is None else str(mark.digit) for mark in reading.marks)

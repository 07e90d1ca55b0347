"""The values that flow through the appliance: a frame goes in, a reading comes out."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.errors import PictureError

Grey = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; x1 and y1 are the first outside."""


WHOLE_VIEW = 0.97
"""A frame with at least this share of the sensor's width and height shows its whole view."""


class Exposure(NamedTuple):
    """How a camera took a frame: its model, the exposure in seconds, the sensor's gain (1 or more).

    A long exposure and a high gain mean that there is little light. `mode` is the size that the
    sensor is read out in; the frame shows the shares `seen_width` and `seen_height` (0…1) of its
    width and height. These are None where the camera does not tell.
    """

    camera: str
    seconds: float
    gain: float
    mode: str | None = None
    seen_width: float | None = None
    seen_height: float | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture from a camera or a file: grey uint8 (h, w), 0 = black; `at` in Unix seconds.

    `size` is the picture's own (width, height), in which boxes are given: larger than `grey` if a
    large photograph was reduced while it was decoded. `exposure` is there if the camera reports it.
    Raises PictureError for anything but an array uint8 (h, w) with at least one pixel.
    """

    grey: Grey
    at: float
    size: tuple[int, int]
    exposure: Exposure | None = None

    def __post_init__(self) -> None:
        grey, what = self.grey, type(self.grey).__name__
        if isinstance(grey, np.ndarray):
            if grey.dtype == np.uint8 and grey.ndim == 2 and grey.size:
                return
            what = f"array {grey.dtype} {grey.shape}"
        raise PictureError(
            f"an {what} is no frame: a frame is grey, an array uint8 (height, width), with a pixel "
            "at least"
        )


def make_frame(grey: Grey, at: float, exposure: Exposure | None = None) -> Frame:
    """Return a frame whose boxes are in the pixels of `grey`; raises as `Frame` does."""
    height, width = [*np.shape(grey), 0, 0][:2]
    return Frame(grey, at, (width, height), exposure)


class Answer(NamedTuple):
    """The answer to one mark: a `digit` 0…9, or None with the `reason`.

    `confidence` and the ten `probabilities` are 0…1; what the ten lack of 1 is the probability of
    "not a digit". `box` is in the frame's own pixels. `ink` float32 (h, w) is the mark, `glyph`
    float32 (28, 28) what the network was given: both 0…1, ink bright.
    """

    digit: int | None
    reason: str | None
    confidence: float
    probabilities: tuple[float, ...]
    box: Box
    ink: Array
    glyph: Array

    def to_json(self) -> dict[str, Any]:
        """Return the fields that the command line and the API give."""
        return _to_json(self)


class Reading(NamedTuple):
    """The reading of one frame; every output gets this value.

    `marks` are the answers to all marks, in reading order. `digit`, `reason`, `confidence`,
    `probabilities`, `box`, `mark` (its ink) and `glyph` are those of the primary mark's answer;
    without a mark they are zeros and None. `settled` is the digit that enough readings in a row
    agreed on: the one that is shown. `fault` takes the place of all that if no frame came or
    reading it failed. `network` is the sha256 of the network that read.
    """

    at: float
    digit: int | None = None
    reason: str | None = None
    confidence: float = 0.0
    probabilities: tuple[float, ...] = (0.0,) * 10
    box: Box | None = None
    milliseconds: float = 0.0
    settled: int | None = None
    fault: str | None = None
    network: str = ""
    marks: tuple[Answer, ...] = ()
    frame: Frame | None = None
    ink: Array | None = None
    mark: Array | None = None
    glyph: Array | None = None

    @property
    def state(self) -> str:
        """Return "error" (a fault), "looking" (a mark that is not settled yet) or "ready"."""
        if self.fault is not None:
            return "error"
        if self.mark is not None and (self.settled is None or self.settled != self.digit):
            return "looking"
        return "ready"

    def to_json(self) -> dict[str, Any]:
        """Return the fields that the command line and the API give."""
        return {
            **_to_json(self),
            "milliseconds": round(self.milliseconds, 2),
            "marks": [mark.to_json() for mark in self.marks],
        }


def _to_json(answer: Answer | Reading) -> dict[str, Any]:
    """Return the fields that an answer and a reading have in common."""
    return {
        "digit": answer.digit,
        "reason": answer.reason,
        "confidence": round(answer.confidence, 4),
        "probabilities": [round(p, 4) for p in answer.probabilities],
        "box": list(answer.box) if answer.box else None,
    }

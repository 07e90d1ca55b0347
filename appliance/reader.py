"""The whole sentence: frame → ink → marks → glyph → network → decision."""

import time
from dataclasses import replace

import numpy as np

from appliance.reading import Box, Frame, Reading
from appliance.vision.glyph import glyph
from appliance.vision.ink import find_ink, reduced, reduction
from appliance.vision.marks import find_mark, implausible
from model.inference import OneDigit
from model.network import Network


class Reader:
    """Reads one frame at a time with one network; holds nothing between frames.

    An answer with a confidence below `least_confidence` (0…1) is refused with its reason.
    """

    def __init__(self, network: Network, *, least_confidence: float = 0.6) -> None:
        self.network = network
        self._one = OneDigit(network)
        self.least_confidence = least_confidence

    def read(self, frame: Frame) -> Reading:
        """Return the reading of a frame; refuses in `reason`, never raises for a poor picture."""
        started = time.perf_counter()
        reading = self._read(frame)
        return replace(reading, milliseconds=(time.perf_counter() - started) * 1000)

    def _read(self, frame: Frame) -> Reading:
        steps = reduction(frame.grey.shape)
        ink = find_ink(reduced(frame.grey, steps))
        seen = Reading(at=frame.at, frame=frame, ink=ink.ink)
        if ink.blank:
            return replace(seen, reason="blank")
        mark = find_mark(ink.ink)
        if isinstance(mark, str):
            return replace(seen, reason=mark)
        image = glyph(mark.ink)
        probabilities = self._one.probabilities(image.ravel())
        if not np.isfinite(probabilities).all():
            # Weights far from what training makes can overflow on one picture and not on another.
            return replace(seen, reason="the network gave no numbers", box=None)
        best, second = (int(i) for i in probabilities.argsort()[::-1][:2])
        confidence = float(probabilities[best])
        reason = None
        if implausible(mark):
            reason = "not a digit"
        elif confidence < self.least_confidence:
            reason = f"unsure between {min(best, second)} and {max(best, second)}"
        return replace(
            seen,
            digit=best if reason is None else None,
            reason=reason,
            confidence=confidence,
            probabilities=tuple(float(p) for p in probabilities),
            box=_own_pixels(mark.box, steps, frame),
            mark=mark.ink,
            glyph=image,
        )


def _own_pixels(box: Box, steps: tuple[int, int], frame: Frame) -> Box:
    """Return a box on the reduced picture in the pixels that the frame's `size` counts."""
    width, height = frame.size
    down = steps[0] * height / frame.grey.shape[0]
    across = steps[1] * width / frame.grey.shape[1]
    x0, y0, x1, y1 = box
    return (
        round(x0 * across),
        round(y0 * down),
        min(width, round(x1 * across)),
        min(height, round(y1 * down)),
    )

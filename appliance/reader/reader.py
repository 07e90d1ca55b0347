"""One frame in, one reading out: frame → ink → marks → glyphs → scores → reading."""

import time

import numpy as np

from appliance.reader.decision import (
    Candidate,
    accept_among_digits,
    check_outlines,
    choose_primary,
    digit_confidence,
    explain_no_mark,
    explain_refusal,
    is_blot,
    is_cut_off,
    refuse_scenery,
)
from appliance.reader.segmentation import segment
from appliance.reading import Answer, Array, Box, Frame, Reading
from appliance.vision.glyph import make_glyph
from appliance.vision.ink import (
    NARROW_STROKE,
    InkMaps,
    downsample,
    find_ink,
    reduction_factors,
    refine_ink,
)
from appliance.vision.marks import Mark, find_marks
from model.inference import OneDigit
from model.network import DIGITS, SURE, Network
from model.weights import checksum

_FEW_PIXELS = 40
"""A mark shorter than this on the reduced picture is taken at the frame's full resolution."""
_MOST_MARKS = 60
"""More marks than this are a texture or a printed page."""


class Reader:
    """Reads one frame at a time with one network; keeps nothing between frames.

    `use` gives it another network at any time, from any thread: a reading ends with the network it
    began with. An answer with a confidence below `least_confidence` (0…1) is refused with its
    reason. `sha256` is the network's checksum; it is computed if it is not given.
    """

    def __init__(
        self, network: Network, *, least_confidence: float = 0.7, sha256: str = ""
    ) -> None:
        self.use(network, sha256)
        self.least_confidence = least_confidence

    @property
    def network(self) -> Network:
        """The network that the next frame is read with."""
        return self._active.network

    @property
    def id(self) -> str:
        """The sha256 of that network, as on its card."""
        return self._active.id

    def use(self, network: Network, sha256: str = "") -> None:
        """Read with another network from the next frame on."""
        # One assignment of a complete object: no lock is needed.
        self._active = _ActiveNetwork(network, sha256 or checksum(network))

    def read(self, frame: Frame) -> Reading:
        """Return the reading of a frame; refuses in `reason`, never raises for a poor picture."""
        started = time.perf_counter()
        active = self._active
        reading = _FrameReader(frame, active.one_digit, self.least_confidence).read()
        milliseconds = (time.perf_counter() - started) * 1000
        return reading._replace(milliseconds=milliseconds, network=active.id)


class _ActiveNetwork:
    """A network, its form for one digit at a time, and its sha256."""

    def __init__(self, network: Network, sha256: str) -> None:
        self.network = network
        self.one_digit = OneDigit(network)
        self.id = sha256


class _FrameReader:
    """Reads one frame with one network."""

    def __init__(self, frame: Frame, network: OneDigit, least_confidence: float) -> None:
        self._frame = frame
        self._network = network
        self._least_confidence = least_confidence
        self._factors = reduction_factors(frame.grey.shape)
        self._picture = downsample(frame.grey, self._factors)

    def read(self) -> Reading:
        """Return the reading of the frame's ink; where that is doubtful, of its ink found anew."""
        maps = find_ink(self._picture)
        reading, outlined = self._read_ink(maps)
        if not outlined:
            # Perhaps a shadow hides digits: a narrower window follows its edge.
            narrow = find_ink(self._picture, dark=maps.dark, widest_stroke=NARROW_STROKE)
            second, _ = self._read_ink(narrow)
            if shows_more(second, reading):
                reading = second
        if reading.digit is None and not maps.polarity_sure:
            inverted, _ = self._read_ink(find_ink(self._picture, dark=not maps.dark))
            if digit_confidence(inverted) >= SURE:
                return inverted
        return reading

    def _read_ink(self, maps: InkMaps) -> tuple[Reading, bool]:
        """Return the reading of the ink, and whether bare ground surrounds every mark."""
        marks = find_marks(maps)
        if not marks:
            return self._refuse(maps, explain_no_mark(self._picture, maps)), True
        if len(marks) > _MOST_MARKS:
            return self._refuse(maps, "not a digit"), True
        candidates = segment(marks, lambda mark: self._classify(mark, maps))
        candidates = check_outlines(candidates, maps, self._picture)
        candidates = accept_among_digits(candidates, self._least_confidence)
        candidates = refuse_scenery(candidates, maps, self._picture)
        return self._to_reading(maps, candidates), all(each.outlined for each in candidates)

    def _classify(self, mark: Mark, maps: InkMaps) -> Answer:
        """Return the answer to a mark: ink → glyph → probabilities → digit or reason."""
        ink = self._full_ink(mark, maps)
        glyph = make_glyph(ink)
        probabilities = self._network.probabilities(glyph.ravel())
        if not np.isfinite(probabilities).all():
            # Weights far from what training makes can overflow on one picture and not on another.
            probabilities = np.zeros(DIGITS, np.float32)
        none = 1 - float(probabilities[:DIGITS].sum())
        best, second = (int(i) for i in probabilities[:DIGITS].argsort()[::-1][:2])
        confidence = float(probabilities[best])
        reason = None
        poor = is_blot(ink) or is_cut_off(mark, maps)
        if poor or confidence < max(none, self._least_confidence):
            reason = explain_refusal(mark, ink, none, best, second)
        return Answer(
            digit=best if reason is None else None,
            reason=reason,
            confidence=confidence,
            probabilities=tuple(float(p) for p in probabilities[:DIGITS]),
            box=self._frame_box(mark.box),
            ink=ink,
            glyph=glyph,
        )

    def _full_ink(self, mark: Mark, maps: InkMaps) -> Array:
        """Return a mark's ink float32 (h, w), a small one's at the frame's full resolution."""
        if max(mark.ink.shape) >= _FEW_PIXELS or self._factors == (1, 1):
            return mark.ink
        down, across = self._factors
        ink = refine_ink(maps, self._frame.grey, mark.box, self._factors)
        return ink * (mark.ink > 0).repeat(down, axis=0).repeat(across, axis=1)

    def _frame_box(self, box: Box) -> Box:
        """Return a box of the reduced picture in the pixels that the frame's `size` counts."""
        width, height = self._frame.size
        down = self._factors[0] * height / self._frame.grey.shape[0]
        across = self._factors[1] * width / self._frame.grey.shape[1]
        x0, y0, x1, y1 = box
        return (
            round(x0 * across),
            round(y0 * down),
            min(width, round(x1 * across)),
            min(height, round(y1 * down)),
        )

    def _refuse(self, maps: InkMaps, reason: str) -> Reading:
        return Reading(at=self._frame.at, frame=self._frame, ink=maps.ink, reason=reason)

    def _to_reading(self, maps: InkMaps, candidates: list[Candidate]) -> Reading:
        primary = choose_primary(candidates)
        return Reading(
            at=self._frame.at,
            frame=self._frame,
            ink=maps.ink,
            digit=primary.digit,
            reason=primary.reason,
            confidence=primary.confidence,
            probabilities=primary.probabilities,
            box=primary.box,
            mark=primary.ink,
            glyph=primary.glyph,
            marks=tuple(each.answer for each in candidates),
        )


def shows_more(second: Reading, first: Reading) -> bool:
    """Return whether a second reading has every sure digit of the first in its place, and more.

    More 1s do not count: any remnant of a shadow is one.
    """
    before, after = (
        [mark for mark in reading.marks if digit_confidence(mark) >= SURE]
        for reading in (first, second)
    )
    has_all = all(
        any(mark.digit == other.digit and _centre_is_in(mark.box, other.box) for other in after)
        for mark in before
    )
    more, fewer = (sum(mark.digit != 1 for mark in marks) for marks in (after, before))
    return has_all and more > fewer


def _centre_is_in(box: Box, other: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]

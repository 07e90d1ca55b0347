"""The whole sentence: frame → ink → marks → glyph → network → decision."""

import time
from typing import NamedTuple

import numpy as np

from appliance.reader.decision import (
    Read,
    among_digits,
    cut_off,
    on_a_sheet,
    primary,
    solid,
    strokes,
    sureness,
    why_nothing,
    why_refused,
)
from appliance.reading import Answer, Array, Box, Frame, Reading
from appliance.vision.glyph import glyph
from appliance.vision.ink import NARROW, Ink, closer, find_ink, reduced, reduction
from appliance.vision.marks import (
    Mark,
    find_marks,
    in_reading_order,
    joined,
    one_above,
    splits,
    strongest,
)
from model.inference import OneDigit
from model.network import DIGITS, SURE, Network
from model.weights import checksum

_FEW_PIXELS = 40
"""A mark shorter than this on the reduced picture is looked at in the frame's own pixels."""
_WHOLE = 0.85
"""Pieces that are no digits are joined where the whole is read with this confidence."""
_CLEAR = 0.98
"""Touching digits are each read with this confidence: halves of a letter often look like digits."""
_ALONE = 0.95
"""A part of what is no digit is read alone with this confidence, or not at all."""
_MOST_MARKS = 60
"""More marks than this are a texture or a printed page."""


class Reader:
    """Reads one frame at a time with one network; holds nothing between frames.

    `use` gives it another network at any time, from any thread: a reading ends with the one it
    began with. An answer with a confidence below `least_confidence` (0…1) is refused with its
    reason. Who has just loaded the network knows its `sha256`; else it is worked out.
    """

    def __init__(
        self, network: Network, *, least_confidence: float = 0.7, sha256: str = ""
    ) -> None:
        self.use(network, sha256)
        self.least_confidence = least_confidence

    @property
    def network(self) -> Network:
        """The network that the next frame is read with."""
        return self._used.network

    @property
    def id(self) -> str:
        """The sha256 of that network, as on its card."""
        return self._used.id

    def use(self, network: Network, sha256: str = "") -> None:
        """Read with another network from the next frame on."""
        # Whole before it is assigned, and all in one assignment: no lock is needed.
        self._used = _Used(network, OneDigit(network), sha256 or checksum(network))

    def read(self, frame: Frame) -> Reading:
        """Return the reading of a frame; refuses in `reason`, never raises for a poor picture."""
        started = time.perf_counter()
        used = self._used
        reading = self._read(frame, used.one)
        took = (time.perf_counter() - started) * 1000
        return reading._replace(milliseconds=took, network=used.id)

    def _read(self, frame: Frame, one: OneDigit) -> Reading:
        steps = reduction(frame.grey.shape)
        picture = reduced(frame.grey, steps)
        seen = find_ink(picture)
        reading, all_drawn = self._of_ink(picture, _Look(frame, seen, steps, one))
        if not all_drawn:
            # Perhaps shadows, which a narrower window follows.
            narrow = find_ink(picture, dark=seen.dark, widest=NARROW)
            again, _ = self._of_ink(picture, _Look(frame, narrow, steps, one))
            if _shows_more(again, reading):
                reading = again
        if reading.digit is None and not seen.sure:
            turned = find_ink(picture, dark=not seen.dark)
            other, _ = self._of_ink(picture, _Look(frame, turned, steps, one))
            if other.digit is not None and other.confidence >= SURE:
                return other
        return reading

    def _of_ink(self, picture: Array, look: "_Look") -> tuple[Reading, bool]:
        """Return the reading of the ink on a reduced picture, and if all its marks are strokes."""
        seen = look.seen
        reading = Reading(at=look.frame.at, frame=look.frame, ink=seen.ink)
        marks = find_marks(seen)
        if not marks:
            return reading._replace(reason=why_nothing(picture, seen)), True
        if len(marks) > _MOST_MARKS:
            return reading._replace(reason="not a digit"), True
        read = self._resolved([(mark, self._answer(mark, look)) for mark in marks], look)
        drawn = strokes(read, seen, picture)
        read = among_digits(read, drawn, self.least_confidence)
        read = on_a_sheet(read, drawn, seen, picture)
        main = primary(read)
        reading = reading._replace(
            digit=main.digit,
            reason=main.reason,
            confidence=main.confidence,
            probabilities=main.probabilities,
            box=main.box,
            mark=main.ink,
            glyph=main.glyph,
            marks=tuple(answer for _, answer in read),
        )
        return reading, all(drawn)

    def _resolved(self, read: list[Read], look: "_Look") -> list[Read]:
        """Return the answers with neighbours joined and marks split where that reads better."""
        read, place = list(read), 0
        while place < len(read):
            for other in range(place + 1, len(read)):
                whole = self._joined(read[place], read[other], look)
                if whole is not None:
                    # What was joined may be near a third piece: it is looked at again.
                    read[place] = whole
                    del read[other]
                    break
            else:
                place += 1
        parts = [part for mark, answer in read for part in self._split(mark, answer, look)]
        # What was joined stands where its first piece stood.
        answers = {id(mark): answer for mark, answer in parts}
        return [(mark, answers[id(mark)]) for mark in in_reading_order([m for m, _ in parts])]

    def _joined(self, first: Read, second: Read, look: "_Look") -> Read | None:
        """Return two marks as one where they are near each other and read better so, else None."""
        both = joined(first[0], second[0])
        if both is None:
            return None
        whole = self._answer(both, look)
        digits = first[1].digit, second[1].digit
        ones = digits == (1, 1) == (whole.digit,) * 2
        if ones and not one_above(first[0], second[0]):
            return None
        if None in digits or ones:
            # A piece that is no digit belongs to what it completes; so does half of a 1.
            return (both, whole) if sureness(whole) >= _WHOLE else None
        apart = min(map(sureness, (first[1], second[1])))
        return (both, whole) if sureness(whole) > max(apart, SURE) else None

    def _split(self, mark: Mark, answer: Answer, look: "_Look") -> list[Read]:
        """Return a mark as the digits that touch in it, or as it is where no cut is clear."""
        if answer.digit is not None:
            return [(mark, answer)]
        for part in (*mark.parts, strongest(mark)):
            if part is None:
                continue
            alone = self._answer(part, look)
            # Any straight piece of anything is a 1.
            if sureness(alone) >= _ALONE and alone.digit != 1:
                return [(part, alone)]
        for left, right in splits(mark):
            first = self._answer(left, look)
            if sureness(first) < _CLEAR:
                continue
            rest = self._split(right, self._answer(right, look), look)
            every = [first, *(each for _, each in rest)]
            # Parts of an n or an m are ones beside other digits.
            if min(map(sureness, every)) >= _CLEAR and all(each.digit != 1 for each in every):
                return [(left, first), *rest]
        return [(mark, answer)]

    def _answer(self, mark: Mark, look: "_Look") -> Answer:
        ink = look.ink_of(mark)
        image = glyph(ink)
        shares = look.one.probabilities(image.ravel())
        if not np.isfinite(shares).all():
            # Weights far from what training makes can overflow on one picture and not on another.
            shares = np.zeros(DIGITS, np.float32)
        none = 1 - float(shares[:DIGITS].sum())
        best, second = (int(i) for i in shares[:DIGITS].argsort()[::-1][:2])
        confidence = float(shares[best])
        reason = None
        poor = solid(ink) or cut_off(mark, look.seen)
        if confidence < max(none, self.least_confidence) or poor:
            reason = why_refused(mark, ink, none, best, second)
        return Answer(
            digit=best if reason is None else None,
            reason=reason,
            confidence=confidence,
            probabilities=tuple(float(p) for p in shares[:DIGITS]),
            box=look.own_pixels(mark.box),
            ink=ink,
            glyph=image,
        )


def _shows_more(again: Reading, first: Reading) -> bool:
    """Tell whether a second reading has all sure digits of the first where they were, and more.

    More 1s are not more: any rest of a shadow is one.
    """
    sure, more = (
        [mark for mark in reading.marks if sureness(mark) >= SURE] for reading in (first, again)
    )
    kept = all(
        any(mark.digit == other.digit and _centre_in(mark.box, other.box) for other in more)
        for mark in sure
    )
    now, before = (sum(mark.digit != 1 for mark in marks) for marks in (more, sure))
    return kept and now > before


def _centre_in(box: Box, other: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


class _Used(NamedTuple):
    """A network in the two forms that are asked, and its sha256."""

    network: Network
    one: OneDigit
    id: str


class _Look(NamedTuple):
    """A frame, its ink, how many rows and columns went into a pixel of it, and what reads it."""

    frame: Frame
    seen: Ink
    steps: tuple[int, int]
    one: OneDigit

    def ink_of(self, mark: Mark) -> Array:
        """Return a mark's ink float32 (h, w), in the frame's own pixels if it is a small one."""
        if max(mark.ink.shape) >= _FEW_PIXELS or self.steps == (1, 1):
            return mark.ink
        own = closer(self.seen, self.frame.grey, mark.box, self.steps)
        within = (mark.ink > 0).repeat(self.steps[0], axis=0).repeat(self.steps[1], axis=1)
        return own * within

    def own_pixels(self, box: Box) -> Box:
        """Return a box of the reduced picture in the pixels that the frame's `size` counts."""
        width, height = self.frame.size
        down = self.steps[0] * height / self.frame.grey.shape[0]
        across = self.steps[1] * width / self.frame.grey.shape[1]
        x0, y0, x1, y1 = box
        return (
            round(x0 * across),
            round(y0 * down),
            min(width, round(x1 * across)),
            min(height, round(y1 * down)),
        )

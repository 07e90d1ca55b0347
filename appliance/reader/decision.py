"""What the reader decides from the network's answers: what is meant, what is refused, and why."""

from typing import NamedTuple

import numpy as np

from appliance.reading import Answer, Array, Reading
from appliance.vision.glyph import stroke_width
from appliance.vision.ink import InkMaps
from appliance.vision.marks import Mark
from appliance.vision.outline import is_near_border, outline_fraction
from model.network import SURE

_DARK, _BRIGHT = 0.12, 0.985
"""A picture whose lightest parts are darker, or whose darkest are lighter, shows nothing."""
_INK, BLURRED = 0.3, 0.78
"""A mark is blurred if its ink above the first is on average below the second."""
_OUTLINED = 0.92
"""A mark is strokes on paper if this fraction of its outline borders on bare ground…"""
_BAR_OUTLINED, _BAR_DISTANCES = 0.95, (0.12, 0.2)
"""…and a 1 alone if this fraction does, at these distances (shares of its length): bars abound."""
_WIDEST_ONE = 1.1
"""The box of a 1 alone is no wider than this share of its height."""
_LETTERS = 0.3
"""Beside a 1 alone, strokes that are no digit are less prominent than this share of it."""
_PROMINENT = 0.25
"""A sure digit this prominent, as a share of the most prominent mark, is preferred to that one."""
_CROWD, _CROWD_SHARE = 4, 0.3
"""Of this many marks or more on a sheet, digits have at least this share of the prominence."""
_MOST_BARS = 3
"""More 1s than this without another digit are a fence, the joints of a wall, or a tally."""
_LONGER = 1.35
"""A bar in the border that is this many times as long as the digits are high is a pen."""
_SURE_DIGITS, _SURE_SHARE, _AS_HIGH = 3, 0.6, 1.6
"""In a row of at least this many sure digits, this share of all marks, a mark may be accepted if
its height is within this factor of theirs."""
_NOT_A_DIGIT_ODDS = 0.1
"""Prior odds of "not a digit" in a row of sure digits, relative to a lone mark."""
_FILLS = 0.7
"""A digit that fills the picture has at least this share of its height: it is close, not cut."""
_UPRIGHT_ONE = 1.5
"""A 1 that fills the picture is this many times as high as wide; otherwise it is a stripe."""
_BLOT = 0.3
"""Strokes wider than this share of their digit's longer side are a blot."""


class Candidate(NamedTuple):
    """A mark, the answer to it, and whether it is strokes with bare ground around them."""

    mark: Mark
    answer: Answer
    outlined: bool = True

    @property
    def sure(self) -> bool:
        """Whether it was read as a digit with at least the confidence `SURE`."""
        return bool(digit_confidence(self.answer) >= SURE)

    @property
    def height(self) -> int:
        """The mark's height in pixels of the reduced picture."""
        return self.mark.box[3] - self.mark.box[1]


def choose_primary(candidates: list[Candidate]) -> Answer:
    """Return the answer to the most prominent mark; a sure digit goes before a greater shadow."""
    most = max(each.mark.prominence for each in candidates)
    sure = [each for each in candidates if each.sure and each.mark.prominence >= _PROMINENT * most]
    return max(sure or candidates, key=lambda each: each.mark.prominence).answer


def check_outlines(candidates: list[Candidate], maps: InkMaps, picture: Array) -> list[Candidate]:
    """Return the candidates with `outlined` set: false for a part of something larger.

    `picture` float32 (h, w) is the reduced one. What is refused for another reason than its shape,
    blurred or cut off, is not examined and counts as outlined.
    """
    return [
        each._replace(
            outlined=_is_refused_otherwise(each.answer)
            or outline_fraction(each.mark, maps, picture) >= _OUTLINED
        )
        for each in candidates
    ]


def accept_among_digits(candidates: list[Candidate], least_confidence: float) -> list[Candidate]:
    """Return the candidates, those accepted that a row of sure digits shows to be digits too.

    In such a row a mark of about the same height is rarely something else: its probabilities are
    reweighed by Bayes' rule with another prior for "not a digit". Marks that are not outlined, or
    that are refused for another reason than their shape, stay as they are.
    """
    heights = [each.height for each in candidates if each.outlined and each.sure]
    if len(heights) < max(_SURE_DIGITS, _SURE_SHARE * len(candidates)):
        return candidates
    usual = float(np.median(heights))

    def reweigh(each: Candidate) -> Candidate:
        answer = each.answer
        similar = usual / _AS_HIGH < each.height < usual * _AS_HIGH
        if not (each.outlined and similar and _is_refused_for_shape(answer)) or is_blot(answer.ink):
            return each
        probabilities = np.asarray(answer.probabilities)
        none = _NOT_A_DIGIT_ODDS * (1 - probabilities.sum())
        probabilities = probabilities / (probabilities.sum() + none)
        confidence = float(probabilities.max())
        if confidence < max(1 - probabilities.sum(), least_confidence):
            return each
        accepted = answer._replace(
            digit=int(probabilities.argmax()),
            reason=None,
            confidence=confidence,
            probabilities=tuple(float(p) for p in probabilities),
        )
        return each._replace(answer=accepted)

    return [reweigh(each) for each in candidates]


def refuse_scenery(candidates: list[Candidate], maps: InkMaps, picture: Array) -> list[Candidate]:
    """Return the candidates, those refused that are not written on a sheet but part of a scene.

    They are not outlined, or in a crowd of other things, or a 1 that is a bar of a fence, a stripe
    across the picture, a pen that lies beside the digits, or a stroke among letters.
    """
    written = [each for each in candidates if each.outlined]
    digits = [each for each in written if each.answer.digit is not None]
    only_ones = all(each.answer.digit == 1 for each in digits)
    total = sum(each.mark.prominence for each in candidates)
    share = sum(each.mark.prominence for each in digits) / total
    is_scene = (len(candidates) >= _CROWD and share < _CROWD_SHARE) or (
        only_ones and len(digits) > _MOST_BARS
    )
    letters = max(
        (each.mark.prominence for each in written if each.answer.reason == "not a digit"),
        default=0.0,
    )
    highest = max((each.height for each in digits if each.answer.digit != 1), default=0)

    def is_written_digit(each: Candidate) -> bool:
        mark = each.mark
        if is_scene or not each.outlined:
            return False
        if each.answer.digit != 1:
            return True
        if only_ones:
            return letters < _LETTERS * mark.prominence and _is_lone_one(mark, maps, picture)
        return each.height <= _LONGER * highest or not is_near_border(mark, maps.ink.shape)

    return [
        each
        if each.answer.digit is None or is_written_digit(each)
        else each._replace(answer=each.answer._replace(digit=None, reason="not a digit"))
        for each in candidates
    ]


def explain_no_mark(picture: Array, maps: InkMaps) -> str:
    """Return the reason why there is no mark on a reduced picture."""
    if not maps.blank:
        return "too small"
    if float(np.percentile(picture, 98)) < _DARK:
        return "too dark"
    if float(np.percentile(picture, 2)) > _BRIGHT:
        return "too bright"
    return "blank"


def explain_refusal(mark: Mark, ink: Array, none: float, best: int, second: int) -> str:
    """Return the reason for a refusal: first those that a person can do something about.

    `none` is the probability of "not a digit", `best` and `second` are the likeliest digits.
    """
    if mark.cut:
        return "touches the edge"
    if none < SURE and sharpness(ink) < BLURRED:
        return "blurred"
    if none > 0.5 or is_blot(ink):
        return "not a digit"
    return f"unsure between {min(best, second)} and {max(best, second)}"


def digit_confidence(answer: Answer | Reading) -> float:
    """Return the confidence of an answer or a reading, 0 if it is no digit."""
    return 0.0 if answer.digit is None else answer.confidence


def is_cut_off(mark: Mark, maps: InkMaps) -> bool:
    """Return whether the picture's edge cuts a mark; one that fills the picture is only close."""
    return mark.cut and mark.box[3] - mark.box[1] < _FILLS * len(maps.ink)


def is_blot(ink: Array) -> bool:
    """Return whether a mark's ink float32 (h, w) is a blot, not strokes."""
    return bool(stroke_width(ink) > _BLOT * max(ink.shape))


def sharpness(ink: Array) -> float:
    """Return the mean ink of a mark's strokes, 0…1: about 1 in focus, less where edges are wide."""
    strokes = ink[ink > _INK]
    return float(strokes.mean()) if strokes.size else 0.0


def _is_refused_for_shape(answer: Answer) -> bool:
    return answer.reason is not None and answer.reason.startswith(("not a digit", "unsure"))


def _is_refused_otherwise(answer: Answer) -> bool:
    return answer.reason is not None and not _is_refused_for_shape(answer)


def _is_lone_one(mark: Mark, maps: InkMaps, picture: Array) -> bool:
    """Return whether a bar is a 1 although no other digit is in view."""
    height, width = mark.ink.shape
    return not (
        width > _WIDEST_ONE * height
        or (mark.cut and not _fills_picture(mark, maps))
        or is_near_border(mark, maps.ink.shape)
        or any(
            outline_fraction(mark, maps, picture, distance) < _BAR_OUTLINED
            for distance in _BAR_DISTANCES
        )
    )


def _fills_picture(mark: Mark, maps: InkMaps) -> bool:
    """Return whether a picture was cropped around a 1; a stripe across a wide one is none."""
    (height, width), sides = mark.ink.shape, maps.ink.shape
    fills = height >= _FILLS * sides[0] and width >= _FILLS * sides[1]
    return bool(fills and height >= _UPRIGHT_ONE * width)

"""What the reader decides once the network has answered: what is meant, what is refused, why."""

import numpy as np

from appliance.reading import Answer, Array
from appliance.vision.glyph import stroke_width
from appliance.vision.ink import Ink
from appliance.vision.marks import Mark
from appliance.vision.outline import beside, outlined
from model.network import SURE

_DARK, _BRIGHT = 0.12, 0.985
"""A picture whose lightest parts are darker, or whose darkest are lighter, shows nothing."""
_STROKE, SOFT = 0.3, 0.78
"""Where the ink above the first is on average below the second, edges are as wide as strokes."""
_OUTLINED = 0.92
"""A mark is strokes where ground begins along at least this share of its outline…"""
_BAR_OUTLINED, _BAR_AROUND = 0.95, (0.12, 0.2)
"""…and a 1 that is alone with this share at these distances, of its length: any scene has bars."""
_FLATTEST = 1.1
"""The box of a 1 alone is no wider than this share of its height."""
_LETTERS = 0.3
"""Beside a 1 alone no other strokes are so prominent, as a share of its own prominence."""
_PROMINENT = 0.25
"""A digit may be so much less prominent than something else in view, and still be what is meant."""
_CROWD, _CROWD_SHARE = 4, 0.3
"""Of so many marks and more, digits have at least this share of the prominence on a sheet."""
_MOST_BARS = 3
"""More ones than this and no other digit are a fence, a wall's joints, or a tally."""
_LONGER = 1.35
"""A bar at the border that is so much longer than the digits are high is a pen beside them."""
_SURE_DIGITS, _SURE_SHARE, _AS_HIGH = 3, 0.6, 1.6
"""Beside so many sure digits, this share of all marks, one that is about as high is one too."""
_RARELY = 0.1
"""Among digits this share of what the network takes for none is none."""
_FILLS = 0.7
"""A digit that is cut out of a larger picture has at least this share of its height."""
_UPRIGHT = 1.5
"""A 1 that a picture was cut out around is so much higher than wide."""
_FATTEST = 0.3
"""No stroke is wider than this share of its digit's longer side."""

Read = tuple[Mark, Answer]
"""A mark and the answer to it."""


def primary(read: list[Read]) -> Answer:
    """Return the answer to the most prominent mark; a sure digit goes before a greater shadow."""
    most = max(mark.prominence for mark, _ in read)
    sure = [
        each
        for each in read
        if sureness(each[1]) >= SURE and each[0].prominence >= _PROMINENT * most
    ]
    return max(sure or read, key=lambda each: each[0].prominence)[1]


def strokes(read: list[Read], seen: Ink, picture: Array) -> list[bool]:
    """Return of each mark whether it is strokes with ground around it on the reduced `picture`.

    What is a part of something larger is not. What is refused for another reason than its looks,
    blurred or cut off, is not looked at, and True.
    """
    return [
        (answer.reason is not None and not _looks_wrong(answer))
        or outlined(mark, seen, picture) >= _OUTLINED
        for mark, answer in read
    ]


def on_a_sheet(read: list[Read], drawn: list[bool], seen: Ink, picture: Array) -> list[Read]:
    """Return the answers without the digits that are on no sheet of paper but in a scene.

    They are not `drawn`, as `strokes` tells it. In a scene a digit is in a crowd of other things; a
    1 is one of the bars of a fence, a stripe across, a pen that lies beside, or a stroke among
    letters.
    """
    written = [each for each, is_drawn in zip(read, drawn, strict=True) if is_drawn]
    digits = [(mark, answer) for mark, answer in written if answer.digit is not None]
    bars = all(answer.digit == 1 for _, answer in digits)
    share = sum(mark.prominence for mark, _ in digits) / sum(mark.prominence for mark, _ in read)
    scene = (len(read) >= _CROWD and share < _CROWD_SHARE) or (bars and len(digits) > _MOST_BARS)
    letters = max(
        (mark.prominence for mark, answer in written if answer.reason == "not a digit"),
        default=0.0,
    )
    highest = max((mark.ink.shape[0] for mark, answer in digits if answer.digit != 1), default=0)

    def is_meant(mark: Mark, digit: int) -> bool:
        if digit != 1:
            return True
        if bars:
            return letters < _LETTERS * mark.prominence and _a_one(mark, seen, picture)
        return mark.ink.shape[0] <= _LONGER * highest or not beside(mark, seen.ink.shape)

    return [
        (mark, answer)
        if answer.digit is None or (is_drawn and not scene and is_meant(mark, answer.digit))
        else (mark, answer._replace(digit=None, reason="not a digit"))
        for (mark, answer), is_drawn in zip(read, drawn, strict=True)
    ]


def among_digits(read: list[Read], drawn: list[bool], least_confidence: float) -> list[Read]:
    """Return the answers with those marks answered too that only the others show to be digits.

    Among digits a mark as high as they are is rarely none: the probability of none counts a tenth
    there (Bayes' rule with another prior). Marks that are not `drawn`, as `strokes` tells it, or
    that are refused for another reason than their looks, stay as they are.
    """
    heights = [
        mark.ink.shape[0]
        for (mark, answer), is_drawn in zip(read, drawn, strict=True)
        if is_drawn and sureness(answer) >= SURE
    ]
    if len(heights) < max(_SURE_DIGITS, _SURE_SHARE * len(read)):
        return read
    usual = float(np.median(heights))

    def answered(mark: Mark, answer: Answer) -> Answer:
        alike = usual / _AS_HIGH < mark.ink.shape[0] < usual * _AS_HIGH
        if not (_looks_wrong(answer) and alike) or solid(answer.ink):
            return answer
        shares = np.asarray(answer.probabilities)
        none = _RARELY * (1 - shares.sum())
        shares = shares / (shares.sum() + none)
        if shares.max() < max(1 - shares.sum(), least_confidence):
            return answer
        return answer._replace(
            digit=int(shares.argmax()),
            reason=None,
            confidence=float(shares.max()),
            probabilities=tuple(float(share) for share in shares),
        )

    return [
        (mark, answered(mark, answer) if is_drawn else answer)
        for (mark, answer), is_drawn in zip(read, drawn, strict=True)
    ]


def _looks_wrong(answer: Answer) -> bool:
    """Tell whether a mark was refused for its looks alone."""
    return answer.reason is not None and answer.reason.startswith(("not a digit", "unsure"))


def _a_one(mark: Mark, seen: Ink, picture: Array) -> bool:
    """Tell whether a bar is a 1 though no other digit is in view."""
    height, width = mark.ink.shape
    return not (
        width > _FLATTEST * height
        or (mark.cut and not _filling(mark, seen))
        or beside(mark, seen.ink.shape)
        or any(outlined(mark, seen, picture, away) < _BAR_OUTLINED for away in _BAR_AROUND)
    )


def why_nothing(picture: Array, seen: Ink) -> str:
    """Return why there is no mark on a reduced picture."""
    if not seen.blank:
        return "too small"
    if float(np.percentile(picture, 98)) < _DARK:
        return "too dark"
    if float(np.percentile(picture, 2)) > _BRIGHT:
        return "too bright"
    return "blank"


def why_refused(mark: Mark, ink: Array, none: float, best: int, second: int) -> str:
    """Return the reason that a person can do most about: first what the picture lacks."""
    if mark.cut:
        return "touches the edge"
    if none < SURE and firmness(ink) < SOFT:
        return "blurred"
    if none > 0.5 or solid(ink):
        return "not a digit"
    return f"unsure between {min(best, second)} and {max(best, second)}"


def sureness(answer: Answer) -> float:
    """Return the confidence of an answer, 0 if it is no digit."""
    return 0.0 if answer.digit is None else answer.confidence


def cut_off(mark: Mark, seen: Ink) -> bool:
    """Tell whether a mark lies partly outside of the picture; one that fills it is only close."""
    return mark.cut and mark.box[3] - mark.box[1] < _FILLS * len(seen.ink)


def _filling(mark: Mark, seen: Ink) -> bool:
    """Tell whether a picture was cut out around a 1; aslant across a wide one lies a stripe."""
    (height, width), sides = mark.ink.shape, seen.ink.shape
    tall, wide = height >= _FILLS * sides[0], width >= _FILLS * sides[1]
    return bool(tall and wide and height >= _UPRIGHT * width)


def solid(ink: Array) -> bool:
    """Tell whether a mark's ink is a blot, not strokes."""
    return bool(stroke_width(ink) > _FATTEST * max(ink.shape))


def firmness(ink: Array) -> float:
    """Return the mean ink in the strokes: 1 for a pen in focus, less the wider its edges are."""
    strokes = ink[ink > _STROKE]
    return float(strokes.mean()) if strokes.size else 0.0

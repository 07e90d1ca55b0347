"""What the reader decides once the network has answered: what is meant, what is refused, why."""

from dataclasses import replace

import numpy as np

from appliance.reading import Answer, Array
from appliance.vision.around import beside, clutter, covered, step
from appliance.vision.glyph import stroke_width
from appliance.vision.ink import Ink
from appliance.vision.marks import Mark

SURE = 0.9
"""Strokes are joined, and marks split, only where every part is then read with this confidence."""
_DARK, _BRIGHT = 0.12, 0.985
"""A picture whose lightest parts are darker, or whose darkest are lighter, shows nothing."""
_STROKE, _SOFT = 0.3, 0.78
"""Where the ink above the first is on average below the second, edges are as wide as strokes."""
_CLUTTER = 0.3
"""Around a 1 alone on a sheet less stands out, as a share of its strength: any scene has bars."""
_STEP = 0.5
"""On both sides of a 1 alone on a sheet is the same ground, but for this share of its contrast."""
_PROMINENT = 0.25
"""A digit may be so much less prominent than something else in view, and still be what is meant."""
_CROWD, _CROWD_SHARE = 4, 0.3
"""Of so many marks and more, digits have at least this share of the prominence on a sheet."""
_MOST_BARS = 3
"""More ones than this and no other digit are a fence, a wall's joints, or a tally."""
_FILLS = 0.7
"""A digit that is cut out of a larger picture has at least this share of its height."""
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


def on_a_sheet(read: list[Read], seen: Ink, picture: Array) -> list[Read]:
    """Return the answers without the digits that are on no sheet of paper but in a scene.

    In a scene a digit is in a crowd of other things; a 1 is one of the bars of a fence, a stripe
    across, a pen that lies beside, or the edge of something on the reduced `picture`.
    """
    digits = [(mark, answer) for mark, answer in read if answer.digit is not None]
    bars = all(answer.digit == 1 for _, answer in digits)
    share = sum(mark.prominence for mark, _ in digits) / sum(mark.prominence for mark, _ in read)
    scene = (len(read) >= _CROWD and share < _CROWD_SHARE) or (bars and len(digits) > _MOST_BARS)
    written = covered([mark for mark, _ in digits], seen)

    def written_here(mark: Mark) -> bool:
        return not scene and not (
            bars
            and (
                (mark.cut and not _filling(mark, seen))
                or beside(mark, seen.ink.shape)
                or clutter(mark, seen, written) > _CLUTTER
                or step(mark, picture) > _STEP
            )
        )

    return [
        (mark, answer)
        if answer.digit is None or written_here(mark)
        else (mark, replace(answer, digit=None, reason="not a digit"))
        for mark, answer in read
    ]


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
    if none < SURE and _firmness(ink) < _SOFT:
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
    """Tell whether a picture was cut out around a mark."""
    return all(
        own >= _FILLS * side for own, side in zip(mark.ink.shape, seen.ink.shape, strict=True)
    )


def solid(ink: Array) -> bool:
    """Tell whether a mark's ink is a blot, not strokes."""
    return bool(stroke_width(ink) > _FATTEST * max(ink.shape))


def _firmness(ink: Array) -> float:
    """Return the mean ink in the strokes: 1 for a pen in focus, less the wider its edges are."""
    strokes = ink[ink > _STROKE]
    return float(strokes.mean()) if strokes.size else 0.0

"""Ink to the mark that is meant: connected strokes, joined where they belong to one digit."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from appliance.reading import Array, Box

_STROKE = 0.3
"""Ink above this belongs to a stroke…"""
_CORE = 0.6
"""…and a stroke is real when some of it is above this."""
_LEAST_SIDE = 0.04
"""A mark is at least this share of the picture's longer side, else it is dirt."""
_LEAST_SHARE = 0.15
"""A mark has at least this share of all the ink, else it is a part of a texture."""
_GAP = 0.14
"""Pieces nearer than this share of the main piece's size belong to it."""

# What a digit is like, in shares of the longer side of its box, with room around what the
# photographs of digits show (ruled paper apart, the extremes there are 1.1, 0.12, 4.1 and 0.69).
_WIDEST = 1.45
_FATTEST = 0.18
_LONGEST = 5.0
_PALEST = 0.58
_MOST_HOLES = 4


@dataclass(frozen=True)
class Mark:
    """Strokes taken for one sign: their `ink` float32 cut out to `box`, everything else dark."""

    ink: Array
    box: Box


def find_mark(ink: Array) -> Mark | str:
    """Return the main mark on an ink picture float32 (h, w) in 0…1, or the reason there is none.

    Pieces are connected strokes with a strong core. The main one is the heaviest near the middle
    that the picture's edge does not cut; pieces close to it belong to it (the bar of a 5, a broken
    3).
    """
    labels, count = ndimage.label(ink > _STROKE, structure=np.ones((3, 3), np.int8))
    if count == 0:
        return "no mark"
    index = np.arange(1, count + 1)
    weights = ndimage.sum_labels(ink, labels, index)
    real = ndimage.maximum(ink, labels, index) >= _CORE
    real &= weights >= 0.02 * weights.max(where=real, initial=0.0)
    boxes = ndimage.find_objects(labels)
    pieces = np.flatnonzero(real)
    if not pieces.size:
        return "no mark"
    main = max(pieces, key=lambda i: weights[i] * _prominence(boxes[i], ink.shape))
    size = max(side.stop - side.start for side in boxes[main])
    if size < _LEAST_SIDE * max(ink.shape) or weights[main] < _LEAST_SHARE * weights.sum():
        return "no mark"
    distance = ndimage.distance_transform_edt(labels != main + 1)
    near = ndimage.minimum(distance, labels, index) <= _GAP * size
    chosen = np.concatenate([[False], real & near])
    return _cut_out(ink, chosen[labels])


def implausible(mark: Mark) -> bool:
    """Tell whether no digit looks like this mark, by its proportions and its strokes.

    Measures, for a mark of longer side s: the width against the height; the mean stroke width and
    the strokes' length against s (area and outline of a line of width w and length l are w l and
    2 l); how much of it is neither stroke nor paper; and the holes, a digit having at most two.
    """
    height, width = mark.ink.shape
    size = max(height, width)
    padded = np.pad(mark.ink, 1)
    outline = float(
        np.hypot(padded[1:, :-1] - padded[:-1, :-1], padded[:-1, 1:] - padded[:-1, :-1]).sum()
    )
    strokes = mark.ink > _STROKE
    holes, _ = ndimage.label(~np.pad(strokes, 1))
    # The first is the outside; a pinhole in rough ink is none.
    counted = np.count_nonzero(np.bincount(holes.ravel())[2:] > 0.002 * size * size)
    return bool(
        width > _WIDEST * height
        or 2 * float(mark.ink.sum()) > _FATTEST * size * outline
        or outline > 2 * _LONGEST * size
        or float(mark.ink[strokes].mean()) < _PALEST
        or counted > _MOST_HOLES
    )


def _prominence(box: tuple[slice, slice], shape: tuple[int, ...]) -> float:
    """Return 1 for a box in the middle of the picture, less towards the edges, half if cut."""
    factor = 1.0
    for side, length in zip(box, shape, strict=True):
        off_centre = (side.start + side.stop) / length - 1
        factor *= float(np.exp(-off_centre * off_centre))
        factor *= 0.5 ** ((side.start == 0) + (side.stop == length))
    return factor


def _cut_out(ink: Array, chosen: npt.NDArray[np.bool_]) -> Mark:
    """Return the chosen pixels' ink with one pixel more around it: the strokes' soft edge."""
    soft = ndimage.binary_dilation(chosen, structure=np.ones((3, 3), bool))
    rows, columns = (np.flatnonzero(soft.any(axis=axis)) for axis in (1, 0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    inside = slice(y0, y1), slice(x0, x1)
    return Mark(np.where(soft[inside], ink[inside], np.float32(0)), (x0, y0, x1, y1))

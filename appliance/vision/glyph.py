"""Mark to glyph: the one normaliser, into MNIST's own convention."""

import numpy as np

from appliance.reading import Array
from appliance.vision.filters import grown, shrunk

SIDE = 28
INNER = 20
STROKE_WIDTHS = (1.8, 4.0)
"""Strokes are brought between these widths, in pixels of the glyph: 90 % of MNIST's are there."""


def glyph(mark: Array) -> Array:
    """Return a mark's ink float32 (h, w) in 0…1 as a glyph float32 (28, 28), ink bright.

    The mark's box, aspect kept, is area-averaged into 20×20 and set so that its centre of mass
    falls on the middle of 28×28, as in MNIST (LeCun et al., 1998). Strokes thinner or thicker than
    a scanner's pen makes them are thickened or thinned before.
    """
    mark = _usual_strokes(mark)
    height, width = mark.shape
    scale = INNER / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    small = averaging(rows, height) @ mark @ averaging(columns, width).T
    peak = float(small.max())
    if peak > 0:
        small /= np.float32(peak)
    total = max(float(small.sum()), 1e-6)
    middle_y = float(small.sum(axis=1) @ np.arange(rows, dtype=np.float32)) / total
    middle_x = float(small.sum(axis=0) @ np.arange(columns, dtype=np.float32)) / total
    top = min(max(round((SIDE - 1) / 2 - middle_y), 0), SIDE - rows)
    left = min(max(round((SIDE - 1) / 2 - middle_x), 0), SIDE - columns)
    result = np.zeros((SIDE, SIDE), np.float32)
    result[top : top + rows, left : left + columns] = small
    return result


def stroke_width(ink: Array) -> float:
    """Return the mean width of the strokes of ink float32 (h, w) in 0…1, in its pixels.

    The area of a line of width w and length l is w l, its outline 2 l.
    """
    return 2 * float(ink.sum()) / max(outline(ink), 1e-6)


def outline(ink: Array) -> float:
    """Return the length of the outline of ink float32 (h, w) in 0…1, in pixels."""
    padded = np.pad(ink, 1)
    across = padded[1:, :-1] - padded[:-1, :-1]
    down = padded[:-1, 1:] - padded[:-1, :-1]
    return float(np.hypot(across, down).sum())


def averaging(cells: int, length: int) -> Array:
    """Return the (cells, length) matrix that averages `length` pixels into `cells` equal spans.

    Each row holds the share of the span that each pixel covers, and sums to 1.
    """
    edges = np.linspace(0, length, cells + 1, dtype=np.float32)
    pixels = np.arange(length, dtype=np.float32)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    shares: Array = np.maximum(overlap, 0) * np.float32(cells / length)
    return shares


def _usual_strokes(mark: Array) -> Array:
    """Return the ink with strokes as wide as the network knows them, grown or shrunk by a disc."""
    height, width = mark.shape
    # What the box becomes longer by when its strokes grow is little beside what they grow by.
    pixel = max(height, width) / INNER
    wide = stroke_width(mark)
    thin, thick = (limit * pixel for limit in STROKE_WIDTHS)
    if wide < thin:
        reach = round((thin - wide) / 2)
        if reach >= 1:
            return grown(np.pad(mark, reach), reach + 0.5)
    elif wide > thick:
        reach = round((wide - thick) / 2)
        if reach >= 1:
            thinner = shrunk(mark, reach + 0.5)
            rows, columns = (np.flatnonzero(thinner.max(axis=axis) > 0) for axis in (1, 0))
            if rows.size:
                return thinner[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return mark

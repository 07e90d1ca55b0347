"""Mark to glyph: normalised as MNIST's digits are."""

import numpy as np

from appliance.reading import Array
from appliance.vision.filters import dilate_disc, erode_disc

SIDE = 28
INNER = 20
"""The longer side of the digit within the glyph, in pixels."""
STROKE_WIDTHS = (1.8, 4.0)
"""Mean stroke widths are brought into this range, in pixels of the glyph: 90 % of MNIST's are."""


def make_glyph(mark: Array) -> Array:
    """Return a mark's ink float32 (h, w) in 0…1 as a glyph float32 (28, 28), ink bright, peak 1.

    The mark's box is area-averaged into 20×20, aspect kept, and placed with its centre of mass in
    the middle of 28×28, as in MNIST (Y. LeCun et al., "Gradient-based learning applied to document
    recognition", 1998). Strokes that are thinner or thicker than MNIST's are first thickened or
    thinned.
    """
    mark = _normalise_stroke_width(mark)
    height, width = mark.shape
    scale = INNER / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    small = averaging_matrix(rows, height) @ mark @ averaging_matrix(columns, width).T
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
    """Return the mean width of the strokes of ink float32 (h, w) in 0…1, in pixels.

    A line of width w and length l has the area w·l and an outline of about 2·l.
    """
    return 2 * float(ink.sum()) / max(outline_length(ink), 1e-6)


def outline_length(ink: Array) -> float:
    """Return the length of the outline of ink float32 (h, w) in 0…1, in pixels."""
    padded = np.pad(ink, 1)
    across = padded[1:, :-1] - padded[:-1, :-1]
    down = padded[:-1, 1:] - padded[:-1, :-1]
    return float(np.hypot(across, down).sum())


def averaging_matrix(cells: int, length: int) -> Array:
    """Return the matrix float32 (cells, length) that averages `length` pixels into `cells` spans.

    A row holds the share of its span that each pixel covers, and sums to 1.
    """
    edges = np.linspace(0, length, cells + 1, dtype=np.float32)
    pixels = np.arange(length, dtype=np.float32)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    matrix: Array = np.maximum(overlap, 0) * np.float32(cells / length)
    return matrix


def _normalise_stroke_width(mark: Array) -> Array:
    """Return the ink dilated or eroded by a disc until its strokes are as wide as MNIST's."""
    height, width = mark.shape
    # The box grows with its strokes, but so much less than they do that it is left out here.
    pixel = max(height, width) / INNER
    wide = stroke_width(mark)
    thin, thick = (limit * pixel for limit in STROKE_WIDTHS)
    if wide < thin:
        reach = round((thin - wide) / 2)
        if reach >= 1:
            return dilate_disc(np.pad(mark, reach), reach + 0.5)
    elif wide > thick:
        reach = round((wide - thick) / 2)
        if reach >= 1:
            thinned = erode_disc(mark, reach + 0.5)
            rows, columns = (np.flatnonzero(thinned.max(axis=axis) > 0) for axis in (1, 0))
            if rows.size:
                return thinned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return mark

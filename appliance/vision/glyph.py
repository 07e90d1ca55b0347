"""Mark to glyph: the one normaliser, into MNIST's own convention."""

import numpy as np

from appliance.reading import Array

SIDE = 28
INNER = 20


def glyph(mark: Array) -> Array:
    """Return a mark's ink float32 (h, w) in 0…1 as a glyph float32 (28, 28), ink bright.

    The mark's box, aspect kept, is area-averaged into 20×20 and set so that its centre of mass
    falls on the middle of 28×28, as in MNIST (LeCun et al., 1998).
    """
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


def averaging(cells: int, length: int) -> Array:
    """Return the (cells, length) matrix that averages `length` pixels into `cells` equal spans.

    Each row holds the share of the span that each pixel covers, and sums to 1.
    """
    edges = np.linspace(0, length, cells + 1, dtype=np.float32)
    pixels = np.arange(length, dtype=np.float32)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    shares: Array = np.maximum(overlap, 0) * np.float32(cells / length)
    return shares

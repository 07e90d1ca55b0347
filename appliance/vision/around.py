"""What lies around a mark: a written stroke has the same bare ground on every side of it."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from appliance.reading import Array
from appliance.vision.ink import Ink
from appliance.vision.marks import Mark

_MIDDLE = 0.25
"""The border of a picture is this share of its height and of its width."""
_OFF = 2.0
"""A stroke's soft edge is so many pixels wide."""


def covered(marks: list[Mark], seen: Ink) -> npt.NDArray[np.bool_]:
    """Return where on the picture (h, w) the strokes of some marks are, and next to them."""
    cover = np.zeros(seen.ink.shape, bool)
    for mark in marks:
        x0, y0, x1, y1 = mark.box
        cover[y0:y1, x0:x1] |= mark.ink > 0
    near: npt.NDArray[np.bool_] = ndimage.binary_dilation(
        cover, np.ones((3, 3), bool), iterations=2
    )
    return near


def clutter(mark: Mark, seen: Ink, written: npt.NDArray[np.bool_]) -> float:
    """Return how far what lies around a mark stands out, as a share of the mark's own strength.

    Around it is a quarter of its size on every side; what is `written` (h, w) there, itself or its
    neighbours, is left out. Of the rest the deepest seventh is not looked at: a speck, a line.
    """
    margin = max(3, round(0.25 * max(mark.ink.shape)))
    around = _around(mark, margin, seen.ink.shape)
    bare = seen.depth[around][~written[around]]
    return float(np.percentile(bare, 85)) / mark.strength if bare.size else 0.0


def beside(mark: Mark, shape: tuple[int, ...]) -> bool:
    """Tell whether a mark is at the border of a picture (h, w): no part of it is in the middle."""
    height, width = shape
    x0, y0, x1, y1 = mark.box
    across, down = _MIDDLE * width, _MIDDLE * height
    return x1 < across or y1 < down or x0 > width - across or y0 > height - down


def step(mark: Mark, picture: Array) -> float:
    """Return how far the grounds on a bar's two sides differ, as a share of its contrast to one.

    `picture` is what the bar was found on, float32 (h, w). Next to nothing for a stroke on paper,
    more where an edge, a shadow's or a thing's, was taken for one.
    """
    rows, columns = np.nonzero(mark.ink > 0.5)
    if len(rows) < 3:
        return 0.0
    middle = np.array([columns.mean(), rows.mean()])
    _, (across, along) = (m.T for m in np.linalg.eigh(np.cov(columns, rows)))
    inside = np.stack([columns, rows], axis=1) - middle
    half = float(np.percentile(np.abs(inside @ across), 95))
    length = float(np.percentile(np.abs(inside @ along), 95))
    reach = half + _OFF + 3
    part = _around(mark, int(2 * half + 6), picture.shape)
    y, x = np.mgrid[part]
    off = np.stack([x - mark.box[0], y - mark.box[1]], axis=-1) - middle
    sideways = off @ across
    near = (
        (np.abs(off @ along) < 0.9 * length)
        & (np.abs(sideways) > half + _OFF)
        & (np.abs(sideways) < half + reach)
    )
    left, right = (picture[part][near & (sideways * side > 0)] for side in (-1, 1))
    if left.size < 3 or right.size < 3:
        # It lies at the picture's edge.
        return 0.0
    x0, y0, x1, y1 = mark.box
    ink = np.median(picture[y0:y1, x0:x1][mark.ink > 0.5])
    grounds = np.median(left), np.median(right)
    contrast = min(abs(ground - ink) for ground in grounds)
    return float(abs(grounds[0] - grounds[1]) / max(contrast, 1e-3))


def _around(mark: Mark, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of a picture (h, w) within `margin` pixels of a mark's box."""
    x0, y0, x1, y1 = mark.box
    return (
        slice(max(0, y0 - margin), min(shape[0], y1 + margin)),
        slice(max(0, x0 - margin), min(shape[1], x1 + margin)),
    )

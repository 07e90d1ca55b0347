"""The ground around a mark: a written stroke has bare ground on every side of it."""

import numpy as np

from appliance.reading import Array
from appliance.vision.components import Mask, Slices
from appliance.vision.filters import dilate, erode, gaussian
from appliance.vision.ink import InkMaps
from appliance.vision.marks import Mark

_BORDER = 0.25
"""The border of a picture is this share of its height and of its width, on each side."""
_SOFT_EDGE = 2
"""Width of a stroke's soft edge, in pixels."""
_LEAST_DISTANCE = 3
"""The ground is compared at least this many pixels away from a stroke."""
_LEAST_CHANGE = 0.5
"""Ground begins where the picture changes by at least this share of the stroke's strength."""
_INK = 0.3
"""Ink above this belongs to a stroke."""


def outline_fraction(mark: Mark, maps: InkMaps, picture: Array, distance: float = 0.06) -> float:
    """Return the fraction 0…1 of a mark's outline along which the `picture` changes to bare ground.

    A stroke ends where the paper begins, on all sides. A shadow, a sheet's edge or a part of some
    larger thing does not: there the estimated ground changes and the picture (h, w) goes on. The
    ground is compared at `distance` from the strokes, a share of the mark's size, and not near
    other ink.
    """
    reach = max(_LEAST_DISTANCE, round(distance * max(mark.ink.shape)))
    window = _window_around(mark, 2 * reach + 2, picture.shape)
    patch = gaussian(picture[window], 0.8)
    inside: Mask = np.zeros(patch.shape, np.bool_)
    x, y = mark.box[0] - window[1].start, mark.box[1] - window[0].start
    height, width = mark.ink.shape
    inside[y : y + height, x : x + width] = mark.ink > 0.5
    soft = dilate(inside, 2 * _SOFT_EDGE + 1)
    nearer = dilate(soft, 2 * (reach - 1 - _SOFT_EDGE) + 1)
    others = (maps.ink[window] > _INK) & ~soft
    outline = dilate(nearer, 3) & ~nearer & ~dilate(others, 2 * _SOFT_EDGE + 1)
    if not outline.any():
        return 1.0
    # Compared with the nearest part of the stroke: where a shadow darkens it, it darkens the ground
    # beside it as well.
    size = 2 * reach + 3
    if maps.dark:
        stroke = erode(np.where(inside, patch, np.float32(9)), size)
        change: Array = patch - stroke
        change /= np.maximum(patch, np.float32(0.05))
    else:
        change = dilate(np.where(inside, patch, np.float32(0)), size) - patch
    strength = dilate(np.where(inside, maps.strength[window], np.float32(0)), size)
    return float(np.mean(change[outline] >= _LEAST_CHANGE * strength[outline]))


def is_near_border(mark: Mark, shape: tuple[int, ...]) -> bool:
    """Return whether a mark lies in the border of a picture (h, w), no part of it in the middle."""
    height, width = shape
    x0, y0, x1, y1 = mark.box
    across, down = _BORDER * width, _BORDER * height
    return x1 < across or y1 < down or x0 > width - across or y0 > height - down


def _window_around(mark: Mark, margin: int, shape: tuple[int, ...]) -> Slices:
    """Return the part of a picture (h, w) within `margin` pixels of a mark's box."""
    x0, y0, x1, y1 = mark.box
    return (
        slice(max(0, y0 - margin), min(shape[0], y1 + margin)),
        slice(max(0, x0 - margin), min(shape[1], x1 + margin)),
    )

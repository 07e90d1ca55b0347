"""What lies around a mark: a written stroke has the same bare ground on every side of it."""

import numpy as np

from appliance.reading import Array
from appliance.vision.components import Mask
from appliance.vision.filters import highest, lowest, smoothed
from appliance.vision.ink import Ink
from appliance.vision.marks import Mark

_MIDDLE = 0.25
"""The border of a picture is this share of its height and of its width."""
_OFF = 2
"""A stroke's soft edge is so many pixels wide."""
_NEAREST = 3
"""The ground is looked for so many pixels from a stroke, or more…"""
_CHANGE = 0.5
"""…where the picture differs from the stroke by at least this share of the stroke's strength."""
_OTHERS = 0.3
"""Ink above this belongs to a stroke."""


def outlined(mark: Mark, seen: Ink, picture: Array, distance: float = 0.06) -> float:
    """Return along which share 0…1 of a mark's outline the `picture` (h, w) changes to bare ground.

    A stroke ends where the paper begins, on all sides. A shadow, a sheet's edge or a part of some
    larger thing was taken for one where the ground that was guessed changes, not the picture: there
    it goes on as it was. The ground is looked for at a `distance` from the strokes, a share of the
    mark's size; what is near other ink is left out.
    """
    reach = max(_NEAREST, round(distance * max(mark.ink.shape)))
    part = _around(mark, 2 * reach + 2, picture.shape)
    patch = smoothed(picture[part], 0.8)
    inside: Mask = np.zeros(patch.shape, np.bool_)
    x, y = mark.box[0] - part[1].start, mark.box[1] - part[0].start
    height, width = mark.ink.shape
    inside[y : y + height, x : x + width] = mark.ink > 0.5
    soft = highest(inside, 2 * _OFF + 1)
    nearer = highest(soft, 2 * (reach - 1 - _OFF) + 1)
    others = (seen.ink[part] > _OTHERS) & ~soft
    outline = highest(nearer, 3) & ~nearer & ~highest(others, 2 * _OFF + 1)
    if not outline.any():
        return 1.0
    # Beside a part of a stroke that lies in a shadow the ground is as dark: what is near counts.
    size = 2 * reach + 3
    if seen.dark:
        stroke = lowest(np.where(inside, patch, np.float32(9)), size)
        change: Array = patch - stroke
        change /= np.maximum(patch, np.float32(0.05))
    else:
        change = highest(np.where(inside, patch, np.float32(0)), size) - patch
    strength = highest(np.where(inside, seen.strength[part], np.float32(0)), size)
    return float(np.mean(change[outline] >= _CHANGE * strength[outline]))


def beside(mark: Mark, shape: tuple[int, ...]) -> bool:
    """Tell whether a mark is at the border of a picture (h, w): no part of it is in the middle."""
    height, width = shape
    x0, y0, x1, y1 = mark.box
    across, down = _MIDDLE * width, _MIDDLE * height
    return x1 < across or y1 < down or x0 > width - across or y0 > height - down


def _around(mark: Mark, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of a picture (h, w) within `margin` pixels of a mark's box."""
    x0, y0, x1, y1 = mark.box
    return (
        slice(max(0, y0 - margin), min(shape[0], y1 + margin)),
        slice(max(0, x0 - margin), min(shape[1], x1 + margin)),
    )

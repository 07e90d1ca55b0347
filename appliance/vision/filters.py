"""Filters on pictures: Gaussian, median, dilation, erosion, closing and opening.

They give what scipy.ndimage gives, in numpy alone: importing that costs a Pi Zero 27 MB and as long
as everything else the appliance imports.
"""

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from appliance.reading import Array

Values = TypeVar("Values", Array, npt.NDArray[np.bool_])
"""A picture float32 (h, w) without negative values, or a mask bool (h, w)."""
Lines = npt.NDArray[Any]

_TRUNCATE = 4.0
"""The Gaussian window ends this many standard deviations from its middle."""
_HIGHEST_BITS = np.iinfo(np.int32).max


def gaussian(picture: Array, sigma: float) -> Array:
    """Return a picture float32 (h, w) blurred by a Gaussian of `sigma` pixels; edges repeat."""
    reach = int(_TRUNCATE * sigma + 0.5)
    window = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    window = (window / window.sum()).astype(np.float32)
    for _ in range(2):
        wide = np.pad(picture, ((0, 0), (reach, reach)), mode="edge")
        # All lines as one: the margins absorb what one line spills into the next.
        lines = np.correlate(wide.ravel(), window, "same").reshape(wide.shape)
        picture = lines[:, reach : wide.shape[1] - reach].T
    return picture


def dilate(values: Values, size: int) -> Values:
    """Return the maximum in a square of odd `size` around each pixel; beyond the edge is nothing.

    On a mask this is binary dilation.
    """
    return _square_extreme(values, size, np.maximum)


def erode(values: Values, size: int) -> Values:
    """Return the minimum in a square of odd `size` around each pixel; binary erosion on a mask."""
    return _square_extreme(values, size, np.minimum)


def closing(picture: Array, size: int) -> Array:
    """Return the grey closing: without what is dark and narrower than a square of odd `size`.

    The edge is repeated outwards, so that the ground between a stroke and the edge stays.
    """
    wide = np.pad(picture, size // 2, mode="edge")
    return _crop(erode(dilate(wide, size), size), size // 2)


def opening(picture: Array, size: int) -> Array:
    """Return the grey opening: without what is light and narrower than a square of odd `size`."""
    wide = np.pad(picture, size // 2, mode="edge")
    return _crop(dilate(erode(wide, size), size), size // 2)


def dilate_disc(values: Values, radius: float) -> Values:
    """Return the maximum within `radius` pixels of each pixel; beyond the edge is 0."""
    return _disc_extreme(values, radius, np.maximum)


def erode_disc(values: Values, radius: float) -> Values:
    """Return the minimum within `radius` pixels of each pixel; beyond the edge is 0."""
    return _disc_extreme(values, radius, np.minimum)


def median(picture: Array, size: int) -> Array:
    """Return the median in a square of odd `size` around each pixel of (h, w); edges repeat.

    All windows are in memory at once: for small pictures alone.
    """
    wide = np.pad(picture, size // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(wide, (size, size))
    lines = windows.reshape(*picture.shape, size * size)
    middle: Array = np.partition(lines, size * size // 2, axis=-1)[..., size * size // 2]
    return middle


def _square_extreme(values: Values, size: int, pick: np.ufunc) -> Values:
    kind = values.dtype
    # The bits of floats from 0 up, read as integers, sort alike and compare faster.
    lines: Lines = values if kind.kind == "b" else values.view(np.int32)
    for _ in range(2):
        lines = _line_extreme(lines, size, pick).T
    result: Values = np.ascontiguousarray(lines).view(kind)
    return result


def _line_extreme(lines: Lines, size: int, pick: np.ufunc) -> Lines:
    """Return for each line of (n, m) the extreme over the `size` lines around it."""
    count, reach = len(lines), size // 2
    beyond = 0 if pick is np.maximum else 1 if lines.dtype.kind == "b" else _HIGHEST_BITS
    wide = np.full((count + 2 * reach, lines.shape[1]), beyond, lines.dtype)
    wide[reach : reach + count] = lines
    # Extremes of two lines, of four, of eight…: any window is two of these that may overlap.
    have = 1
    while 2 * have <= size:
        wide = pick(wide[:-have], wide[have:])
        have *= 2
    result: Lines = pick(wide[:count], wide[size - have :]) if have < size else wide
    return result


def _disc_extreme(values: Values, radius: float, pick: np.ufunc) -> Values:
    height, width = values.shape
    reach = int(radius)
    wide = np.pad(values, reach)
    result = values.copy()
    # A disc is a stack of rows; a longer row's extreme extends that of a shorter one.
    lines = wide[:, reach : reach + width]
    for half in range(reach + 1):
        for end in {reach - half, reach + half}:
            lines = pick(lines, wide[:, end : end + width])
        for away in range(reach + 1):
            if math.isqrt(int(radius * radius) - away * away) == half:
                for top in {reach - away, reach + away}:
                    pick(result, lines[top : top + height], out=result)
    return result


def _crop(values: Values, border: int) -> Values:
    return values[border : len(values) - border, border : values.shape[1] - border]

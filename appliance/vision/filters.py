"""What a pixel's neighbours come to: blurred, highest, lowest, in windows of any size.

The same as scipy.ndimage has, in numpy alone: importing that takes a Pi Zero 27 MB and as long as
all else that the appliance imports.
"""

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from appliance.reading import Array

Values = TypeVar("Values", Array, npt.NDArray[np.bool_])
"""Numbers from 0 up, float32 (h, w), or truths."""
Lines = npt.NDArray[Any]

_REACH = 4.0
"""A Gaussian window ends so many standard deviations from its middle."""
_LAST = np.iinfo(np.int32).max


def smoothed(picture: Array, sigma: float) -> Array:
    """Return a picture float32 (h, w) under a Gaussian window of `sigma` pixels.

    Beyond its edge the picture goes on as it is there.
    """
    reach = int(_REACH * sigma + 0.5)
    window = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    window = (window / window.sum()).astype(np.float32)
    for _ in range(2):
        wide = np.pad(picture, ((0, 0), (reach, reach)), mode="edge")
        # All lines as one: what runs over from one to the next is in the margins.
        lines = np.correlate(wide.ravel(), window, "same").reshape(wide.shape)
        picture = lines[:, reach : wide.shape[1] - reach].T
    return picture


def highest(values: Values, size: int) -> Values:
    """Return the highest of the values (h, w) in a square of an odd `size` around each.

    Of truths: whether one of them is true. What is beyond the edge does not count.
    """
    return _extreme(values, size, np.maximum)


def lowest(values: Values, size: int) -> Values:
    """Return the lowest of the values (h, w) in a square of an odd `size` around each."""
    return _extreme(values, size, np.minimum)


def closed(picture: Array, size: int, *, light: bool = True) -> Array:
    """Return a picture (h, w) without what is dark and narrower than an odd `size`: its closing.

    Or, with `light` false, its opening, without what is light. With its edge repeated outwards,
    ground between a stroke and the edge is not taken for narrow.
    """
    wide = np.pad(picture, size // 2, mode="edge")
    result = lowest(highest(wide, size), size) if light else highest(lowest(wide, size), size)
    return _inner(result, size // 2)


def grown(values: Values, radius: float) -> Values:
    """Return the highest of the values (h, w) in a disc around each; beyond the edge they are 0."""
    return _in_disc(values, radius, np.maximum)


def shrunk(values: Values, radius: float) -> Values:
    """Return the lowest of the values (h, w) in a disc around each; beyond the edge they are 0."""
    return _in_disc(values, radius, np.minimum)


def median(picture: Array, size: int) -> Array:
    """Return the median of a picture (h, w) in a square of an odd `size` around each pixel.

    Beyond its edge the picture goes on as it is there. All windows are laid out at once: for small
    pictures.
    """
    wide = np.pad(picture, size // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(wide, (size, size))
    lines = windows.reshape(*picture.shape, size * size)
    middle: Array = np.partition(lines, size * size // 2, axis=-1)[..., size * size // 2]
    return middle


def _extreme(values: Values, size: int, pick: np.ufunc) -> Values:
    kind = values.dtype
    # As whole numbers, the bits of numbers from 0 up have the same order, and compare faster.
    lines: Lines = values if kind.kind == "b" else values.view(np.int32)
    for _ in range(2):
        lines = _along(lines, size, pick).T
    result: Values = np.ascontiguousarray(lines).view(kind)
    return result


def _along(lines: Lines, size: int, pick: np.ufunc) -> Lines:
    """Return the extreme of each line of (n, m) and its neighbours, `size` together."""
    count, reach = len(lines), size // 2
    beyond = 0 if pick is np.maximum else 1 if lines.dtype.kind == "b" else _LAST
    wide = np.full((count + 2 * reach, lines.shape[1]), beyond, lines.dtype)
    wide[reach : reach + count] = lines
    # Of two lines, of four, of eight…: a window is two of these, which may overlap.
    have = 1
    while 2 * have <= size:
        wide = pick(wide[:-have], wide[have:])
        have *= 2
    result: Lines = pick(wide[:count], wide[size - have :]) if have < size else wide
    return result


def _in_disc(values: Values, radius: float, pick: np.ufunc) -> Values:
    """Return the extreme of the values (h, w) no further than `radius` pixels away."""
    height, width = values.shape
    reach = int(radius)
    wide = np.pad(values, reach)
    result = values.copy()
    # A disc is lines, of which the longer take the shorter over.
    lines = wide[:, reach : reach + width]
    for half in range(reach + 1):
        for end in {reach - half, reach + half}:
            lines = pick(lines, wide[:, end : end + width])
        for away in range(reach + 1):
            if math.isqrt(int(radius * radius) - away * away) == half:
                for top in {reach - away, reach + away}:
                    pick(result, lines[top : top + height], out=result)
    return result


def _inner(values: Values, border: int) -> Values:
    return values[border : len(values) - border, border : values.shape[1] - border]

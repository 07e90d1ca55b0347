"""What is in a network as pictures: above zero orange, zero black, below zero blue."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.reading import Array
from appliance.web.draw.pictures import file_of, file_url

MOST_MAPS, _MOST_PIXELS = 64, 20_000
_LEVELS = 24
_GAP = 2 * _LEVELS + 1
"""The entry of the palette for what lies between two maps, which is transparent."""
# At a middling value orange and blue are equally bright, for eyes that tell no colours apart.
_ZERO, _ABOVE, _BELOW = (18, 22, 27), ((244, 140, 30), (255, 238, 205)), (
    (50, 140, 250),
    (215, 234, 255),
)  # fmt: skip


class Sheet(NamedTuple):
    """A picture as a data URL, its sides in pixels, and by how much it is to be enlarged."""

    url: str
    width: int
    height: int
    times: int


def shown(maps: Array) -> Array:
    """Return as many of the maps (n, rows, columns) as a page has room for, the first ones."""
    pixels = maps.shape[1] * maps.shape[2]
    return maps[: max(1, min(MOST_MAPS, _MOST_PIXELS // max(1, pixels)))]


def cells(units: Array) -> Array:
    """Return units (n,) as one map (1, rows, columns), near to a square, nan where there is none.

    What there are too many of is left out.
    """
    units = units[:_MOST_PIXELS]
    side = int(np.ceil(np.sqrt(len(units))))
    map = np.full(side * -(-len(units) // side), np.nan, np.float32)
    map[: len(units)] = np.nan_to_num(units)
    return map.reshape(1, -1, side)


def sheet(maps: Array, most: float | None = None, *, width: int = 540) -> Sheet:
    """Return maps (n, rows, columns) beside and below each other, as one PNG.

    The colours reach to `most` either way, without it to the largest value. The enlarged picture is
    at most about `width` pixels wide, and no higher. What is nan is transparent.
    """
    count, rows, columns = maps.shape
    across = _across(count)
    down = -(-count // across)
    gap = int(count > 1)
    canvas = np.full((down * (rows + gap) - gap, across * (columns + gap) - gap), _GAP, np.uint8)
    for place, map in enumerate(indexed(maps, most)):
        y, x = place // across * (rows + gap), place % across * (columns + gap)
        canvas[y : y + rows, x : x + columns] = map
    height, wide = canvas.shape
    times = max(1, min(width // max(wide, height), 24))
    return Sheet(_url(canvas), wide, height, times)


def grey(picture: Array, *, width: int = 540) -> Sheet:
    """Return one picture (rows, columns) in 0…1 as it is: 0 black, 1 white."""
    from PIL import Image

    values = np.rint(np.clip(np.nan_to_num(picture), 0, 1) * 255).astype(np.uint8)
    height, wide = values.shape
    url = file_url(Image.fromarray(values), "PNG", compress_level=9)
    return Sheet(url, wide, height, max(1, width // max(wide, height)))


def greys(pictures: npt.NDArray[np.uint8]) -> bytes:
    """Return pictures uint8 (n, h, w) in rows of eight, without gaps, as a PNG of 16 greys."""
    from PIL import Image

    count, height, width = pictures.shape
    rows = -(-count // 8)
    canvas = np.zeros((rows * 8, height, width), np.uint8)
    canvas[:count] = pictures >> 4
    whole = canvas.reshape(rows, 8, height, width).swapaxes(1, 2).reshape(rows * height, 8 * width)
    picture = Image.fromarray(whole)
    picture.putpalette([17 * step for step in range(16) for _ in range(3)])
    return file_of(picture, "PNG", compress_level=9)


@lru_cache
def scale() -> str:
    """Return the colours from the lowest to the highest as a data URL, one pixel high."""
    return _url(np.arange(_GAP, dtype=np.uint8)[None])


def largest(values: Array) -> float:
    """Return the largest distance from zero among the values that are numbers."""
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max(initial=0))


def indexed(maps: Array, most: float | None = None) -> npt.NDArray[np.uint8]:
    """Return the palette's entry of each value, uint8 of the same shape."""
    most = largest(maps) if most is None else most
    # In float64: what is nearly the largest float32 has no room to be scaled.
    share = np.clip(np.nan_to_num(maps.astype(np.float64)) / max(most, 1e-30), -1, 1)
    entries = np.rint(share * _LEVELS).astype(np.int16) + _LEVELS
    return np.where(np.isnan(maps), _GAP, entries).astype(np.uint8)


def _across(count: int) -> int:
    """Return how many of some maps stand beside each other: about as many as below, or more."""
    if count <= 3:
        return max(1, count)
    side = int(np.ceil(np.sqrt(count)))
    # 8 are 4 × 2, 24 are 6 × 4, 48 are 8 × 6: rather a full grid than a square one.
    return next((each for each in range(side, 2 * side) if count % each == 0), side)


def _url(entries: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    # Small pictures have few colours, and a palette of those alone.
    used, places = np.unique(entries, return_inverse=True)
    picture = Image.fromarray(places.astype(np.uint8).reshape(entries.shape))
    picture.putpalette(_palette()[used].ravel().tolist())
    see_through = {"transparency": len(used) - 1} if used[-1] == _GAP else {}
    return file_url(picture, "PNG", compress_level=9, **see_through)


def _palette() -> npt.NDArray[np.uint8]:
    steps = np.linspace(0, 1, _LEVELS + 1)
    sides = [
        np.stack([np.interp(steps, (0, 0.6, 1), of) for of in zip(_ZERO, *ends, strict=True)], 1)
        for ends in (_BELOW, _ABOVE)
    ]
    colours = np.concatenate([sides[0][:0:-1], sides[1], np.zeros((1, 3))])
    entries: npt.NDArray[np.uint8] = np.rint(colours).astype(np.uint8)
    return entries

"""Feature maps and filters as pictures: above zero orange, zero black, below zero blue."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.reading import Array
from appliance.web.draw.pictures import encode, to_data_url

_MAX_MAPS, _MAX_PIXELS = 64, 20_000
_LEVELS = 24
_GAP = 2 * _LEVELS + 1
"""The palette's index for the gap between two maps, which is transparent."""
# Half way up, orange and blue are equally bright, for eyes that do not tell colours apart.
_ZERO = (18, 22, 27)
_ABOVE = (244, 140, 30), (255, 238, 205)
_BELOW = (50, 140, 250), (215, 234, 255)


class Sheet(NamedTuple):
    """A picture as a data URL, its sides in pixels, and how many times the page enlarges it."""

    url: str
    width: int
    height: int
    zoom: int


def limit_maps(maps: Array) -> Array:
    """Return as many of the maps (n, rows, columns) as a page has room for, the first ones."""
    pixels = maps.shape[1] * maps.shape[2]
    return maps[: max(1, min(_MAX_MAPS, _MAX_PIXELS // max(1, pixels)))]


def units_to_map(units: Array) -> Array:
    """Return units (n,) as one nearly square map (1, rows, columns), nan where it has no unit.

    Units that a page has no room for are left out.
    """
    units = units[:_MAX_PIXELS]
    side = int(np.ceil(np.sqrt(len(units))))
    cells = np.full(side * -(-len(units) // side), np.nan, np.float32)
    cells[: len(units)] = np.nan_to_num(units)
    return cells.reshape(1, -1, side)


def render_sheet(maps: Array, limit: float | None = None, *, width: int = 540) -> Sheet:
    """Return maps (n, rows, columns) in a grid, as one PNG; nan is transparent.

    The colours reach from -limit to limit; without a limit, to the largest magnitude. The enlarged
    picture has about `width` pixels a side at most.
    """
    count, rows, columns = maps.shape
    across = _grid_columns(count)
    down = -(-count // across)
    gap = int(count > 1)
    canvas = np.full((down * (rows + gap) - gap, across * (columns + gap) - gap), _GAP, np.uint8)
    for place, indices in enumerate(to_palette_indices(maps, limit)):
        y, x = place // across * (rows + gap), place % across * (columns + gap)
        canvas[y : y + rows, x : x + columns] = indices
    height, wide = canvas.shape
    return Sheet(_encode_indices(canvas), wide, height, max(1, min(width // max(wide, height), 24)))


def render_grey(picture: Array, *, width: int = 540) -> Sheet:
    """Return one picture (rows, columns) in 0…1 in grey: 0 black, 1 white."""
    from PIL import Image

    values = np.rint(np.clip(np.nan_to_num(picture), 0, 1) * 255).astype(np.uint8)
    height, wide = values.shape
    url = to_data_url(encode(Image.fromarray(values), "PNG", compress_level=9), "image/png")
    return Sheet(url, wide, height, max(1, width // max(wide, height)))


def tile_greys(pictures: npt.NDArray[np.uint8]) -> bytes:
    """Return pictures uint8 (n, h, w) in rows of eight, without gaps, as a PNG of 16 greys."""
    from PIL import Image

    count, height, width = pictures.shape
    rows = -(-count // 8)
    canvas = np.zeros((rows * 8, height, width), np.uint8)
    canvas[:count] = pictures >> 4
    tiles = canvas.reshape(rows, 8, height, width).swapaxes(1, 2).reshape(rows * height, 8 * width)
    picture = Image.fromarray(tiles)
    picture.putpalette([17 * step for step in range(16) for _ in range(3)])
    return encode(picture, "PNG", compress_level=9)


@lru_cache
def render_colour_scale() -> str:
    """Return all colours from the lowest to the highest as a data URL, one pixel high."""
    return _encode_indices(np.arange(_GAP, dtype=np.uint8)[None])


def max_magnitude(values: Array) -> float:
    """Return the largest distance from zero among the finite values."""
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max(initial=0))


def to_palette_indices(maps: Array, limit: float | None = None) -> npt.NDArray[np.uint8]:
    """Return the palette's index of each value, uint8 of the same shape."""
    limit = max_magnitude(maps) if limit is None else limit
    # In float64: values near the largest float32 would overflow.
    share = np.clip(np.nan_to_num(maps.astype(np.float64)) / max(limit, 1e-30), -1, 1)
    indices = np.rint(share * _LEVELS).astype(np.int16) + _LEVELS
    return np.where(np.isnan(maps), _GAP, indices).astype(np.uint8)


def _grid_columns(count: int) -> int:
    """Return how many of some maps stand beside each other: as many as below each other, or more.

    A full grid goes before a square one: 8 maps are 4 × 2, 24 are 6 × 4, 48 are 8 × 6.
    """
    if count <= 3:
        return max(1, count)
    side = int(np.ceil(np.sqrt(count)))
    return next((each for each in range(side, 2 * side) if count % each == 0), side)


def _encode_indices(indices: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    # A palette of the colours in use alone: small pictures have few.
    used, places = np.unique(indices, return_inverse=True)
    picture = Image.fromarray(places.astype(np.uint8).reshape(indices.shape))
    picture.putpalette(_palette()[used].ravel().tolist())
    options = {"transparency": len(used) - 1} if used[-1] == _GAP else {}
    return to_data_url(encode(picture, "PNG", compress_level=9, **options), "image/png")


def _palette() -> npt.NDArray[np.uint8]:
    steps = np.linspace(0, 1, _LEVELS + 1)
    below, above = (
        np.stack([np.interp(steps, (0, 0.6, 1), of) for of in zip(_ZERO, *ends, strict=True)], 1)
        for ends in (_BELOW, _ABOVE)
    )
    colours = np.concatenate([below[:0:-1], above, np.zeros((1, 3))])
    palette: npt.NDArray[np.uint8] = np.rint(colours).astype(np.uint8)
    return palette

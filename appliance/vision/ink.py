"""Frame to ink: the lighting taken out, strokes bright on black whatever they were drawn with."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.reading import Array, Grey
from appliance.vision.components import Labels, Place, regions
from appliance.vision.filters import closed, highest, median, smoothed
from appliance.vision.ruled_lines import without_rules

LONGEST = 400
"""No side of the picture that is searched is longer than this, in pixels."""
WIDEST = 0.22
"""No stroke is wider than this share of the picture's longer side; what is wider is ground."""
NARROW = 0.05
"""Most strokes are not even so wide; a finger's shadow is."""
_FEWEST = 12
"""The strokes of the smallest digit have more firm pixels than this…"""
_SMALLEST = 40
"""…and about so many, with the pen's edges."""
_LEAST_CONTRAST = 0.07
_LEAST_OVER_NOISE = 5.0
_STEPS = 16
_SHADE_STEPS, _SHADE_SHARE = 8, 0.35
"""Of a region's 16 steps of depth, a shadow has one of the first eight, and this share of it…"""
_STRONG_STEPS, _STRONG_SHARE = 11, 0.015
"""…and the strokes that lie in it have those from here on, and this share."""
_NEAR = 0.06
"""A stroke is as strong as its deepest pixel in a window this share of the longer side wide…"""
_FADED = 0.5
"""…but no weaker than this share of the way from the floor to the whole region's strength."""


class Ink(NamedTuple):
    """What is drawn on a picture: `ink` float32 (h, w), 0 = paper, 1 = stroke.

    `depth` is how far each pixel stands out from the `ground` float32 (h, w), as a share of it (of
    white for light strokes on a dark ground); `strength` how far the strokes around it do, 0 where
    there are none, so that faint pencil beside a thick marker, or a stroke's fading end, is ink as
    well; `floor` how far bare ground does, or a shadow that the strokes lie in: all 0…1. `dark`
    tells the polarity, dark on light or light on dark, and `sure` whether the picture leaves no
    doubt of it.
    """

    ink: Array
    depth: Array
    ground: Array
    strength: Array
    floor: Array
    dark: bool
    sure: bool

    @property
    def blank(self) -> bool:
        """Whether nothing stands out from the ground."""
        return not self.strength.any()


def reduction(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many rows and columns of a frame go into one pixel of the reduced picture."""
    step = -(-max(shape) // LONGEST)
    return min(step, shape[0]), min(step, shape[1])


def reduced(grey: Grey, steps: tuple[int, int]) -> Array:
    """Return a frame uint8 (h, w) as float32 in 0…1, averaged over blocks of `steps` pixels.

    What is less than one block at the right and the bottom is left off.
    """
    down, across = steps
    height, width = grey.shape[0] // down, grey.shape[1] // across
    blocks = grey[: height * down, : width * across]
    total = np.zeros((height, width), np.uint32)
    for y in range(down):
        for x in range(across):
            total += blocks[y::down, x::across]
    picture: Array = total.astype(np.float32)
    picture *= np.float32(1 / (255 * down * across))
    return picture


def find_ink(picture: Array, *, dark: bool | None = None, widest: float = WIDEST) -> Ink:
    """Return the ink on a picture float32 (h, w) in 0…1; `dark` says the polarity, if it is known.

    The ground under dark strokes is the picture's grey closing with a window wider than any stroke
    (for light strokes: its opening): `widest`, a share of the picture's longer side. It follows
    shadows and their edges, closer the narrower it is.
    """
    smooth = smoothed(picture, 0.8)
    sure = True
    if dark is None:
        dark, sure = polarity(smooth)
    window = max(5, round(widest * max(picture.shape))) | 1
    ground = closed(smooth, window, light=dark)
    depth = _depth(smooth, ground, dark)
    noise = float(np.median(depth))
    lowest = max(0.5 * _LEAST_CONTRAST, 3 * noise)
    found = regions(depth > lowest)
    without = without_rules(depth, *found)
    if without is not depth:
        depth, found = without, regions(without > lowest)
    strength, floor = _by_region(depth, *found, noise)
    # Where the pen is lifted or a light glares a stroke fades: it is as strong as what is near.
    near = highest(depth, round(_NEAR * max(picture.shape)) | 1)
    strokes = np.flatnonzero(strength > 0)
    most, least = strength.ravel()[strokes], floor.ravel()[strokes]
    least += np.float32(_FADED) * (most - least)
    strength.ravel()[strokes] = np.clip(near.ravel()[strokes], least, most)
    return Ink(_normalised(depth, strength, floor), depth, ground, strength, floor, dark, sure)


def closer(seen: Ink, grey: Grey, box: tuple[int, int, int, int], steps: tuple[int, int]) -> Array:
    """Return the ink in a box of the reduced picture, in the frame's own pixels, float32 0…1.

    `grey` uint8 (h, w) is the frame that `seen` is the ink of, `steps` how it was reduced. A small
    digit has too few pixels on the reduced picture.
    """
    x0, y0, x1, y1 = box
    down, across = steps
    own = grey[y0 * down : y1 * down, x0 * across : x1 * across].astype(np.float32)
    own *= np.float32(1 / 255)
    smooth = smoothed(own, 0.8)
    inside = slice(y0, y1), slice(x0, x1)
    ground, strength, floor = (
        array.repeat(down, axis=0).repeat(across, axis=1)
        for array in (
            seen.ground[inside],
            # A stroke's edge may reach into a pixel that has none of it on the reduced picture.
            highest(seen.strength[inside], 3),
            highest(seen.floor[inside], 3),
        )
    )
    return _normalised(_depth(smooth, ground, seen.dark), strength, floor)


def _depth(picture: Array, ground: Array, dark: bool) -> Array:
    if dark:
        # Ink takes away a share of the light: the same share in a shadow as in the sun.
        depth: Array = ground - picture
        depth /= np.maximum(ground, np.float32(0.05))
        return depth
    return picture - ground


def _by_region(
    depth: Array, labels: Labels, places: list[Place], noise: float
) -> tuple[Array, Array]:
    """Return strength and floor (h, w) of the ink, of each region of what stands out.

    A region's strength is the mean of its pixels that are more than half as deep as its deepest.
    Where more than a third of a region is of nearly the same depth and much less deep than the
    rest, that is a shadow in which the strokes lie, and the floor is above it.
    """
    count = len(places)
    inside = np.flatnonzero(labels > 0)
    where, flat = labels.ravel()[inside], depth.ravel()[inside]
    deepest = np.zeros(count + 1, np.float32)
    np.maximum.at(deepest, where, flat)
    # np.bincount takes a number of the machine's own width alone: on ARMv6 that has 32 bits.
    bins = np.minimum((flat * (_STEPS / deepest[where])).astype(np.intp), _STEPS - 1)
    histogram = np.bincount(where * _STEPS + bins, minlength=(count + 1) * _STEPS)
    shade = _shades(histogram.reshape(count + 1, _STEPS)) * deepest

    core = flat > np.maximum(np.float32(0.5) * deepest, shade)[where]
    pixels = np.bincount(where[core], minlength=count + 1)
    sums = np.bincount(where[core], weights=flat[core], minlength=count + 1)
    strengths = (sums / np.maximum(pixels, 1)).astype(np.float32)
    strengths[strengths < max(_LEAST_CONTRAST, _LEAST_OVER_NOISE * noise)] = 0
    strengths[pixels < _FEWEST] = 0
    strengths[0] = 0
    floors = np.maximum(np.maximum(np.float32(2 * noise), np.float32(0.15) * strengths), shade)
    strength, floor = np.zeros_like(depth), np.full_like(depth, floors[0])
    strength.ravel()[inside], floor.ravel()[inside] = strengths[where], floors[where]
    return strength, floor


def _shades(histogram: npt.NDArray[np.intp]) -> Array:
    """Return up to which share of its depth each region (n,) is a shadow, by its depths (n, steps).

    Two peaks with a valley between them are a shadow and the strokes in it; a stroke's own soft
    edge is a slope.
    """
    total = np.maximum(histogram.sum(axis=1), 1)
    alike = (histogram[:, :-2] + histogram[:, 1:-1] + histogram[:, 2:])[:, :_SHADE_STEPS]
    # The middle one of the three commonest depths that lie side by side.
    common = alike.argmax(axis=1) + 1
    strong = histogram[:, _STRONG_STEPS:].sum(axis=1)
    below = np.cumsum(histogram, axis=1)[np.arange(len(histogram)), common + 1]
    valley = (total - strong - below) / np.maximum(_STRONG_STEPS - common - 2, 1)
    found = (
        (alike.max(axis=1) > _SHADE_SHARE * total)
        & (strong > _STRONG_SHARE * total)
        & (valley < strong / (_STEPS - _STRONG_STEPS))
    )
    shades: Array = np.where(found, (common + 2.5) / _STEPS, 0).astype(np.float32)
    return shades


def _normalised(depth: Array, strength: Array, floor: Array) -> Array:
    """Return depths as ink: 0 up to the floor, 1 from the strength on; 0 where there is none."""
    strokes = np.flatnonzero(strength > 0)
    floors = floor.ravel()[strokes]
    over = depth.ravel()[strokes] - floors
    over /= np.maximum(strength.ravel()[strokes] - floors, np.float32(1e-3))
    ink: Array = np.zeros_like(depth)
    ink.ravel()[strokes] = np.clip(over, 0, 1)
    return ink


def polarity(picture: Array) -> tuple[bool, bool]:
    """Tell whether strokes are darker than the ground of a picture (h, w), and if that is sure.

    Compares how far the darkest and the lightest pixels, as many as the smallest digit has, lie
    from the local median: the ground's grey wherever strokes cover less than half of a wide window.
    """
    longest = max(1, max(picture.shape) // 16)
    down, across = (min(longest, side) for side in picture.shape)
    coarse = picture[down // 2 :: down, across // 2 :: across]
    ground = median(coarse, int(0.7 * max(coarse.shape)) | 1)
    for axis, step in enumerate((down, across)):
        along = np.arange(picture.shape[axis], dtype=np.intp) // step
        many = np.bincount(np.minimum(along, ground.shape[axis] - 1))
        ground = ground.repeat(many, axis)
    away = (picture - ground).ravel()
    few = min(_SMALLEST, len(away) - 1)
    ordered = np.partition(away, (few, len(away) - 1 - few))
    darkest, lightest = -float(ordered[few]), float(ordered[-1 - few])
    return darkest >= lightest, max(darkest, lightest) > 2 * min(darkest, lightest)

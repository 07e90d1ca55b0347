"""Frame to ink: the lighting removed, strokes bright on black whatever they were drawn with."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.reading import Array, Box, Grey
from appliance.vision.components import Labels, Slices, label_components
from appliance.vision.filters import closing, dilate, gaussian, median, opening
from appliance.vision.ruled_lines import remove_ruled_lines

LONGEST_SIDE = 400
"""A frame is downsampled until no side is longer than this, in pixels."""
WIDEST_STROKE = 0.22
"""The widest stroke, as a share of the picture's longer side; what is wider counts as ground."""
NARROW_STROKE = 0.05
"""Most strokes are narrower than this share of the longer side; a finger's shadow is wider."""
_SIGMA = 0.8
"""Standard deviation in pixels of the Gaussian that takes the camera's noise away."""
_LEAST_GROUND = 0.05
"""Contrast is divided by at least this much ground: in deep shadow noise would be strong ink."""
_LEAST_CORE_PIXELS = 12
"""A stroke has at least this many core pixels, those with half its greatest contrast or more."""
_SMALLEST_DIGIT = 40
"""Pixels of the strokes of the smallest digit, soft edges included."""
_LEAST_CONTRAST = 0.07
"""Strokes have at least this contrast on a picture without noise…"""
_LEAST_OVER_NOISE = 5.0
"""…and at least this many times the noise, the median contrast of the whole picture."""
_BINS = 16
"""A component's contrasts are counted in this many bins, up to its greatest contrast."""
_SHADOW_BINS, _SHADOW_SHARE = 8, 0.35
"""A shadow's contrasts peak in one of the first eight bins, with this share of all pixels…"""
_STROKE_BIN, _STROKE_SHARE = 11, 0.015
"""…and the strokes that lie in it fill the bins from this one on, with at least this share."""
_NEIGHBOURHOOD = 0.06
"""A stroke is as strong as its greatest contrast in a window this share of the longer side wide…"""
_FADED = 0.5
"""…but no weaker than this share of the way from the floor to the whole component's strength."""


class InkMaps(NamedTuple):
    """The ink on a picture, and what it was measured by; all arrays are float32 (h, w) in 0…1.

    `ink`: 0 = paper, 1 = stroke. `ground`: the grey that the picture would have without strokes.
    `contrast`: how far a pixel stands out from the ground, as a share of the ground (dark strokes)
    or of white (light strokes). `strength`: the contrast of the strokes around a pixel, 0 where
    there are none; measured locally, so that faint pencil beside a thick marker and the fading end
    of a stroke are ink too. `floor`: the contrast of bare ground, or of a shadow in which strokes
    lie. `dark`: whether strokes are darker than the ground; `polarity_sure`: whether the picture
    leaves no doubt of that.
    """

    ink: Array
    contrast: Array
    ground: Array
    strength: Array
    floor: Array
    dark: bool
    polarity_sure: bool

    @property
    def blank(self) -> bool:
        """Whether nothing stands out from the ground."""
        return not self.strength.any()


def reduction_factors(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many rows and columns of a frame (h, w) are averaged into one reduced pixel."""
    factor = -(-max(shape) // LONGEST_SIDE)
    return min(factor, shape[0]), min(factor, shape[1])


def downsample(grey: Grey, factors: tuple[int, int]) -> Array:
    """Return a frame uint8 (h, w) as float32 in 0…1, each pixel the mean of a block of `factors`.

    An incomplete block at the right or the bottom is left out.
    """
    down, across = factors
    height, width = grey.shape[0] // down, grey.shape[1] // across
    blocks = grey[: height * down, : width * across]
    total = np.zeros((height, width), np.uint32)
    for y in range(down):
        for x in range(across):
            total += blocks[y::down, x::across]
    picture: Array = total.astype(np.float32)
    picture *= np.float32(1 / (255 * down * across))
    return picture


def find_ink(
    picture: Array, *, dark: bool | None = None, widest_stroke: float = WIDEST_STROKE
) -> InkMaps:
    """Return the ink on a picture float32 (h, w) in 0…1; `dark` is the polarity, if it is known.

    The ground under dark strokes is the picture's grey closing with a window wider than any stroke
    (`widest_stroke`, a share of the longer side), under light strokes its opening. It follows
    shadows and their edges; the narrower the window, the closer.
    """
    smooth = gaussian(picture, _SIGMA)
    polarity_sure = True
    if dark is None:
        dark, polarity_sure = find_polarity(smooth)
    window = max(5, round(widest_stroke * max(picture.shape))) | 1
    ground = closing(smooth, window) if dark else opening(smooth, window)
    contrast = _contrast(smooth, ground, dark)
    noise = float(np.median(contrast))
    threshold = max(0.5 * _LEAST_CONTRAST, 3 * noise)
    components = label_components(contrast > threshold)
    unruled = remove_ruled_lines(contrast, *components)
    if unruled is not contrast:
        contrast, components = unruled, label_components(unruled > threshold)
    strength, floor = _measure_components(contrast, *components, noise)
    # Where the pen is lifted or a light glares a stroke fades: its strength is local.
    nearby = dilate(contrast, round(_NEIGHBOURHOOD * max(picture.shape)) | 1)
    strokes = np.flatnonzero(strength > 0)
    most, least = strength.ravel()[strokes], floor.ravel()[strokes]
    least += np.float32(_FADED) * (most - least)
    strength.ravel()[strokes] = np.clip(nearby.ravel()[strokes], least, most)
    ink = _normalise(contrast, strength, floor)
    return InkMaps(ink, contrast, ground, strength, floor, dark, polarity_sure)


def refine_ink(maps: InkMaps, grey: Grey, box: Box, factors: tuple[int, int]) -> Array:
    """Return the ink in a box of the reduced picture at the frame's full resolution.

    A small digit has too few pixels on the reduced picture. `grey` uint8 (h, w) is the frame that
    `maps` were made from, `factors` how it was reduced. The result is float32 in 0…1, `factors`
    times as high and wide as the box.
    """
    x0, y0, x1, y1 = box
    down, across = factors
    full = grey[y0 * down : y1 * down, x0 * across : x1 * across].astype(np.float32)
    full *= np.float32(1 / 255)
    smooth = gaussian(full, _SIGMA)
    inside = slice(y0, y1), slice(x0, x1)
    ground, strength, floor = (
        array.repeat(down, axis=0).repeat(across, axis=1)
        for array in (
            maps.ground[inside],
            # A stroke's edge may reach into a pixel that has none of it on the reduced picture.
            dilate(maps.strength[inside], 3),
            dilate(maps.floor[inside], 3),
        )
    )
    return _normalise(_contrast(smooth, ground, maps.dark), strength, floor)


def _contrast(picture: Array, ground: Array, dark: bool) -> Array:
    if dark:
        # Ink absorbs a share of the light: the same share in a shadow as in the sun.
        contrast: Array = ground - picture
        contrast /= np.maximum(ground, np.float32(_LEAST_GROUND))
        return contrast
    return picture - ground


def _measure_components(
    contrast: Array, labels: Labels, boxes: list[Slices], noise: float
) -> tuple[Array, Array]:
    """Return strength and floor (h, w) of the ink, constant within each component.

    A component's strength is the mean contrast of its core: the pixels with more than half of its
    greatest contrast. Where a shadow touches strokes, both are one component with two peaks of
    contrast; the floor is then above the shadow's.
    """
    count = len(boxes)
    inside = np.flatnonzero(labels > 0)
    label, flat = labels.ravel()[inside], contrast.ravel()[inside]
    greatest = np.zeros(count + 1, np.float32)
    np.maximum.at(greatest, label, flat)
    # np.bincount takes integers of the machine's own width alone: 32 bits on ARMv6.
    bins = np.minimum((flat * (_BINS / greatest[label])).astype(np.intp), _BINS - 1)
    histogram = np.bincount(label * _BINS + bins, minlength=(count + 1) * _BINS)
    shadow = _shadow_levels(histogram.reshape(count + 1, _BINS)) * greatest

    core = flat > np.maximum(np.float32(0.5) * greatest, shadow)[label]
    pixels = np.bincount(label[core], minlength=count + 1)
    sums = np.bincount(label[core], weights=flat[core], minlength=count + 1)
    strengths = (sums / np.maximum(pixels, 1)).astype(np.float32)
    strengths[strengths < max(_LEAST_CONTRAST, _LEAST_OVER_NOISE * noise)] = 0
    strengths[pixels < _LEAST_CORE_PIXELS] = 0
    strengths[0] = 0
    floors = np.maximum(np.maximum(np.float32(2 * noise), np.float32(0.15) * strengths), shadow)
    strength, floor = np.zeros_like(contrast), np.full_like(contrast, floors[0])
    strength.ravel()[inside], floor.ravel()[inside] = strengths[label], floors[label]
    return strength, floor


def _shadow_levels(histogram: npt.NDArray[np.intp]) -> Array:
    """Return up to which share of its greatest contrast each component (n,) is a shadow; 0 if none.

    `histogram` (n, bins) counts each component's contrasts. Two peaks with a valley between them
    are a shadow and the strokes in it; the soft edge of a stroke alone is a slope.
    """
    total = np.maximum(histogram.sum(axis=1), 1)
    triples = (histogram[:, :-2] + histogram[:, 1:-1] + histogram[:, 2:])[:, :_SHADOW_BINS]
    peak = triples.argmax(axis=1) + 1
    strokes = histogram[:, _STROKE_BIN:].sum(axis=1)
    up_to_peak = np.cumsum(histogram, axis=1)[np.arange(len(histogram)), peak + 1]
    valley = (total - strokes - up_to_peak) / np.maximum(_STROKE_BIN - peak - 2, 1)
    has_shadow = (
        (triples.max(axis=1) > _SHADOW_SHARE * total)
        & (strokes > _STROKE_SHARE * total)
        & (valley < strokes / (_BINS - _STROKE_BIN))
    )
    levels: Array = np.where(has_shadow, (peak + 2.5) / _BINS, 0).astype(np.float32)
    return levels


def _normalise(contrast: Array, strength: Array, floor: Array) -> Array:
    """Return contrast as ink: 0 up to the floor, 1 from the strength on; 0 off the strokes."""
    strokes = np.flatnonzero(strength > 0)
    floors = floor.ravel()[strokes]
    over = contrast.ravel()[strokes] - floors
    over /= np.maximum(strength.ravel()[strokes] - floors, np.float32(1e-3))
    ink: Array = np.zeros_like(contrast)
    ink.ravel()[strokes] = np.clip(over, 0, 1)
    return ink


def find_polarity(picture: Array) -> tuple[bool, bool]:
    """Return whether strokes are darker than the ground of a picture (h, w), and if that is sure.

    The ground is the median of a wide window: right wherever strokes cover less than half of it.
    Compared are the darkest and the lightest deviations from it, over as many pixels as the
    smallest digit has.
    """
    step = max(1, max(picture.shape) // 16)
    down, across = (min(step, side) for side in picture.shape)
    coarse = picture[down // 2 :: down, across // 2 :: across]
    ground = median(coarse, int(0.7 * max(coarse.shape)) | 1)
    for axis, factor in enumerate((down, across)):
        cell = np.arange(picture.shape[axis], dtype=np.intp) // factor
        lengths = np.bincount(np.minimum(cell, ground.shape[axis] - 1))
        ground = ground.repeat(lengths, axis)
    deviation = (picture - ground).ravel()
    few = min(_SMALLEST_DIGIT, len(deviation) - 1)
    ordered = np.partition(deviation, (few, len(deviation) - 1 - few))
    darkest, lightest = -float(ordered[few]), float(ordered[-1 - few])
    return darkest >= lightest, max(darkest, lightest) > 2 * min(darkest, lightest)

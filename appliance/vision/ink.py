"""Frame to ink: the lighting taken out, strokes bright on black whatever they were drawn with."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from appliance.reading import Array, Grey

LONGEST = 400
"""No side of the picture that is searched is longer than this, in pixels."""
_STROKE_SHARE = 0.22
"""No stroke is wider than this share of the picture's longer side; what is wider is ground."""
_FEWEST = 30
"""The strokes of the smallest digit have more pixels than this."""
_LEAST_CONTRAST = 0.07
_LEAST_OVER_NOISE = 5.0


@dataclass(frozen=True)
class Ink:
    """What is drawn on a picture: `ink` float32 (h, w), 0 = paper, 1 = stroke.

    `contrast` is how far the strokes stand out from the ground, as a share of it (of white for
    light strokes on a dark ground), `noise` how far the bare ground does: both 0…1.
    """

    ink: Array
    contrast: float
    noise: float

    @property
    def blank(self) -> bool:
        """Whether nothing stands out from the ground."""
        return self.contrast < max(_LEAST_CONTRAST, _LEAST_OVER_NOISE * self.noise)


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
    blocks = grey[: height * down, : width * across].reshape(height, down, width, across)
    picture: Array = blocks.mean(axis=(1, 3), dtype=np.float32)
    picture *= np.float32(1 / 255)
    return picture


def find_ink(picture: Array) -> Ink:
    """Return the ink on a picture float32 (h, w) in 0…1.

    The ground under dark strokes is the picture's grey closing with a window wider than any stroke
    (for light strokes: its opening); it follows shadows and their edges.
    """
    smooth = ndimage.gaussian_filter(picture, 0.8, mode="nearest")
    window = max(5, round(_STROKE_SHARE * max(picture.shape))) | 1
    # With the edge repeated outwards, paper between a stroke and the edge is not taken for narrow.
    wide = np.pad(smooth, window, mode="edge")
    inside = slice(window, -window), slice(window, -window)
    if dark_on_light(smooth):
        ground = ndimage.grey_closing(wide, (window, window))[inside]
        # Ink takes away a share of the light: the same share in a shadow as in the sun.
        depth = (ground - smooth) / np.maximum(ground, np.float32(0.05))
    else:
        depth = smooth - ndimage.grey_opening(wide, (window, window))[inside]
    noise = float(np.median(depth))
    # By their number and not by their share: a small digit far away is no less ink.
    strong = np.partition(depth, -_FEWEST, axis=None)[-_FEWEST] if depth.size > _FEWEST else 0.0
    strongest = depth[depth > 0.5 * strong]
    contrast = float(np.percentile(strongest, 60)) if strongest.size else 0.0
    floor = max(2.0 * noise, 0.15 * contrast)
    span = max(contrast - floor, 1e-3)
    ink = np.clip((depth - np.float32(floor)) / np.float32(span), 0, 1)
    return Ink(ink.astype(np.float32, copy=False), contrast, noise)


def dark_on_light(picture: Array) -> bool:
    """Tell dark strokes on a light ground from light on dark: the ground is what there is most of.

    Compares how far the darkest and the lightest hundredth of the pixels lie from the local median,
    which is the ground's grey wherever strokes cover less than half of a wide window.
    """
    longest = max(1, max(picture.shape) // 24)
    down, across = (min(longest, side) for side in picture.shape)
    coarse = picture[down // 2 :: down, across // 2 :: across]
    ground = ndimage.median_filter(coarse, int(0.7 * max(coarse.shape)) | 1, mode="nearest")
    rows = np.minimum(np.arange(picture.shape[0]) // down, ground.shape[0] - 1)
    columns = np.minimum(np.arange(picture.shape[1]) // across, ground.shape[1] - 1)
    darkest, lightest = np.percentile(picture - ground[np.ix_(rows, columns)], (1, 99))
    return bool(-darkest >= lightest)

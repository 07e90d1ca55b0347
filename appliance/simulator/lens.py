"""What a small camera does to a picture: exposure, focus, shake, noise and compression."""

from functools import lru_cache

import numpy as np
from scipy import ndimage

from appliance.reading import Array, Grey

# The luminance table of the JPEG standard (ITU-T T.81, annex K, table K.1).
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


def exposed(picture: Array, strength: float, rng: np.random.Generator) -> Array:
    """Return a picture exposed too long or too short, as the generator decides."""
    gain = 1 + 1.6 * strength if rng.random() < 0.5 else 0.06**strength
    result: Array = np.clip(picture * np.float32(gain), 0, 1)
    return result


def defocused(picture: Array, sigma: float) -> Array:
    """Return a picture blurred by `sigma` pixels."""
    blurred: Array = ndimage.gaussian_filter(picture, sigma, mode="nearest", truncate=3.0)
    return blurred


def shaken(picture: Array, length: float, degrees: float) -> Array:
    """Return a picture that moved by `length` pixels along `degrees` while it was taken."""
    angle = np.deg2rad(degrees)
    reach = int(np.ceil(length / 2))
    if reach < 1:
        return picture
    steps = np.linspace(-length / 2, length / 2, int(np.ceil(length)) + 1)
    wide = np.pad(picture, reach, mode="edge")
    height, width = picture.shape
    total = np.zeros_like(picture)
    for step in steps:
        x, y = reach + round(step * np.cos(angle)), reach + round(step * np.sin(angle))
        total += wide[y : y + height, x : x + width]
    total *= np.float32(1 / len(steps))
    return total


def noisy(picture: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Return a picture with a sensor's noise, whose deviation is `sigma` of white."""
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise *= np.float32(sigma)
    noise += picture
    return noise


def digitised(picture: Array) -> Grey:
    """Return a picture in 0…1 as uint8, what is beyond white or black cut off."""
    scaled = picture * np.float32(255) + np.float32(0.5)
    grey: Grey = np.clip(scaled, 0, 255).astype(np.uint8)
    return grey


def compressed(picture: Array, quality: float) -> Array:
    """Return a picture in 0…1 as a JPEG of `quality` 1…100 keeps it: 8×8 cosines, rounded."""
    height, width = picture.shape
    padded = np.pad(picture, ((0, -height % 8), (0, -width % 8)), mode="edge")
    down, across = padded.shape[0] // 8, padded.shape[1] // 8
    cosines = _cosines()
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    table = np.maximum(_LUMINANCE * np.float32(scale), 1) / np.float32(255)
    # Whole rows and columns of blocks at a time: two large products instead of many small ones.
    rows = cosines @ (padded - np.float32(0.5)).reshape(down, 8, across * 8)
    blocks = rows.reshape(-1, 8) @ cosines.T
    blocks = blocks.reshape(down, 8, across, 8)
    steps = table[None, :, None, :]
    blocks = np.rint(blocks / steps) * steps
    rows = (blocks.reshape(-1, 8) @ cosines).reshape(down, 8, across * 8)
    back = (cosines.T @ rows).reshape(padded.shape) + np.float32(0.5)
    kept: Array = back[:height, :width]
    return kept


@lru_cache(maxsize=1)
def _cosines() -> Array:
    """Return the orthonormal 8×8 matrix of the discrete cosine transform."""
    k = np.arange(8)
    matrix = np.cos(np.pi / 8 * (k[None, :] + 0.5) * k[:, None]) / 2
    matrix[0] /= np.sqrt(2)
    cosines: Array = matrix.astype(np.float32)
    return cosines

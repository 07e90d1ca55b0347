"""The lens and what follows it: exposure, defocus, motion blur, sensor noise, JPEG.

All pictures are greys float32 (h, w), 0 = black, 1 = white.
"""

from functools import lru_cache

import numpy as np
from scipy import ndimage

from appliance.reading import Array, Grey

# The luminance quantisation table of the JPEG standard (ITU-T T.81, annex K, table K.1).
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


def apply_exposure(picture: Array, strength: float, rng: np.random.Generator) -> Array:
    """Return a picture exposed too long or too short, as `rng` decides; `strength` is 0…1."""
    gain = 1 + 1.6 * strength if rng.random() < 0.5 else 0.06**strength
    result: Array = np.clip(picture * np.float32(gain), 0, 1)
    return result


def apply_defocus(picture: Array, sigma: float) -> Array:
    """Return a picture out of focus: blurred by a Gaussian of `sigma` pixels."""
    blurred: Array = ndimage.gaussian_filter(picture, sigma, mode="nearest", truncate=3.0)
    return blurred


def apply_motion_blur(picture: Array, length: float, degrees: float) -> Array:
    """Return a picture during which the camera moved by `length` pixels along `degrees`."""
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


def add_noise(picture: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Return a picture with the sensor's noise, of standard deviation `sigma`."""
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise *= np.float32(sigma)
    noise += picture
    return noise


def quantise(picture: Array) -> Grey:
    """Return a picture as uint8 (h, w), clipped to black and white."""
    scaled = picture * np.float32(255) + np.float32(0.5)
    grey: Grey = np.clip(scaled, 0, 255).astype(np.uint8)
    return grey


def apply_jpeg(picture: Array, quality: float) -> Array:
    """Return a picture as a JPEG of `quality` 1…100 shows it: its 8×8 DCT, quantised."""
    height, width = picture.shape
    padded = np.pad(picture, ((0, -height % 8), (0, -width % 8)), mode="edge")
    down, across = padded.shape[0] // 8, padded.shape[1] // 8
    cosines = _dct_matrix()
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    table = np.maximum(_LUMINANCE * np.float32(scale), 1) / np.float32(255)
    # Whole rows and columns of blocks at a time: two large matrix products, not many small ones.
    rows = cosines @ (padded - np.float32(0.5)).reshape(down, 8, across * 8)
    blocks = rows.reshape(-1, 8) @ cosines.T
    blocks = blocks.reshape(down, 8, across, 8)
    steps = table[None, :, None, :]
    blocks = np.rint(blocks / steps) * steps
    rows = (blocks.reshape(-1, 8) @ cosines).reshape(down, 8, across * 8)
    back = (cosines.T @ rows).reshape(padded.shape) + np.float32(0.5)
    decoded: Array = back[:height, :width]
    return decoded


@lru_cache(maxsize=1)
def _dct_matrix() -> Array:
    """Return the orthonormal 8×8 matrix of the discrete cosine transform."""
    k = np.arange(8)
    matrix = np.cos(np.pi / 8 * (k[None, :] + 0.5) * k[:, None]) / 2
    matrix[0] /= np.sqrt(2)
    cosines: Array = matrix.astype(np.float32)
    return cosines

"""Augmentation: random variations of the training digits, a whole batch at once."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from model.layers import Array

SIDE = 28
SMOOTHNESS = 4.0
"""The standard deviation in pixels of the Gaussian that makes an elastic field smooth."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Vary each glyph of a batch a little: its place, shape and stroke, noise and gaps.

    Ranges are the largest change either way, and 0 for none: rotation in `degrees`, `shear` per
    row, `scale` as a share of the size, `shift` in pixels, `elastic` pixels of root-mean-square
    displacement (Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks",
    2003, whose α of 34 is 1.4 pixels), `stroke` 0…1 of one pixel's dilation or erosion, `noise` the
    standard deviation of what is added to each pixel, and `erase` the share of glyphs that lose a
    rectangle of up to a third of each side. `sharpen` is the largest weight of the
    unsharp mask (pixel minus the mean of its four neighbours): interpolation blurs, and what is
    read later is as sharp as a scan.
    """

    degrees: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    stroke: float = 0.0
    noise: float = 0.0
    erase: float = 0.0
    sharpen: float = 0.0

    def __call__(
        self, glyphs: Array, rng: np.random.Generator, strength: Array | None = None
    ) -> Array:
        """Return varied copies of glyphs (n, 784) in 0…1, the same shape and range.

        `strength` (n,) in 0…1 scales the ranges of the geometry and the stroke for each glyph.
        """
        pictures: Array = glyphs.reshape(-1, SIDE, SIDE)
        if strength is None:
            strength = np.ones(len(pictures), np.float32)
        if self.degrees or self.shear or self.scale or self.shift or self.elastic:
            pictures = self._warp(pictures, rng, strength)
        if self.stroke:
            pictures = self._change_stroke(pictures, rng, strength)
        if self.sharpen:
            amount = rng.random((len(pictures), 1, 1), dtype=np.float32)
            amount *= np.float32(self.sharpen)
            pictures = pictures + amount * (pictures - sum(_neighbours(pictures)) / np.float32(4))
            np.clip(pictures, 0, 1, out=pictures)
        if self.noise:
            grain: Array = rng.standard_normal(pictures.shape, dtype=np.float32)
            grain *= np.float32(self.noise) * rng.random((len(grain), 1, 1), dtype=np.float32)
            grain += pictures
            np.clip(grain, 0, 1, out=grain)
            pictures = grain
        if self.erase:
            pictures = self._erase(pictures, rng)
        return pictures.reshape(len(glyphs), SIDE * SIDE)

    def _warp(self, pictures: Array, rng: np.random.Generator, strength: Array) -> Array:
        n = len(pictures)

        def uniform(largest: float) -> Array:
            return (rng.random(n, dtype=np.float32) * 2 - 1) * np.float32(largest) * strength

        angle, shear = np.deg2rad(uniform(self.degrees)), uniform(self.shear)
        width, height = 1 + uniform(self.scale), 1 + uniform(self.scale)
        right, down = uniform(self.shift), uniform(self.shift)
        # Where each output pixel comes from: rotate, shear and scale about the middle, then shift.
        middle = np.float32((SIDE - 1) / 2)
        y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32).reshape(2, 1, -1) - middle
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        u: Array = (cos * x + sin * y) * width[:, None]
        v: Array = (cos * y - sin * x) * height[:, None]
        u += shear[:, None] * v + right[:, None] + middle
        v += down[:, None] + middle
        if self.elastic:
            smoothing = _gaussian(SMOOTHNESS)
            white: Array = rng.standard_normal((2, n, SIDE, SIDE), dtype=np.float32)
            field: Array = np.matmul(np.matmul(smoothing, white), smoothing.T)
            field *= np.float32(self.elastic) * strength[:, None, None]
            u += field[0].reshape(n, -1)
            v += field[1].reshape(n, -1)
        return _bilinear(pictures, u, v).reshape(n, SIDE, SIDE)

    def _change_stroke(self, pictures: Array, rng: np.random.Generator, strength: Array) -> Array:
        amount = rng.random((len(pictures), 1, 1), dtype=np.float32) * 2 - 1
        amount *= np.float32(self.stroke) * strength[:, None, None]
        cross = _neighbours(pictures)
        thicker = np.maximum.reduce([pictures, *cross])
        thinner = np.minimum.reduce([pictures, *cross])
        towards = np.where(amount > 0, thicker, thinner)
        changed: Array = pictures + np.abs(amount) * (towards - pictures)
        return changed

    def _erase(self, pictures: Array, rng: np.random.Generator) -> Array:
        n = len(pictures)
        size = rng.random((2, n, 1), dtype=np.float32) * np.float32(SIDE / 3)
        start = rng.random((2, n, 1), dtype=np.float32) * (SIDE - size)
        places = np.arange(SIDE, dtype=np.float32)
        rows, columns = (places >= start) & (places < start + size)
        chosen = rng.random((n, 1, 1), dtype=np.float32) < self.erase
        lost = rows[:, :, None] & columns[:, None, :] & chosen
        erased: Array = np.where(lost, np.float32(0), pictures)
        return erased


def _neighbours(pictures: Array) -> tuple[Array, Array, Array, Array]:
    """Return the pixels above, below, left and right of each of pictures (n, 28, 28)."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)))
    return (
        padded[:, :-2, 1:-1],
        padded[:, 2:, 1:-1],
        padded[:, 1:-1, :-2],
        padded[:, 1:-1, 2:],
    )


def rotate(glyphs: Array, degrees: float, background: float = 0.0) -> Array:
    """Rotate glyphs (n, 784) anticlockwise as the book does; outside them is `background`.

    Source: T. Rashid, "Make Your Own Neural Network", part 3, through `scipy.ndimage.rotate`.
    """
    # A night does without scipy, which takes 27 MB of a Pi Zero's memory.
    from scipy import ndimage

    turned: Array = ndimage.rotate(
        glyphs.reshape(-1, SIDE, SIDE),
        degrees,
        axes=(1, 2),
        reshape=False,
        order=1,
        cval=background,
    )
    return turned.reshape(glyphs.shape)


@lru_cache(maxsize=1)
def _gaussian(deviation: float) -> Array:
    """Return the (28, 28) matrix that smooths white noise along an axis and keeps its variance."""
    places = np.arange(SIDE, dtype=np.float32)
    kernel: Array = np.exp(-((places[:, None] - places) ** 2) / np.float32(2 * deviation**2))
    kernel /= np.sqrt((kernel**2).sum(axis=1, keepdims=True))
    return kernel


def _bilinear(pictures: Array, u: Array, v: Array) -> Array:
    """Sample each picture (n, 28, 28) at columns u and rows v (n, 784); outside is 0."""
    # Two pixels of dark margin: a clipped coordinate then reads zeros on every side.
    side = SIDE + 4
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2))).reshape(len(pictures) * side * side)
    u = np.clip(u + 2, 0, side - 2)
    v = np.clip(v + 2, 0, side - 2)
    column, row = u.astype(np.int32), v.astype(np.int32)
    u -= column
    v -= row
    corner = row * side + column
    corner += np.arange(len(pictures), dtype=np.int32)[:, None] * (side * side)
    top = padded[corner] * (1 - u) + padded[corner + 1] * u
    bottom = padded[corner + side] * (1 - u) + padded[corner + side + 1] * u
    result: Array = top * (1 - v) + bottom * v
    return result

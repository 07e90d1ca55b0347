"""Training digits drawn a little differently each time, a whole batch at once."""

import numpy as np

from model.layers import Array

SIDE = 28


class Augment:
    """Random rotation, shear, scale and shift of each glyph, then a thinner or thicker stroke.

    Ranges are the largest change either way: degrees, shear per row, a share of the size, pixels,
    and 0…1 of one pixel's dilation or erosion.
    """

    def __init__(
        self,
        *,
        degrees: float,
        shear: float,
        scale: float,
        shift: float,
        stroke: float,
    ) -> None:
        self.degrees, self.shear, self.scale = degrees, shear, scale
        self.shift, self.stroke = shift, stroke

    def __call__(self, glyphs: Array, rng: np.random.Generator) -> Array:
        """Return changed copies of glyphs (n, 784) in 0…1, the same shape and range."""
        pictures = glyphs.reshape(-1, SIDE, SIDE)
        pictures = self._affine(pictures, rng)
        pictures = self._stroke(pictures, rng)
        return pictures.reshape(len(glyphs), SIDE * SIDE)

    def _affine(self, pictures: Array, rng: np.random.Generator) -> Array:
        n = len(pictures)

        def drawn(largest: float) -> Array:
            return (rng.random(n, dtype=np.float32) * 2 - 1) * np.float32(largest)

        angle, shear = np.deg2rad(drawn(self.degrees)), drawn(self.shear)
        wide, high = 1 + drawn(self.scale), 1 + drawn(self.scale)
        right, down = drawn(self.shift), drawn(self.shift)
        # Where each output pixel comes from: rotate, shear and scale about the middle, then shift.
        middle = np.float32((SIDE - 1) / 2)
        y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32).reshape(2, 1, -1) - middle
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        u = (cos * x + sin * y) * wide[:, None]
        v = (cos * y - sin * x) * high[:, None]
        u += shear[:, None] * v + right[:, None] + middle
        v += down[:, None] + middle
        return _bilinear(pictures, u, v).reshape(n, SIDE, SIDE)

    def _stroke(self, pictures: Array, rng: np.random.Generator) -> Array:
        amount = (rng.random((len(pictures), 1, 1), dtype=np.float32) * 2 - 1) * np.float32(
            self.stroke
        )
        padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)))
        cross = (
            padded[:, :-2, 1:-1],
            padded[:, 2:, 1:-1],
            padded[:, 1:-1, :-2],
            padded[:, 1:-1, 2:],
        )
        thicker = np.maximum.reduce([pictures, *cross])
        thinner = np.minimum.reduce([pictures, *cross])
        towards = np.where(amount > 0, thicker, thinner)
        changed: Array = pictures + np.abs(amount) * (towards - pictures)
        return changed


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

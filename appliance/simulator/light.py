"""The light on a sheet: gradient, vignette, folds, shadow and glare."""

from functools import lru_cache

import numpy as np

from appliance.reading import Array


def render_light(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    gradient: float,
    vignette: float,
    folds: float,
) -> Array:
    """Return the light on each pixel, float32 (h, w), 1 = all of it: what changes slowly.

    `gradient`, `vignette` and `folds` (of the paper) are strengths 0…1.
    """
    height, width = shape
    longest = max(shape)
    y, x = (
        (np.linspace(0, side, max(2, side // 4), dtype=np.float32) - side / 2) / np.float32(longest)
        for side in (height, width)
    )
    y, x = y[:, None], x[None, :]
    light = np.ones((len(y), x.shape[1]), np.float32)
    if gradient:
        angle = rng.uniform(0, 2 * np.pi)
        ramp = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
        ramp -= ramp.min()
        light -= np.float32(0.85 * gradient) * ramp / ramp.max()
    if vignette:
        squares = x * x + y * y
        light *= 1 - np.float32(0.8 * vignette) * squares / squares.max()
    if folds:
        relief = np.zeros_like(light)
        for _ in range(int(rng.integers(8, 16))):
            angle = rng.uniform(0, 2 * np.pi)
            off = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
            off -= np.float32(rng.uniform(-0.45, 0.45))
            reach = np.float32(rng.uniform(0.02, 0.2))
            relief += np.float32(rng.uniform(0.3, 1)) * np.sign(off) * np.exp(-np.abs(off) / reach)
        light *= np.clip(1 + np.float32(0.22 * folds) * relief, 0.35, 1.25)
    return upsample(light, (height, width))


def render_shadow(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> Array:
    """Return the light that a hard-edged shadow leaves, float32 (h, w), 1 = all of it."""
    height, width = shape
    y, x = (np.linspace(0, side, max(2, side // 4), dtype=np.float32) for side in (height, width))
    y, x = y[:, None], x[None, :]
    longest = max(shape)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.float32(np.cos(angle)) * (x - width / 2) + np.float32(np.sin(angle)) * (
        y - height / 2
    )
    along = np.float32(np.cos(angle)) * (y - height / 2) - np.float32(np.sin(angle)) * (
        x - width / 2
    )
    inside = across - np.float32(rng.uniform(-0.2, 0.3) * longest)
    if rng.random() < 0.4:
        # A hand's: fingers of different lengths reach in from the shadow's edge.
        pitch = rng.uniform(0.09, 0.16) * longest
        place = along / np.float32(pitch) + np.float32(rng.uniform(0, 4))
        lengths = np.zeros(6, np.float32)
        lengths[1:5] = rng.uniform(0.15, 0.4, 4) * longest
        finger = lengths[np.clip(np.floor(place).astype(int) + 1, 0, 5)]
        bow = 1 - (2 * (place % 1) - 1) ** 2
        inside += finger * np.sqrt(np.maximum(bow, 0))
    soft = rng.uniform(0.004, 0.04) * longest
    share: Array = np.clip(upsample(inside, (height, width)) * np.float32(1 / soft) + 0.5, 0, 1)
    share *= np.float32(-0.75 * strength)
    share += np.float32(1)
    return share


def render_glare(
    shape: tuple[int, ...],
    box: tuple[int, int, int, int] | None,
    strength: float,
    rng: np.random.Generator,
) -> Array:
    """Return the light that a shiny spot near the writing in `box` adds, float32 (h, w)."""
    height, width = shape
    x0, y0, x1, y1 = box or (width // 3, height // 3, 2 * width // 3, 2 * height // 3)
    half = max(float(np.hypot(x1 - x0, y1 - y0)) / 2, 1.0)
    angle = rng.uniform(0, 2 * np.pi)
    away = half * (1.5 - 0.9 * strength)
    middle = (x0 + x1) / 2 + away * np.cos(angle), (y0 + y1) / 2 + away * np.sin(angle)
    reach = half * (0.3 + 0.3 * strength) * rng.uniform(0.8, 1.3)
    stretch = rng.uniform(0.6, 1.6)
    row = np.exp(-(((np.arange(width) - middle[0]) / (reach * stretch)) ** 2))
    column = np.exp(-(((np.arange(height) - middle[1]) / reach) ** 2))
    spot: Array = np.outer(column * (0.3 + 1.2 * strength), row).astype(np.float32)
    return spot


def upsample(coarse: Array, shape: tuple[int, int]) -> Array:
    """Return a coarse field at a larger `shape`, interpolated linearly."""
    down, across = (
        _interpolation_matrix(side, own) for side, own in zip(shape, coarse.shape, strict=True)
    )
    tall: Array = down @ coarse
    result: Array = tall @ across.T
    return result


@lru_cache(maxsize=64)
def _interpolation_matrix(length: int, knots: int) -> Array:
    """Return the (length, knots) matrix that interpolates linearly between the knots."""
    places = np.linspace(0, knots - 1, length)
    off = np.abs(places[:, None] - np.arange(knots)[None, :])
    return np.asarray(np.maximum(0, 1 - off), np.float32)

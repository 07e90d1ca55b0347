"""Pictures without a sheet: grass, bricks, cloth, wood, edges, a hand, things in soft light."""

import numpy as np
from scipy import ndimage

from appliance.reading import Array
from appliance.simulator.light import upsample

TEXTURES = "grass", "bricks", "cloth", "wood"


def render_texture(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return greys float32 (h, w) in 0…1 of one of TEXTURES, "edges", "hand" or "natural"."""
    renderers = {
        "grass": _render_grass,
        "bricks": _render_bricks,
        "cloth": _render_cloth,
        "wood": _render_wood,
        "edges": _render_edges,
        "hand": _render_hand,
        "natural": _render_natural,
    }
    picture: Array = np.clip(renderers[kind](shape, rng), 0.02, 0.98).astype(np.float32)
    return picture


def pink_noise(shape: tuple[int, int], rng: np.random.Generator, finest: int = 2) -> Array:
    """Return 1/f noise float32 (h, w), deviation about 1: octaves down to `finest` pixels."""
    total = np.zeros(shape, np.float32)
    size = max(shape)
    while size > finest:
        knots = (max(2, -(-shape[0] // size) + 1), max(2, -(-shape[1] // size) + 1))
        total += upsample(rng.standard_normal(knots, dtype=np.float32), shape) * np.float32(
            (size / max(shape)) ** 0.5
        )
        size //= 2
    return total


def _render_grass(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    noise = rng.standard_normal(shape, dtype=np.float32)
    scale = max(shape) / 640
    blades = ndimage.gaussian_filter(noise, (rng.uniform(3, 9) * scale, rng.uniform(0.6, 1.6)))
    blades /= max(float(blades.std()), 1e-6)
    x = np.arange(shape[1])[None, :]
    bend = np.rint(rng.uniform(-0.6, 0.6) * np.arange(shape[0]))[:, None].astype(int)
    blades = np.take_along_axis(blades, (x + bend) % shape[1], axis=1)
    contrast = np.float32(rng.uniform(0.06, 0.16))
    return (
        np.float32(rng.uniform(0.3, 0.6))
        + contrast * blades
        + np.float32(0.05) * pink_noise(shape, rng)
    )


def _render_bricks(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    tall = max(6.0, shape[0] * rng.uniform(0.06, 0.3))
    wide, joint = tall * rng.uniform(1.6, 3.2), max(1.0, tall * rng.uniform(0.04, 0.16))
    y, x = (np.arange(side, dtype=np.float32) + np.float32(rng.uniform(0, wide)) for side in shape)
    row = np.floor(y / tall).astype(int)
    places = x[None, :] + (row % 2)[:, None] * np.float32(wide / 2)
    column = np.floor(places / wide).astype(int)
    tones = rng.normal(0, 0.07, (64, 64)).astype(np.float32)
    wall = np.float32(rng.uniform(0.3, 0.65)) + tones[row[:, None] % 64, column % 64]
    mortar = np.float32(rng.choice([rng.uniform(0.7, 0.85), rng.uniform(0.1, 0.25)]))
    gaps = np.maximum((y % tall < joint)[:, None], places % wide < joint)
    picture: Array = np.where(gaps, mortar, wall) + np.float32(0.03) * pink_noise(shape, rng)
    return picture


def _render_cloth(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    pitch = max(2.5, max(shape) * rng.uniform(0.006, 0.05))
    angle = rng.uniform(0, np.pi)
    y, x = np.ogrid[: shape[0], : shape[1]]
    waves = np.float32(0.4) * pink_noise(shape, rng, 16)
    u = ((np.cos(angle) * x + np.sin(angle) * y) / pitch).astype(np.float32) + waves
    v = ((np.cos(angle) * y - np.sin(angle) * x) / pitch).astype(np.float32) + waves
    weave = np.sin(2 * np.pi * u) * rng.uniform(0.3, 1) + np.sin(2 * np.pi * v) * rng.uniform(0, 1)
    if rng.random() < 0.4:
        weave = np.sign(weave)
    contrast = np.float32(rng.uniform(0.04, 0.2))
    picture: Array = np.float32(rng.uniform(0.3, 0.7)) + contrast * weave.astype(np.float32)
    return picture


def _render_wood(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    if rng.random() < 0.5:
        y, x = x, y
    rings = y / np.float32(max(shape) * rng.uniform(0.02, 0.08))
    rings += np.float32(rng.uniform(0.6, 2)) * pink_noise(shape, rng, 32) + x * np.float32(0.002)
    grain = np.abs(rings % 1 - np.float32(0.5)) * 2
    contrast = np.float32(rng.uniform(0.08, 0.3))
    fine = np.float32(0.02) * rng.standard_normal(shape, dtype=np.float32)
    ground = np.float32(rng.uniform(0.35, 0.65))
    picture: Array = ground + contrast * (grain - np.float32(0.5)) + fine
    return picture


def _render_edges(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return corners of sheets on a table, bars, or blinds: straight edges, many of them long."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    longest = max(shape)
    picture = np.full(shape, rng.uniform(0.1, 0.6), np.float32)
    picture += np.float32(0.02) * pink_noise(shape, rng, 8)
    blinds = rng.random() < 0.3
    tilt = rng.uniform(0, np.pi)
    if blinds:
        pitch = longest * rng.uniform(0.04, 0.2)
        off = (np.cos(tilt) * x + np.sin(tilt) * y) / pitch
        slats = np.clip((np.abs(off % 1 - 0.5) - rng.uniform(0.1, 0.3)) * pitch * 2, 0, 1)
        picture += np.float32(rng.uniform(0.2, 0.5)) * slats.astype(np.float32)
        return picture
    for _ in range(int(rng.integers(1, 5))):
        angle = tilt + rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.1)
        across = np.cos(angle) * (x - rng.uniform(0, shape[1])) + np.sin(angle) * (
            y - rng.uniform(0, shape[0])
        )
        along = np.cos(angle) * (y - rng.uniform(0, shape[0])) - np.sin(angle) * (
            x - rng.uniform(0, shape[1])
        )
        # A sheet's corner, or a bar of some width.
        far = along if rng.random() < 0.6 else longest * rng.uniform(0.01, 0.12) - across
        share = np.clip(np.minimum(across, far) + 0.5, 0, 1).astype(np.float32)
        picture += (np.float32(rng.uniform(0.05, 0.95)) - picture) * share
    return picture


def _render_hand(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return a palm with fingers that reaches in from a border, over paper or a table."""
    height, width = shape
    size = min(shape) * rng.uniform(0.35, 0.8)
    y, x = np.ogrid[:height, :width]
    side = rng.uniform(0, 2 * np.pi)
    middle_x = width / 2 - np.cos(side) * width * rng.uniform(0.15, 0.5)
    middle_y = height / 2 - np.sin(side) * height * rng.uniform(0.15, 0.5)
    wrist = middle_x - np.cos(side) * size, middle_y - np.sin(side) * size
    depth = _depth_in_capsule(x, y, wrist, (middle_x, middle_y), 0.3 * size)
    spread = rng.uniform(0.12, 0.3)
    for finger in range(int(rng.integers(1, 6))):
        angle = side + (finger - 2) * spread + rng.normal(0, 0.05)
        root = (
            middle_x - np.sin(side) * (finger - 2) * 0.13 * size,
            middle_y + np.cos(side) * (finger - 2) * 0.13 * size,
        )
        length = size * rng.uniform(0.35, 0.75)
        tip = root[0] + np.cos(angle) * length, root[1] + np.sin(angle) * length
        depth = np.maximum(
            depth, _depth_in_capsule(x, y, root, tip, size * rng.uniform(0.06, 0.085))
        )
    paper = np.float32(rng.choice([rng.uniform(0.7, 0.95), rng.uniform(0.1, 0.5)]))
    skin = np.float32(rng.uniform(0.25, 0.75))
    round_off = np.sqrt(np.clip(depth / (0.08 * size), 0.15, 1)).astype(np.float32)
    share = np.clip(depth + 0.5, 0, 1).astype(np.float32)
    ground = paper + np.float32(0.02) * pink_noise(shape, rng, 4)
    hand: Array = ground + (skin * round_off - ground) * share
    return hand


def _render_natural(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return things of all sizes over one another, sharp or blurred, each in its own light."""
    height, width = shape
    picture = np.float32(rng.uniform(0.2, 0.8)) + np.float32(0.08) * pink_noise(shape, rng)
    y, x = (side.astype(np.float32) for side in np.ogrid[:height, :width])
    for _ in range(int(rng.integers(3, 14))):
        size = max(shape) * float(np.exp(rng.uniform(np.log(0.03), np.log(0.4))))
        angle = rng.uniform(0, np.pi)
        off_x, off_y = x - np.float32(rng.uniform(0, width)), y - np.float32(rng.uniform(0, height))
        along, down = np.float32(np.cos(angle) / size), np.float32(np.sin(angle) / size)
        u = along * off_x + down * off_y
        v = (along * off_y - down * off_x) * np.float32(1 / rng.uniform(0.15, 1))
        uu, vv = u * u, v * v
        # An ellipse, or a box with round corners.
        boxy = rng.random() < 0.3
        radius = np.cbrt(uu * uu * uu + vv * vv * vv) if boxy else uu + vv
        radius = np.sqrt(radius)
        soft = size / 2 if rng.random() < 0.6 else size / rng.uniform(3, 20)
        share = np.clip((1 - radius) * soft + 0.5, 0, 1) * rng.uniform(0.4, 1)
        shade = rng.uniform(0.05, 0.95) + rng.normal(0, 0.15) * u + rng.normal(0, 0.15) * v
        picture += ((shade - picture) * share).astype(np.float32)
    return picture


def _depth_in_capsule(
    x: Array, y: Array, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Array:
    """Return how many pixels deep each place is in a rod with round ends; negative outside."""
    across, down = end[0] - start[0], end[1] - start[1]
    t = ((x - start[0]) * across + (y - start[1]) * down) / max(across * across + down * down, 1e-6)
    t = np.clip(t, 0, 1)
    inside = radius - np.hypot(x - start[0] - t * across, y - start[1] - t * down)
    depth: Array = inside.astype(np.float32)
    return depth

"""Simulated photographs with their labels: one digit, several, or none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from appliance.reading import Array, Box, Grey
from appliance.simulator import textures
from appliance.simulator.handwriting import LETTERS, SIGNS, Stroke, render_handwriting
from appliance.simulator.lens import quantise
from appliance.simulator.paper import (
    Conditions,
    choose_viewpoint,
    project_points,
    render_seen_sheet,
    warp_cover,
)

SHAPE = 480, 640
Writing = Array | list[Stroke]
"""A digit to write: a scan float32 (n, n) in 0…1, ink bright, or strokes."""

NOISES = "uniform", "gaussian", "salt-and-pepper"
NO_DIGIT_KINDS = (
    "blank", "letters", "word", "signs", "scribble", "doodle",
    *textures.TEXTURES, "edges", "hand", "natural", *NOISES,
)  # fmt: skip
"""The kinds of photographs without a digit."""


@dataclass(frozen=True)
class Scene:
    """A photograph uint8 (h, w), its digits in reading order, and the tight box of each digit."""

    grey: Grey
    digits: tuple[int, ...]
    boxes: tuple[Box, ...]


def render_digit(
    digit: int,
    writing: Writing,
    conditions: Conditions,
    rng: np.random.Generator,
    shape: tuple[int, int] = SHAPE,
) -> Scene:
    """Return a photograph of one digit near the middle."""
    height = shape[0] * digit_size(conditions)
    ink = shrink_to_fit(render_ink(writing, rng, conditions, height), shape)
    place = tuple(
        round((side - own) * rng.uniform(0.25, 0.75))
        for side, own in zip(shape, ink.shape, strict=True)
    )
    return compose_scene([digit], [ink], [(place[0], place[1])], conditions, rng, shape, height)


def render_sheet(
    digits: Sequence[int],
    writings: Sequence[Writing],
    conditions: Conditions,
    rng: np.random.Generator,
    shape: tuple[int, int] = SHAPE,
) -> Scene:
    """Return a photograph of 2 to 12 digits that do not touch, in one to three rows.

    They are in reading order: rows from the top, each from the left. The digits are as high as
    their rows allow, less with `small`. Raises ValueError for another number of digits.
    """
    if not 2 <= len(digits) <= 12 or len(writings) != len(digits):
        raise ValueError(f"{len(digits)} digits on one sheet: from 2 to 12, each with its writing")
    least = -(-len(digits) // 5)
    rows = int(rng.integers(least, min(3, max(least, len(digits) // 2)) + 1))
    counts = [len(row) for row in np.array_split(np.arange(len(digits)), rows)]
    rng.shuffle(counts)
    row_height = shape[0] / rows
    cell = shape[1] / max(counts)
    most = min(0.62 * row_height, 0.8 * cell)
    share = rng.uniform(0.6, 0.95) if not conditions.large else 1.0
    height = max(most * share * (0.3**conditions.small), 0.05 * shape[0])
    inks, places = [], []
    at = 0
    for row, count in enumerate(counts):
        baseline = row_height * (row + 0.5)
        # A row of few is as wide as a person would write it, not spread over the sheet.
        pitch = min(shape[1] / count, height * rng.uniform(1.15, 1.7))
        pitch = max(pitch, min(cell, 1.1 * height))
        start = (shape[1] - pitch * count) * rng.uniform(0.1, 0.9)
        for column in range(count):
            ink = render_ink(writings[at], rng, conditions, height * rng.uniform(0.88, 1.08))
            ink = shrink_to_fit(ink, (int(row_height * 0.8), int(pitch * 0.86)), margin=0)
            free = pitch - ink.shape[1]
            x = start + pitch * column + free / 2 + rng.uniform(-0.3, 0.3) * (free - 0.1 * pitch)
            y = baseline - ink.shape[0] / 2 + rng.uniform(-0.05, 0.05) * row_height
            inks.append(ink)
            places.append((max(0, round(y)), max(0, round(x))))
            at += 1
    return compose_scene(digits, inks, places, conditions, rng, shape, height)


def render_no_digit(
    kind: str,
    conditions: Conditions,
    rng: np.random.Generator,
    shape: tuple[int, int] = SHAPE,
) -> Scene:
    """Return a photograph without a digit; raises ValueError for a `kind` not in NO_DIGIT_KINDS."""
    if kind in NOISES:
        return Scene(_render_noise(kind, rng, shape), (), ())
    unit = shape[0] * digit_size(conditions)
    if kind in ("blank", "letters", "word", "signs", "scribble", "doodle"):
        inks, places = _place_signs(kind, conditions, rng, shape, unit)
        return compose_scene((), inks, places, conditions, rng, shape, unit)
    if kind not in NO_DIGIT_KINDS:
        raise ValueError(f"no kind '{kind}': one of {', '.join(NO_DIGIT_KINDS)}")
    ground = textures.render_texture(kind, shape, rng)
    cover = np.zeros(shape, np.float32)
    grey = render_seen_sheet(cover, None, conditions, rng, unit=0.3 * shape[0], ground=ground)
    return Scene(grey, (), ())


def digit_size(conditions: Conditions) -> float:
    """Return a digit's height as a share of the picture's: usually 2/5; 1/20 small, 9/10 large."""
    return float(0.4 * (0.05 / 0.4) ** conditions.small * (0.9 / 0.4) ** conditions.large)


def pen_width(conditions: Conditions, rng: np.random.Generator) -> float:
    """Return the pen's width as a share of the digit's height: about 8 %, or thinner or thicker."""
    usual = 0.08 * rng.uniform(0.8, 1.25)
    return float(usual * 3 ** (conditions.thick - conditions.thin))


def render_ink(
    writing: Writing, rng: np.random.Generator, conditions: Conditions, height: float
) -> Array:
    """Return how a digit `height` pixels high covers the sheet: float32 (h, w) in 0…1, cropped."""
    pen = max(1.0, pen_width(conditions, rng) * height)
    if isinstance(writing, list):
        return render_handwriting(
            writing, rng, height=max(height - pen, 4), pen=pen, wobble=rng.uniform(0.2, 1),
            slant=rng.normal(0.06, 0.1), aspect=rng.uniform(0.75, 1.3),
        )  # fmt: skip
    return enlarge_scan(writing, rng, height, conditions.thick - conditions.thin)


def enlarge_scan(
    scan: Array, rng: np.random.Generator, height: float, weight: float = 0.0
) -> Array:
    """Return a scan float32 (n, n) in 0…1 enlarged to `height` pixels, with sharp strokes again.

    The result float32 (h, w) in 0…1 is cropped to its ink; `weight` makes the strokes thicker (up
    to 1) or thinner (down to -1). A blank scan gives one blank pixel.
    """
    rows, columns = (np.flatnonzero(scan.max(axis=axis) > 0.2) for axis in (1, 0))
    if not rows.size:
        return np.zeros((1, 1), np.float32)
    inner = scan[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # By its width too: a flat bar of a few pixels would become a wall.
    scale = height / max(inner.shape[0], 0.6 * inner.shape[1])
    inner = np.pad(inner, 2)
    tall, wide = (max(3, round(side * scale)) for side in inner.shape)
    # Resampled smoothly and then given a steep contrast, a scan has strokes with an edge.
    large = _spline_matrix(tall, inner.shape[0]) @ inner @ _spline_matrix(wide, inner.shape[1]).T
    threshold = 0.43 - 0.1 * abs(weight) + rng.uniform(-0.07, 0.07)
    large -= np.float32(threshold)
    large *= np.float32(0.45 * scale + 1)
    cover: Array = np.clip(large + np.float32(0.5), 0, 1)
    if weight > 0.15:
        cover = _thicken(cover, 0.08 * height * (weight - 0.15))
    elif weight < -0.15:
        cover = _thin(cover, -weight - 0.15)
    return trim(cover)


def trim(cover: Array) -> Array:
    """Return a cover cropped to its ink, or one blank pixel."""
    rows, columns = (np.flatnonzero(cover.max(axis=axis) > 0.02) for axis in (1, 0))
    if not rows.size:
        return np.zeros((1, 1), np.float32)
    return cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def shrink_to_fit(ink: Array, shape: tuple[int, int], margin: int = 4) -> Array:
    """Return ink scaled down, if need be, to fit into `shape` with `margin` pixels around it."""
    scale = max(own / max(side - 2 * margin, 1) for own, side in zip(ink.shape, shape, strict=True))
    if scale <= 1:
        return ink
    tall, wide = (max(1, int(side / scale)) for side in ink.shape)
    result: Array = ndimage.zoom(ink, (tall / ink.shape[0], wide / ink.shape[1]), order=1)
    return result


def join_inks(inks: Sequence[Array], overlap: int) -> Array:
    """Return inks side by side, each moved left until it overlaps the one before by `overlap`."""
    total = inks[0]
    for ink in inks[1:]:
        tall = max(len(total), len(ink))
        # Letters stand on one line.
        left = np.pad(total, ((tall - len(total), 0), (0, 0)))
        right = np.pad(ink, ((tall - len(ink), 0), (0, 0)))
        ends = np.where(left > 0.5, np.arange(left.shape[1]), -left.shape[1]).max(axis=1)
        starts = np.where(right > 0.5, np.arange(right.shape[1]), 2 * right.shape[1]).min(axis=1)
        x = max(0, int((ends - starts).max()) + 1 - overlap)
        wide = max(left.shape[1], x + right.shape[1])
        total = np.zeros((tall, wide), np.float32)
        total[:, : left.shape[1]] = left
        np.maximum(total[:, x : x + right.shape[1]], right, out=total[:, x : x + right.shape[1]])
    return total


def draw_scribble(rng: np.random.Generator) -> list[Stroke]:
    """Return random strokes to and fro, in a box about 1 high."""
    count = int(rng.integers(8, 22))
    kind = rng.integers(3)
    t = np.linspace(0, 1, count)
    if kind == 0:
        points = rng.uniform(0, 1, (count, 2)) * (rng.uniform(0.8, 1.8), 1)
    elif kind == 1:
        # Hatching: to and fro, slowly moving on.
        points = np.stack([t * rng.uniform(0.6, 1.4), np.arange(count) % 2], axis=1)
        points += rng.normal(0, 0.06, points.shape)
    else:
        angle = np.arange(count) * rng.uniform(1.2, 2.4)
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(
            0.25, 0.6, (count, 1)
        )
        points[:, 0] += t * rng.uniform(0, 1.5)
    return [[(float(x), float(y)) for x, y in points]]


def draw_doodle(rng: np.random.Generator) -> list[Stroke]:
    """Return one to three random winding strokes that are no sign of any alphabet."""
    strokes = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))):
        place = rng.uniform(0, 1, 2) * (0.7, 1)
        heading, turn = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.6)
        stroke = [(float(place[0]), float(place[1]))]
        for _ in range(int(rng.integers(5, 11))):
            heading += turn + rng.normal(0, 0.3)
            if rng.random() < 0.2:
                # The pen turns back, or begins to bend another way.
                heading += rng.choice([-1, 1]) * rng.uniform(0.8, 2.6)
                turn = rng.normal(0, 0.6)
            place = place + rng.uniform(0.12, 0.32) * np.array([np.cos(heading), np.sin(heading)])
            stroke.append((float(place[0]), float(place[1])))
        strokes.append(stroke)
    return strokes


def render_sign(
    kind: str, rng: np.random.Generator, conditions: Conditions, height: float
) -> Array:
    """Return a random sign of a `kind` that is no digit: float32 (about `height`, w) in 0…1.

    `kind` is "letters", "word", "signs", "scribble" or "doodle".
    """
    pen = max(1.0, pen_width(conditions, rng) * height)

    def write(strokes: list[Stroke], tall: float, slant: float = 0.1) -> Array:
        return render_handwriting(
            strokes, rng, height=max(tall - pen, 4), pen=pen, wobble=rng.uniform(0.2, 1),
            slant=slant, aspect=rng.uniform(0.75, 1.3),
        )  # fmt: skip

    letters = list(LETTERS.values())
    slant = rng.normal(0.08, 0.12)
    if kind == "scribble":
        return write(draw_scribble(rng), height)
    if kind == "doodle":
        return write(draw_doodle(rng), height)
    if kind == "signs":
        signs = list(SIGNS.values())
        return write(signs[rng.integers(len(signs))], height, slant)
    if kind == "letters":
        return write(letters[rng.integers(len(letters))], height, slant)
    chosen = rng.integers(len(letters), size=int(rng.integers(3, 8)))
    tall = height * rng.uniform(0.45, 0.8)
    inks = [write(letters[i], tall * rng.uniform(0.85, 1.1), slant) for i in chosen]
    return join_inks(inks, max(1, round(rng.uniform(0, 0.7) * pen)))


def _place_signs(
    kind: str,
    conditions: Conditions,
    rng: np.random.Generator,
    shape: tuple[int, int],
    unit: float,
) -> tuple[list[Array], list[tuple[int, int]]]:
    """Return the inks of a sheet without a digit, and their places (y, x)."""
    if kind == "blank":
        return [], []
    count = 1 if rng.random() < 0.5 else int(rng.integers(2, 5))
    inks, places = [], []
    for i in range(count):
        cell = shape[0], shape[1] // count
        ink = shrink_to_fit(render_sign(kind, rng, conditions, unit / count**0.5), cell)
        y, x = (
            int(rng.uniform(0.2, 0.8) * (side - own))
            for side, own in zip(cell, ink.shape, strict=True)
        )
        inks.append(ink)
        places.append((y, x + i * cell[1]))
    return inks, places


def compose_scene(
    digits: Sequence[int],
    inks: list[Array],
    places: list[tuple[int, int]],
    conditions: Conditions,
    rng: np.random.Generator,
    shape: tuple[int, int],
    unit: float,
) -> Scene:
    """Return the photograph of inks at their places (y, x), with a box for each of the `digits`.

    `unit` is the height of a digit in pixels. Ink that would leave the picture is moved into it.
    """
    cover = np.zeros(shape, np.float32)
    points = []
    for ink, (y, x) in zip(inks, places, strict=True):
        y, x = min(y, shape[0] - ink.shape[0]), min(x, shape[1] - ink.shape[1])
        part = cover[y : y + ink.shape[0], x : x + ink.shape[1]]
        np.maximum(part, ink, out=part)
        rows, columns = np.nonzero(ink > 0.5)
        points.append((columns + x + 0.5, rows + y + 0.5))
    view = choose_viewpoint(cover, conditions, rng)
    grey = render_seen_sheet(warp_cover(cover, view), view, conditions, rng, unit=unit)
    boxes = []
    for place in points if len(digits) else []:
        across, down = project_points(view, place)
        x0, y0 = int(max(across.min() - 0.5, 0)), int(max(down.min() - 0.5, 0))
        x1, y1 = math.ceil(across.max() + 0.5), math.ceil(down.max() + 0.5)
        boxes.append((x0, y0, min(x1, shape[1]), min(y1, shape[0])))
    return Scene(grey, tuple(int(digit) for digit in digits), tuple(boxes))


def _render_noise(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    if kind == "uniform":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if kind == "gaussian":
        middle, spread = rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.4)
        noise = rng.standard_normal(shape, dtype=np.float32)
        return quantise(np.clip(noise * np.float32(spread) + np.float32(middle), 0, 1))
    thrown = rng.random(shape, dtype=np.float32)
    share = rng.uniform(0.02, 0.5)
    grey = np.full(shape, rng.integers(60, 220), np.uint8)
    grey[thrown < share / 2] = 0
    grey[thrown > 1 - share / 2] = 255
    return grey


def _thicken(cover: Array, by: float) -> Array:
    """Return a cover whose strokes are `by` pixels thicker on every side."""
    reach = int(by) + 2
    wide = np.pad(cover, reach)
    away = ndimage.distance_transform_edt(wide < 0.5).astype(np.float32)
    thicker: Array = np.maximum(wide, np.clip(np.float32(by + 0.5) - away, 0, 1))
    return thicker


def _thin(cover: Array, share: float) -> Array:
    """Return a cover whose strokes have lost `share` of 3/4 of their width, but no continuity."""
    inner = ndimage.distance_transform_edt(cover > 0.5).astype(np.float32)
    reach = 2 * int(inner.max()) + 1
    ridge = ndimage.gaussian_filter(ndimage.maximum_filter(inner, reach), reach / 4)
    kept = np.clip(inner - np.float32(0.75 * share) * ridge + np.float32(0.5), 0, 1)
    thinner: Array = kept * cover
    return thinner


@lru_cache(maxsize=256)
def _spline_matrix(length: int, knots: int) -> Array:
    """Return the (length, knots) matrix of a smooth interpolation: cubic B-splines."""
    places = (np.arange(length) + 0.5) * knots / length - 0.5
    off = np.abs(places[:, None] - np.arange(knots)[None, :])
    near, far = (4 - 6 * off**2 + 3 * off**3) / 6, np.maximum(2 - off, 0) ** 3 / 6
    matrix = np.where(off < 1, near, far)
    weights: Array = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights

"""Photograph simulator: sheet, light, lens.

A sheet with writing on it becomes a photograph, under conditions that are given. One generator
state gives one picture, bit for bit: the shipped network and the measured documents rest on them.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from appliance.reading import Array, Grey
from appliance.simulator import clutter
from appliance.simulator.lens import (
    add_noise,
    apply_defocus,
    apply_exposure,
    apply_jpeg,
    apply_motion_blur,
    quantise,
)
from appliance.simulator.light import render_glare, render_light, render_shadow, upsample

Homography = npt.NDArray[np.float64]
"""A 3×3 matrix that maps a point (x, y, 1) of the sheet to the photograph."""


@dataclass(frozen=True)
class Conditions:
    """How strong each factor is: 0 is none of it, at 1 a person can barely read.

    0.5 is an ordinary bad photograph. `FACTORS` says what each does. Raises ValueError for a
    strength out of range.
    """

    light: float = 0.0
    shadow: float = 0.0
    vignette: float = 0.0
    glare: float = 0.0
    colour: float = 0.0
    faint: float = 0.0
    thin: float = 0.0
    thick: float = 0.0
    small: float = 0.0
    large: float = 0.0
    tilt: float = 0.0
    slant: float = 0.0
    perspective: float = 0.0
    ruled: float = 0.0
    squared: float = 0.0
    dotted: float = 0.0
    crumpled: float = 0.0
    board: float = 0.0
    clutter: float = 0.0
    defocus: float = 0.0
    motion: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0
    exposure: float = 0.0

    def __post_init__(self) -> None:
        for name in FACTORS:
            strength = getattr(self, name)
            if not 0 <= strength <= 1:
                raise ValueError(f"{name} is {strength}: a strength is from 0 to 1")


FACTORS: dict[str, str] = {
    "light": "light from one side: up to 85 % of it is lost across the picture",
    "shadow": "a hard-edged shadow, straight or of a hand, that takes up to 75 % of the light",
    "vignette": "darker towards the corners, which lose up to 80 %",
    "glare": "a shiny spot, brighter and nearer to the digit, at 1 over it",
    "colour": "coloured paper: up to 65 % darker, with up to half of the pen's contrast gone",
    "faint": "a hard pencil: grainy, its contrast down to a tenth",
    "thin": "a fine pen: down to a third of the usual 8 % of the digit's height",
    "thick": "a marker: up to three times the usual 8 % of the digit's height",
    "small": "far away: the digit's height down from 2/5 to 1/20 of the picture's",
    "large": "near: the digit's height up from 2/5 to 9/10 of the picture's",
    "tilt": "the sheet turned by up to 25° to either side",
    "slant": "the hand leaning by up to 0.6 of the height to either side",
    "perspective": "the sheet seen from the side: one end up to twice as far away as the other",
    "ruled": "ruled paper, its lines up to half as dark as a pen",
    "squared": "squared paper, its lines up to half as dark as a pen",
    "dotted": "dotted paper, its dots up to as dark as a pen",
    "crumpled": "folds and creases whose sides differ by up to half of the light",
    "board": "chalk on a board: light on black, at 1 on middle grey with smears",
    "clutter": "the sheet's edge on a table, a pen, a finger beside the digit: more and darker",
    "defocus": "out of focus by up to 8 % of the digit's height (standard deviation)",
    "motion": "shaken along a line of up to 35 % of the digit's height",
    "noise": "the sensor's noise, with a deviation of up to 16 % of white",
    "jpeg": "compressed as a JPEG of quality from 95 down to 4",
    "exposure": "exposed up to 2.6 times too long or 16 times too short",
}
"""What each factor does from strength 0 to 1, one sentence each."""

# Probability of each factor in a photograph in the wild.
_PROBABILITY = {
    "light": 0.6, "shadow": 0.25, "vignette": 0.3, "glare": 0.1, "colour": 0.3, "faint": 0.25,
    "thin": 0.3, "thick": 0.25, "small": 0.25, "large": 0.25, "tilt": 0.5, "slant": 0.5,
    "perspective": 0.3, "clutter": 0.25, "defocus": 0.5, "motion": 0.2, "noise": 0.6, "jpeg": 0.5,
    "exposure": 0.25,
}  # fmt: skip
_SURFACES = "plain", "ruled", "squared", "dotted", "crumpled", "board"
_SURFACE_PROBABILITIES = 0.6, 0.1, 0.09, 0.04, 0.05, 0.12
# Factors that take contrast away; all of them together would leave nothing.
_DIMMING = "light", "shadow", "vignette", "glare", "colour", "faint", "noise", "exposure"
_MOST_DIMMING = 1.6
_OPPOSED = ("thin", "thick"), ("small", "large")


def random_conditions(rng: np.random.Generator, hardness: float = 0.6) -> Conditions:
    """Return a natural mix: one surface, a few factors of strength up to `hardness` 0…1."""
    factors = {
        name: float(rng.uniform(0.05, 1)) * hardness
        for name, probability in _PROBABILITY.items()
        if rng.random() < probability
    }
    for one, other in _OPPOSED:
        if one in factors and other in factors:
            del factors[one if rng.random() < 0.5 else other]
    dimming = sum(factors.get(name, 0.0) for name in _DIMMING)
    for name in _DIMMING:
        if name in factors:
            factors[name] *= min(1.0, _MOST_DIMMING * hardness / max(dimming, 1e-9))
    surface = str(rng.choice(_SURFACES, p=_SURFACE_PROBABILITIES))
    if surface != "plain":
        factors[surface] = float(rng.uniform(0.05, 1)) * hardness
    if surface == "board":
        # A blackboard is not lit like a sheet on a table, and chalk is not pencil.
        factors.pop("colour", None)
        factors.pop("faint", None)
    return replace(Conditions(), **factors)


def render_photograph(
    cover: Array, conditions: Conditions, rng: np.random.Generator, *, unit: float
) -> Grey:
    """Return a photograph uint8 (h, w), 0 = black, of a sheet with writing on it.

    `cover` float32 (h, w) in 0…1 is how much of each pixel the pen covers; `unit` is the height of
    a digit in pixels: the spacing of lines and the blur are measured in it. The factors `thin`,
    `thick`, `small` and `large` have no effect here: they are those of the writing itself.
    """
    view = choose_viewpoint(cover, conditions, rng)
    return render_seen_sheet(warp_cover(cover, view), view, conditions, rng, unit=unit)


def choose_viewpoint(
    cover: Array, conditions: Conditions, rng: np.random.Generator
) -> Homography | None:
    """Return the homography from sheet to photograph, or None for a view straight from above.

    The writing stays in the picture: the sheet is moved, or seen from further away.
    """
    if not (conditions.tilt or conditions.slant or conditions.perspective):
        return None
    height, width = cover.shape
    box = ink_box(cover) or (0, 0, width, height)
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    sides = rng.choice((-1.0, 1.0), 2)
    angle = np.deg2rad(25 * conditions.tilt * sides[0] * rng.uniform(0.8, 1))
    lean = 0.6 * conditions.slant * sides[1] * rng.uniform(0.8, 1)
    towards = rng.uniform(0, 2 * np.pi)
    depth = 0.66 * conditions.perspective / max(height, width)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    away = np.eye(3)
    away[2, :2] = depth * np.cos(towards), depth * np.sin(towards)
    shear = np.array([[1, -lean, 0], [0, 1, 0], [0, 0, 1]])
    view = _translation(*middle) @ away @ turn @ shear @ _translation(-middle[0], -middle[1])
    x, y = project_points(view, _corners(box))
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    room = np.array([width, height], np.float64)
    scale = min(1.0, *(0.94 * room / np.maximum(high - low, 1)))
    centre = (low + high) / 2
    half = (high - low) / 2 * scale
    moved = np.clip(centre, half + 0.03 * room, np.maximum(room - half - 0.03 * room, half))
    zoom = np.diag([scale, scale, 1.0])
    fitting: Homography = _translation(*moved) @ zoom @ _translation(-centre[0], -centre[1]) @ view
    return fitting


def warp_cover(cover: Array, view: Homography | None) -> Array:
    """Return a cover float32 (h, w) as it is seen from a viewpoint, in the same shape."""
    box = ink_box(cover, 0.02)
    if view is None or box is None:
        return cover
    x, y = project_points(view, _corners(box))
    height, width = cover.shape
    x0, x1 = max(0, int(x.min()) - 2), min(width, int(x.max()) + 3)
    y0, y1 = max(0, int(y.min()) - 2), min(height, int(y.max()) + 3)
    result = np.zeros_like(cover)
    if x0 >= x1 or y0 >= y1:
        return result
    rows, columns = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    u, v = _sheet_coordinates(view, columns, rows)
    ndimage.map_coordinates(cover, [v, u], output=result[y0:y1, x0:x1], order=1)
    return result


def project_points(
    view: Homography | None, places: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return where points (x, y) of the sheet are in the photograph."""
    if view is None:
        return places
    x, y, w = view @ np.stack([*places, np.ones_like(places[0])])
    return x / w, y / w


def ink_box(cover: Array, least: float = 0.5) -> tuple[int, int, int, int] | None:
    """Return the tight box (x0, y0, x1, y1) of the pixels covered by `least` or more, or None."""
    rows, columns = (np.flatnonzero(cover.max(axis=axis) >= least) for axis in (1, 0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def render_seen_sheet(
    cover: Array,
    view: Homography | None,
    conditions: Conditions,
    rng: np.random.Generator,
    *,
    unit: float,
    ground: Array | None = None,
) -> Grey:
    """Return the photograph uint8 (h, w) of a cover that is already projected by `view`.

    `ground` float32 (h, w) in 0…1, if given, is what the camera sees in place of a sheet.
    """
    box = ink_box(cover)
    if ground is None:
        picture = _apply_ink(_render_sheet(cover.shape, view, conditions, rng, unit), cover,
                              conditions, rng)  # fmt: skip
    else:
        picture = ground.astype(np.float32)
    if conditions.clutter:
        clutter.add_clutter(picture, box, conditions.clutter, rng)
    picture *= render_light(
        picture.shape,
        rng,
        gradient=conditions.light,
        vignette=conditions.vignette,
        folds=conditions.crumpled,
    )
    if conditions.shadow:
        picture *= render_shadow(picture.shape, conditions.shadow, rng)
    if conditions.glare:
        picture += render_glare(picture.shape, box, conditions.glare, rng)
    if conditions.exposure:
        picture = apply_exposure(picture, conditions.exposure, rng)
    if conditions.motion:
        picture = apply_motion_blur(picture, 0.35 * conditions.motion * unit, rng.uniform(0, 180))
    picture = apply_defocus(picture, float(np.hypot(0.5, 0.08 * conditions.defocus * unit)))
    sigma = 0.004 + 0.02 * conditions.noise + 0.136 * conditions.noise**2
    picture = np.clip(add_noise(picture, sigma, rng), 0, 1)
    if conditions.jpeg:
        picture = apply_jpeg(picture, 95 * (4 / 95) ** conditions.jpeg)
    return quantise(picture)


def _render_sheet(
    shape: tuple[int, ...],
    view: Homography | None,
    conditions: Conditions,
    rng: np.random.Generator,
    unit: float,
) -> Array:
    """Return the blank sheet or board, greys float32 (h, w) in 0…1."""
    height, width = shape
    if conditions.board:
        tone = rng.uniform(0.05, 0.14) + 0.36 * conditions.board
        smears = rng.standard_normal((5, 7), dtype=np.float32) * np.float32(0.09 * conditions.board)
        ground = np.float32(tone) + np.maximum(upsample(smears, (height, width)), -0.03)
    else:
        tone = rng.uniform(0.78, 0.94) * (1 - 0.65 * conditions.colour)
        ground = np.full((height, width), tone, np.float32)
    fibre = rng.standard_normal(((height + 1) // 2, (width + 1) // 2), dtype=np.float32)
    ground += np.float32(0.012) * fibre.repeat(2, 0).repeat(2, 1)[:height, :width]
    if not (conditions.ruled or conditions.squared or conditions.dotted):
        return ground
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    if view is not None:
        x, y = _sheet_coordinates(view, *np.broadcast_arrays(x, y))
    width_of_line = max(0.6, unit * rng.uniform(0.008, 0.02))
    # On a board the same lines are light.
    change = -0.5 if conditions.board else 1.0
    if conditions.ruled:
        spacing = unit * rng.uniform(0.45, 1.3)
        lines = _render_lines(y, spacing, rng.uniform(0, spacing), width_of_line)
        ground *= 1 - np.float32(change * (0.05 + 0.4 * conditions.ruled)) * lines
    if conditions.squared:
        spacing = unit * rng.uniform(0.22, 0.7)
        down = _render_lines(y, spacing, rng.uniform(0, spacing), width_of_line)
        across = _render_lines(x, spacing, rng.uniform(0, spacing), width_of_line)
        lines = np.maximum(down, across)
        ground *= 1 - np.float32(change * (0.05 + 0.4 * conditions.squared)) * lines
    if conditions.dotted:
        spacing = unit * rng.uniform(0.22, 0.6)
        size = max(1.4, unit * rng.uniform(0.02, 0.04))
        start = rng.uniform(0, spacing, 2)
        off_y, off_x = (
            _distance_to_lines(side, spacing, by) for side, by in zip((y, x), start, strict=True)
        )
        dots = np.clip(size / 2 + 0.5 - np.sqrt(off_y * off_y + off_x * off_x), 0, 1)
        ground *= 1 - np.float32(change * (0.1 + 0.6 * conditions.dotted)) * dots
    return ground


def _apply_ink(
    ground: Array, cover: Array, conditions: Conditions, rng: np.random.Generator
) -> Array:
    """Return a sheet with the writing on it, greys float32 (h, w) in 0…1."""
    depth = rng.uniform(0.65, 0.9) * (1 - 0.5 * conditions.colour)
    if conditions.faint:
        depth *= (0.11 / depth) ** conditions.faint
    grain = max(0.5 * conditions.faint, 0.25 if conditions.board else 0.0)
    if grain:
        rough = rng.standard_normal(cover.shape, dtype=np.float32)
        cover = cover * (1 - np.float32(grain) * np.clip(rough, 0, 2))
    if conditions.board:
        chalk = np.float32(rng.uniform(0.82, 0.98))
        share = np.float32((0.2 / 0.9) ** conditions.faint)
        return ground + (chalk - ground) * share * cover
    return ground * (1 - np.float32(depth) * cover)


def _render_lines(place: Array, spacing: float, start: float, width: float) -> Array:
    off = np.abs(_distance_to_lines(place, spacing, start))
    lines: Array = np.clip(np.float32(width / 2 + 0.5) - off, 0, 1)
    return lines


def _distance_to_lines(place: Array, spacing: float, start: float) -> Array:
    """Return the signed distance of places to the nearest of lines that are `spacing` apart."""
    periods: Array = (place - np.float32(start)) * np.float32(1 / spacing)
    off: Array = (periods - np.rint(periods)) * np.float32(spacing)
    return off


def _sheet_coordinates(view: Homography, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the points (x, y) of the sheet that points of the photograph show."""
    inverse = np.linalg.inv(view).astype(np.float32)
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in inverse)
    return u / w, v / w


def _translation(x: float, y: float) -> Homography:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _corners(
    box: tuple[int, int, int, int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x0, y0, x1, y1 = map(float, box)
    return np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1])

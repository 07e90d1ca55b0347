"""The way back: what is written, on a simulated sheet, seen by a simulated camera.

Training, tests and `digits simulate` use it. Everything is decided by the conditions and the
generator that is handed in.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from appliance.reading import Array, Grey
from appliance.simulator import clutter
from appliance.simulator.lens import compressed, defocused, digitised, exposed, noisy, shaken
from appliance.simulator.light import enlarged, glared, lit, shadowed

View = npt.NDArray[np.float64]
"""A 3×3 matrix that takes a place (x, y, 1) of the sheet to the photograph's."""


@dataclass(frozen=True)
class Conditions:
    """How strong each factor is, from 0, none of it, to 1, when a person can barely read.

    0.5 is a photograph that is bad in an ordinary way. `FACTORS` says what each does. Raises
    ValueError for a strength out of range.
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

# How often a photograph in the wild has the factor.
_OFTEN = {
    "light": 0.6, "shadow": 0.25, "vignette": 0.3, "glare": 0.1, "colour": 0.3, "faint": 0.25,
    "thin": 0.3, "thick": 0.25, "small": 0.25, "large": 0.25, "tilt": 0.5, "slant": 0.5,
    "perspective": 0.3, "clutter": 0.25, "defocus": 0.5, "motion": 0.2, "noise": 0.6, "jpeg": 0.5,
    "exposure": 0.25,
}  # fmt: skip
_SURFACES = "plain", "ruled", "squared", "dotted", "crumpled", "board"
_SURFACE_SHARES = 0.6, 0.1, 0.09, 0.04, 0.05, 0.12
# What takes contrast away; of all of it together nothing would be left.
_DIMMING = "light", "shadow", "vignette", "glare", "colour", "faint", "noise", "exposure"
_MOST_DIMMING = 1.6
_OPPOSED = ("thin", "thick"), ("small", "large")


def random_conditions(rng: np.random.Generator, hardness: float = 0.6) -> Conditions:
    """Return a natural mix: one surface, a few factors on up to `hardness` 0…1, most off."""
    found = {
        name: float(rng.uniform(0.05, 1)) * hardness
        for name, often in _OFTEN.items()
        if rng.random() < often
    }
    for one, other in _OPPOSED:
        if one in found and other in found:
            del found[one if rng.random() < 0.5 else other]
    dimming = sum(found.get(name, 0.0) for name in _DIMMING)
    for name in _DIMMING:
        if name in found:
            found[name] *= min(1.0, _MOST_DIMMING * hardness / max(dimming, 1e-9))
    surface = str(rng.choice(_SURFACES, p=_SURFACE_SHARES))
    if surface != "plain":
        found[surface] = float(rng.uniform(0.05, 1)) * hardness
    if surface == "board":
        # A blackboard is not lit like a sheet on a table, and chalk is not pencil.
        found.pop("colour", None)
        found.pop("faint", None)
    return replace(Conditions(), **found)


def photographed(
    cover: Array, conditions: Conditions, rng: np.random.Generator, *, unit: float
) -> Grey:
    """Return a grey uint8 (h, w) photograph of a sheet on which the pen covers `cover`.

    `cover` is float32 (h, w), 0…1; `unit` is the height of a digit in pixels, which the spacing of
    lines and the blur are measured in. The factors of size and of the pen's width are the writer's.
    """
    view = viewpoint(cover, conditions, rng)
    return taken(warped(cover, view), view, conditions, rng, unit=unit)


def viewpoint(cover: Array, conditions: Conditions, rng: np.random.Generator) -> View | None:
    """Return where the sheet is seen from, or None for straight from above.

    What is written stays in the picture: the sheet is moved, or seen from further away.
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
    view = _moved(*middle) @ away @ turn @ shear @ _moved(-middle[0], -middle[1])
    x, y = seen_at(view, _corners(box))
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    room = np.array([width, height], np.float64)
    scale = min(1.0, *(0.94 * room / np.maximum(high - low, 1)))
    centre = (low + high) / 2
    half = (high - low) / 2 * scale
    kept = np.clip(centre, half + 0.03 * room, np.maximum(room - half - 0.03 * room, half))
    zoom = np.diag([scale, scale, 1.0])
    fitting: View = _moved(*kept) @ zoom @ _moved(-centre[0], -centre[1]) @ view
    return fitting


def warped(cover: Array, view: View | None) -> Array:
    """Return a cover float32 (h, w) as it is seen from a viewpoint, same shape."""
    box = ink_box(cover, 0.02)
    if view is None or box is None:
        return cover
    x, y = seen_at(view, _corners(box))
    height, width = cover.shape
    x0, x1 = max(0, int(x.min()) - 2), min(width, int(x.max()) + 3)
    y0, y1 = max(0, int(y.min()) - 2), min(height, int(y.max()) + 3)
    result = np.zeros_like(cover)
    if x0 >= x1 or y0 >= y1:
        return result
    rows, columns = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    u, v = _sheet_places(view, columns, rows)
    ndimage.map_coordinates(cover, [v, u], output=result[y0:y1, x0:x1], order=1)
    return result


def seen_at(
    view: View | None, places: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return where places (x, y) of the sheet are in the photograph."""
    if view is None:
        return places
    x, y, w = view @ np.stack([*places, np.ones_like(places[0])])
    return x / w, y / w


def ink_box(cover: Array, least: float = 0.5) -> tuple[int, int, int, int] | None:
    """Return the tight box (x0, y0, x1, y1) of what is covered by `least` or more."""
    rows, columns = (np.flatnonzero(cover.max(axis=axis) >= least) for axis in (1, 0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def taken(
    cover: Array,
    view: View | None,
    conditions: Conditions,
    rng: np.random.Generator,
    *,
    unit: float,
    ground: Array | None = None,
) -> Grey:
    """Return the photograph uint8 (h, w) of a cover that is already in the picture's geometry.

    `ground`, if given, is what the camera sees in place of a sheet, greys float32 (h, w) in 0…1.
    """
    box = ink_box(cover)
    if ground is None:
        picture = _written_on(_sheet(cover.shape, view, conditions, rng, unit), cover,
                              conditions, rng)  # fmt: skip
    else:
        picture = ground.astype(np.float32)
    if conditions.clutter:
        clutter.lay(picture, box, conditions.clutter, rng)
    picture *= lit(
        picture.shape,
        rng,
        gradient=conditions.light,
        vignette=conditions.vignette,
        folds=conditions.crumpled,
    )
    if conditions.shadow:
        picture *= shadowed(picture.shape, conditions.shadow, rng)
    if conditions.glare:
        picture += glared(picture.shape, box, conditions.glare, rng)
    if conditions.exposure:
        picture = exposed(picture, conditions.exposure, rng)
    if conditions.motion:
        picture = shaken(picture, 0.35 * conditions.motion * unit, rng.uniform(0, 180))
    picture = defocused(picture, float(np.hypot(0.5, 0.08 * conditions.defocus * unit)))
    sigma = 0.004 + 0.02 * conditions.noise + 0.136 * conditions.noise**2
    picture = np.clip(noisy(picture, sigma, rng), 0, 1)
    if conditions.jpeg:
        picture = compressed(picture, 95 * (4 / 95) ** conditions.jpeg)
    return digitised(picture)


def _sheet(
    shape: tuple[int, ...],
    view: View | None,
    conditions: Conditions,
    rng: np.random.Generator,
    unit: float,
) -> Array:
    """Return the bare sheet or board, greys in 0…1."""
    height, width = shape
    if conditions.board:
        tone = rng.uniform(0.05, 0.14) + 0.36 * conditions.board
        smears = rng.standard_normal((5, 7), dtype=np.float32) * np.float32(0.09 * conditions.board)
        ground = np.float32(tone) + np.maximum(enlarged(smears, (height, width)), -0.03)
    else:
        tone = rng.uniform(0.78, 0.94) * (1 - 0.65 * conditions.colour)
        ground = np.full((height, width), tone, np.float32)
    fibre = rng.standard_normal(((height + 1) // 2, (width + 1) // 2), dtype=np.float32)
    ground += np.float32(0.012) * fibre.repeat(2, 0).repeat(2, 1)[:height, :width]
    if not (conditions.ruled or conditions.squared or conditions.dotted):
        return ground
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    if view is not None:
        x, y = _sheet_places(view, *np.broadcast_arrays(x, y))
    width_of_line = max(0.6, unit * rng.uniform(0.008, 0.02))
    # On a board the same lines are light.
    change = -0.5 if conditions.board else 1.0
    if conditions.ruled:
        spacing = unit * rng.uniform(0.45, 1.3)
        lines = _lines(y, spacing, rng.uniform(0, spacing), width_of_line)
        ground *= 1 - np.float32(change * (0.05 + 0.4 * conditions.ruled)) * lines
    if conditions.squared:
        spacing = unit * rng.uniform(0.22, 0.7)
        down = _lines(y, spacing, rng.uniform(0, spacing), width_of_line)
        across = _lines(x, spacing, rng.uniform(0, spacing), width_of_line)
        lines = np.maximum(down, across)
        ground *= 1 - np.float32(change * (0.05 + 0.4 * conditions.squared)) * lines
    if conditions.dotted:
        spacing = unit * rng.uniform(0.22, 0.6)
        size = max(1.4, unit * rng.uniform(0.02, 0.04))
        start = rng.uniform(0, spacing, 2)
        off_y, off_x = (
            _off_line(side, spacing, by) for side, by in zip((y, x), start, strict=True)
        )
        dots = np.clip(size / 2 + 0.5 - np.sqrt(off_y * off_y + off_x * off_x), 0, 1)
        ground *= 1 - np.float32(change * (0.1 + 0.6 * conditions.dotted)) * dots
    return ground


def _written_on(
    ground: Array, cover: Array, conditions: Conditions, rng: np.random.Generator
) -> Array:
    """Return a sheet with what is written on it, greys in 0…1."""
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


def _lines(place: Array, spacing: float, start: float, width: float) -> Array:
    off = np.abs(_off_line(place, spacing, start))
    lines: Array = np.clip(np.float32(width / 2 + 0.5) - off, 0, 1)
    return lines


def _off_line(place: Array, spacing: float, start: float) -> Array:
    """Return how far places are from the nearest of lines that are `spacing` apart."""
    turns: Array = (place - np.float32(start)) * np.float32(1 / spacing)
    off: Array = (turns - np.rint(turns)) * np.float32(spacing)
    return off


def _sheet_places(view: View, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the places of the sheet that the photograph's places show."""
    back = np.linalg.inv(view).astype(np.float32)
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in back)
    return u / w, v / w


def _moved(x: float, y: float) -> View:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _corners(
    box: tuple[int, int, int, int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x0, y0, x1, y1 = map(float, box)
    return np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1])

"""Training examples by simulation: writing is photographed, and the vision makes a glyph of it.

So the network learns from glyphs as it will see them.
"""

from collections.abc import Callable

import numpy as np

from appliance.reading import Array, Box, Grey
from appliance.simulator.handwriting import HANDS
from appliance.simulator.paper import random_conditions
from appliance.simulator.scenes import (
    Writing,
    compose_scene,
    join_inks,
    render_ink,
    render_no_digit,
    render_sign,
    trim,
)
from appliance.simulator.textures import TEXTURES
from appliance.vision.glyph import make_glyph
from appliance.vision.ink import downsample, find_ink, reduction_factors
from appliance.vision.marks import Mark, find_marks
from model.network import NOT_A_DIGIT

Scan = Callable[[np.random.Generator], tuple[Array, int]]

# Shares of the examples: scanned digits, and digits of the project's own hand; the rest are none.
_SCANNED, _OWN = 0.2, 0.27
_NOT_DIGITS = {
    "letters": 0.22, "word": 0.07, "signs": 0.1, "scribble": 0.06, "doodle": 0.11, "half": 0.05,
    "touching": 0.06, "texture": 0.05, "edges": 0.08, "hand": 0.07, "natural": 0.08, "blank": 0.05,
}  # fmt: skip
_KINDS, _SHARES = list(_NOT_DIGITS), list(_NOT_DIGITS.values())
# Made of digits: if the vision finds several marks, each may be a digit.
_MADE_OF_DIGITS = "half", "touching"
# Halves that are no digit themselves: half an 8 may be a 3, half a 9 is a 1 or a 0.
_HALVES = {0: ("top", "bottom"), 2: ("bottom", "left"), 3: ("left",), 4: ("left", "bottom"),
           5: ("left",), 8: ("left",), 9: ("left",)}  # fmt: skip
# A mark narrower than this share of its length, unless it is level, looks like a 1.
_NARROWEST = 0.3
_LEAST_OVERLAP = 0.6
_SMALLEST, _LARGEST = 24, 120


def simulate_example(scan: Scan, rng: np.random.Generator) -> tuple[Array, int] | None:
    """Return one example: a glyph float32 (28, 28) and its label 0…9 or NOT_A_DIGIT.

    `scan` returns a scanned digit (28, 28) in 0…1 and its label; one example in five shows one.
    The others show the project's own hand, or no digit. Returns None where the vision does not find
    the mark that is meant.
    """
    kind = rng.random()
    unit = float(np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST))))
    if kind < _SCANNED + _OWN:
        writing, label = scan(rng) if kind < _SCANNED else _choose_own_digit(rng)
        grey, box = _photograph_digit(writing, unit, rng)
        mark = max(_find_marks(grey), key=lambda mark: mark.prominence, default=None)
        if box is None or mark is None or _intersection_over_union(mark.box, box) < _LEAST_OVERLAP:
            return None
        return make_glyph(mark.ink), label
    what = str(rng.choice(_KINDS, p=_SHARES))
    marks = _find_marks(_photograph_no_digit(what, scan, unit, rng))
    if not marks or (what in _MADE_OF_DIGITS and len(marks) > 1):
        return None
    # Any of them: the reader answers every mark that it finds, not only the most prominent one.
    mark = marks[rng.integers(len(marks))]
    return None if _looks_like_a_one(mark.ink) else (make_glyph(mark.ink), NOT_A_DIGIT)


def _find_marks(grey: Grey) -> list[Mark]:
    return find_marks(find_ink(downsample(grey, reduction_factors(grey.shape))))


def _photograph_digit(
    writing: Writing, unit: float, rng: np.random.Generator
) -> tuple[Grey, Box | None]:
    """Return a small photograph of a digit, and the digit's box on it."""
    conditions = random_conditions(rng, rng.uniform(0.1, 0.8))
    ink = render_ink(writing, rng, conditions, unit)
    if ink.size == 1:
        return np.full((48, 48), 200, np.uint8), None
    shape, place = _place_in_tile(ink, unit, rng)
    scene = compose_scene([0], [ink], [place], conditions, rng, shape, unit)
    return scene.grey, scene.boxes[0]


def _photograph_no_digit(kind: str, scan: Scan, unit: float, rng: np.random.Generator) -> Grey:
    """Return a small photograph without a digit."""
    conditions = random_conditions(rng, rng.uniform(0.1, 0.8))
    if kind in ("texture", "edges", "hand", "natural", "blank"):
        shape = int(rng.integers(80, 160)), int(rng.integers(80, 200))
        if kind == "texture":
            kind = str(rng.choice(TEXTURES))
        return render_no_digit(kind, conditions, rng, shape).grey
    if kind == "half":
        ink = _render_half(scan, unit, rng)
    elif kind == "touching":
        writings = [
            (_choose_own_digit(rng) if rng.random() < 0.4 else scan(rng))[0] for _ in range(2)
        ]
        inks = [render_ink(writing, rng, conditions, unit) for writing in writings]
        ink = join_inks(inks, 1 + int(rng.uniform(0.01, 0.05) * unit))
    else:
        ink = render_sign(kind, rng, conditions, unit)
    shape, place = _place_in_tile(ink, unit, rng)
    return compose_scene((), [ink], [place], conditions, rng, shape, unit).grey


def _render_half(scan: Scan, unit: float, rng: np.random.Generator) -> Array:
    """Return half of a digit, cropped: one that is no digit itself."""
    conditions = random_conditions(rng, 0.5)
    writing: Writing
    for _ in range(20):
        writing, label = scan(rng)
        if label in _HALVES:
            break
    else:
        label = int(rng.choice(list(_HALVES)))
        writing = HANDS[label][str(rng.choice(list(HANDS[label])))]
    whole = render_ink(writing, rng, conditions, 1.5 * unit)
    rows, columns = (max(1, round(side * rng.uniform(0.42, 0.58))) for side in whole.shape)
    side = str(rng.choice(_HALVES[label]))
    parts = {"top": whole[:rows], "bottom": whole[rows:], "left": whole[:, :columns]}
    return trim(parts[side])


def _choose_own_digit(rng: np.random.Generator) -> tuple[Writing, int]:
    """Return a random digit of the project's own hand, in a random variant, and its label."""
    label = int(rng.integers(10))
    variants = list(HANDS[label].values())
    return variants[rng.integers(len(variants))], label


def _place_in_tile(
    ink: Array, unit: float, rng: np.random.Generator
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the shape of a picture with room around the ink, and the ink's place (y, x) in it."""
    longest = max(unit, *ink.shape)
    # At most about the room of a digit in the middle of a frame; more would only cost time.
    before, after = rng.uniform(0.18, 0.6, (2, 2)) * longest
    shape = tuple(
        int(first + own + last) + 8
        for first, own, last in zip(before, ink.shape, after, strict=True)
    )
    return (shape[0], shape[1]), (int(before[0]) + 4, int(before[1]) + 4)


def _looks_like_a_one(ink: Array) -> bool:
    """Return whether a mark is one narrow stroke that stands or leans, by its box or moments."""
    if ink.shape[1] < _NARROWEST * ink.shape[0]:
        return True
    rows, columns = np.nonzero(ink > 0.5)
    if len(rows) < 3:
        return False
    spread, axes = np.linalg.eigh(np.cov(columns, rows))
    narrow = spread[0] < _NARROWEST**2 * spread[1]
    return bool(narrow and abs(axes[1, 1]) > 0.45)


def _intersection_over_union(one: Box, other: Box) -> float:
    """Return the area that two boxes share, divided by the area that they cover together."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, across) * max(0, down)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / max(1, sum(areas) - shared)

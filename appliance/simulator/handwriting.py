"""The project's own handwriting: digits, letters and signs as strokes, and a pen that renders them.

A sign's text lists the points that the pen passes, in hundredths of the sign's height, x to the
right and y down; `;` lifts the pen, and a point given twice is a corner.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from appliance.reading import Array

Stroke = list[tuple[float, float]]
_Points = npt.NDArray[np.float64]


def _parse_strokes(text: str) -> list[Stroke]:
    lifted = (part.split() for part in text.split(";"))
    return [
        [(float(x) / 100, float(y) / 100) for x, y in (point.split(",") for point in points)]
        for points in lifted
    ]


_OVAL = "32,0 10,14 0,50 10,86 30,100 50,86 60,50 50,13 30,0"
_LONG_ONE = "0,44 18,26 38,0 38,0 37,50 36,100"
_SEVEN = "0,4 30,3 58,2; 58,2 40,45 22,100"
_SERIF_SEVEN = "2,18 3,9 4,2 4,2 30,4 58,2 58,2 42,45 26,100"
_FIVE = "12,2 10,24 7,45; 7,45 26,39 48,46 57,67 47,90 25,100 0,92"

# The first variant of each digit is the plain one.
_DIGITS: dict[int, dict[str, str]] = {
    0: {
        "oval": _OVAL,
        "slashed": f"{_OVAL}; 58,6 30,50 2,96",
        "open": "22,5 6,22 0,53 10,88 32,100 54,84 60,48 54,17 40,1",
        "squat": "40,0 12,10 0,48 14,90 42,100 68,86 76,46 64,10 38,0 26,6",
    },
    1: {
        "flag": "18,20 36,0; 36,0 34,50 32,100",
        "bar": "4,0 2,50 0,100",
        "long": _LONG_ONE,
        "long-foot": f"{_LONG_ONE}; 14,100 36,99 60,99",
        "flag-foot": "12,20 32,0 32,0 31,50 30,100; 6,100 30,99 56,98",
        "low": "0,76 26,40 50,0 50,0 50,50 48,100",
        "lowest": "0,98 30,52 56,0 56,0 55,50 54,100",
    },
    2: {
        "corner": "2,22 14,4 34,0 53,12 53,34 36,60 15,83 0,98; 0,98 28,96 60,97",
        "loop": "4,22 16,4 36,0 54,14 52,36 38,60 20,82 6,95 1,86 12,79 28,88 44,97 64,92",
        "curved": "0,16 20,0 46,4 54,24 44,46 24,68 2,98 2,98 24,90 40,98 66,90",
    },
    3: {
        "round": "4,10 26,0 50,10 50,30 36,43 20,47; 20,47 42,50 58,68 50,91 26,100 0,90",
        "flat": "4,2 30,1 54,0 54,0 40,20 22,41 22,41 46,44 58,66 50,90 26,100 0,91",
        "curled": "2,14 22,0 46,8 46,30 30,42 18,46 34,47 54,60 54,84 32,100 8,96 0,84",
    },
    4: {
        "open": "34,0 16,35 0,64; 0,64 30,63 62,62; 46,30 44,65 42,100",
        "closed": "46,0 24,32 0,66 0,66 30,65 64,64; 46,0 45,50 44,100",
        "one-stroke": "42,100 44,50 46,0 46,0 22,34 0,64 0,64 30,63 64,62",
        "square": "6,0 4,26 2,54 2,54 30,54 56,52; 54,2 51,50 46,100",
        "short": "38,0 18,32 0,68 0,68 32,67 68,64; 52,40 47,70 43,100",
        "steep": "30,0 14,40 2,78 2,78 34,74 66,66; 50,48 46,74 44,100",
        "cup": "16,0 4,30 2,52 14,64 38,62 62,50; 62,22 56,60 48,100",
        "high": "40,0 22,16 2,36 2,36 32,35 58,33; 40,0 38,50 37,100",
    },
    5: {
        "two-strokes": f"{_FIVE}; 12,2 32,2 54,0",
        "floating-bar": f"{_FIVE}; 22,-3 40,-6 62,-8",
        "one-stroke": "56,2 34,3 14,4 14,4 11,22 8,44 8,44 28,38 50,46 57,68 46,92 24,100 0,92",
        "curved": "58,0 36,4 18,4 12,16 10,34 16,44 34,44 52,54 54,76 40,95 18,100 0,93",
    },
    6: {
        "hooked": "46,0 22,22 5,52 3,78 16,97 36,99 53,83 50,63 34,53 16,60 5,75",
        "straight": "40,0 22,28 8,56 0,78 10,96 30,100 48,90 52,74 42,60 24,60 6,74",
        "curved": "56,8 40,0 20,9 6,32 0,62 8,90 28,100 48,93 56,76 47,58 28,53 10,62 3,76",
    },
    7: {
        "plain": _SEVEN,
        "crossed": f"{_SEVEN}; 14,50 34,49 58,47",
        "serif": _SERIF_SEVEN,
        "serif-crossed": f"{_SERIF_SEVEN}; 12,52 36,50 60,48",
        "curved": "0,6 24,3 58,2 58,2 44,24 32,50 26,76 25,100",
    },
    8: {
        "one-stroke": "50,12 30,0 10,12 14,32 32,47 53,66 54,88 30,100 6,88 7,66 28,47 46,32 50,12",
        "two-circles": "30,0 12,7 8,24 16,41 30,46 46,40 52,24 46,7 30,0;"
        "30,46 9,54 2,74 10,94 30,100 50,94 58,74 50,54 30,46",
        "open": "52,8 32,0 12,10 12,28 30,44 50,62 54,84 34,100 10,94 4,74 18,54 40,36 56,14",
    },
    9: {
        "straight": "54,22 40,3 20,2 4,20 8,42 26,50 44,42 54,22; 54,22 52,55 46,100",
        "curved": "54,24 42,4 22,1 4,18 6,40 24,50 44,42 54,24 54,24 56,54 48,84 28,100 4,92",
        "stick": "52,6 32,0 12,6 2,24 10,42 28,47 44,38 52,6 52,6 52,54 51,100",
        "slanting": "50,20 36,1 16,4 2,22 8,42 26,46 44,34 52,14 52,14 42,50 18,100",
        "hooked": "54,8 30,0 8,8 8,28 28,36 50,26 56,6 56,6 60,46 56,80 34,100 8,97 0,84",
        "open": "40,0 14,2 2,18 8,36 30,42 52,30 58,12 58,12 56,56 44,88 22,100 2,94",
    },
}
HANDS: dict[int, dict[str, list[Stroke]]] = {
    digit: {name: _parse_strokes(text) for name, text in variants.items()}
    for digit, variants in _DIGITS.items()
}
"""The variants of each digit by name, the plain one first; most are 0.6 wide and 1 high."""
PLAIN: dict[int, list[Stroke]] = {digit: next(iter(HANDS[digit].values())) for digit in HANDS}
"""The plain variant of each digit."""

# Left out, since some people write a digit like it: O o D Q (0), I l i J j | (1), Z z (2), S s (5),
# B β (8), G b (6), g q (9); and y with a bowl, which is a 4 or a 9.
LETTERS: dict[str, list[Stroke]] = {
    letter: _parse_strokes(text)
    for letter, text in {
        "A": "0,100 30,0 30,0 60,100; 11,64 49,62",
        "C": "58,16 38,0 13,11 0,48 10,86 34,100 60,87",
        "E": "54,2 4,0 4,0 2,50 0,100 0,100 56,98; 2,48 44,47",
        "F": "2,0 1,50 0,100; 2,1 54,0; 2,46 42,45",
        "H": "2,0 0,100; 54,0 55,100; 1,50 55,48",
        "K": "2,0 0,100; 52,0 2,54 2,54 56,100",
        "L": "4,0 2,50 0,100 0,100 52,98",
        "M": "0,100 6,0 6,0 36,66 36,66 66,0 66,0 74,100",
        "N": "0,100 2,0 2,0 54,100 54,100 56,0",
        "P": "4,2 2,50 0,100; 4,3 34,0 52,18 44,42 20,52 3,52",
        "R": "4,2 2,50 0,100; 4,3 34,0 52,16 44,38 20,48 3,48; 20,48 38,74 60,100",
        "T": "0,2 31,1 66,0; 31,2 30,100",
        "U": "0,0 0,50 6,86 28,100 50,86 56,50 57,0",
        "V": "0,0 28,100 28,100 60,0",
        "W": "0,0 18,100 18,100 42,20 42,20 64,100 64,100 84,0",
        "X": "0,0 58,100; 56,0 0,100",
        "Y": "0,0 28,48; 58,0 28,48 26,100",
        "a": "70,12 40,0 8,20 0,60 18,96 48,88 70,46 74,6 74,6 74,60 84,94 98,96",
        "d": "48,56 26,44 6,54 0,78 14,100 36,94 50,72; 52,0 51,50 50,96 60,98",
        "e": "6,56 40,54 76,42 66,12 40,0 14,12 0,50 14,88 46,100 82,84",
        "f": "52,8 38,0 25,14 22,50 20,100; 4,46 44,44",
        "h": "4,0 2,50 0,100; 1,72 18,48 38,48 44,68 44,100",
        "k": "4,0 0,100; 42,40 3,70 3,70 46,100",
        "m": "2,4 0,100; 1,40 20,6 42,8 48,40 48,98; 48,40 70,6 92,10 98,40 98,98",
        "n": "2,4 0,98; 1,44 24,8 54,10 64,40 64,98",
        "r": "2,2 0,98; 1,48 20,14 54,6",
        "t": "24,0 22,50 26,90 42,100 58,92; 0,32 50,30",
        "u": "0,2 0,50 12,90 40,94 64,60 66,2; 66,2 66,60 76,98",
        "v": "0,0 36,100 36,100 74,0",
        "w": "0,0 22,96 22,96 52,16 52,16 76,96 76,96 102,0",
        "x": "0,0 32,44 68,98; 66,0 0,100",
        "y": "0,0 28,52; 58,0 28,52 2,100",
        "alpha": "100,4 72,50 40,96 12,86 0,50 14,12 42,4 72,50 102,98",
        "alpha-crossed": "100,10 60,70 30,92 4,70 8,36 34,20 60,44 104,96",
        "alpha-open": "86,0 56,60 24,80 0,54 22,28 52,48 92,92",
        "gamma": "0,8 14,0 28,30 34,60; 64,0 34,60 24,88 32,100 40,86 34,60",
        "lambda": "4,4 16,2 30,40 56,100; 30,40 0,100",
        "pi": "0,14 12,3 84,2; 26,4 22,60 10,100; 60,4 58,70 68,98 80,88",
        "psi": "0,4 2,40 20,64 40,66 62,60 76,36 78,4; 42,0 37,100",
        "psi-curled": "0,12 14,2 24,14 22,50 44,64 74,50 80,4; 52,0 50,100",
        "eta": "0,14 12,2 16,20 14,66; 15,34 34,6 50,8 54,30 52,100 62,112 74,104",
        "eta-curled": "0,20 8,4 14,20 10,70; 12,50 24,14 40,4 48,18 46,70 54,98 74,88",
        "mu": "6,100 14,10 14,50 32,66 54,50 58,10; 58,10 56,56 72,64",
        "epsilon": "60,10 20,4 4,24 40,46 40,46 0,66 16,96 62,88",
        "arch": "30,70 14,62 4,74 14,90 26,78 8,40 40,4 84,14 98,56 92,100",
        "hook": "0,60 60,56 96,60 98,30 74,22 66,44 96,60 100,80",
        "omega": "14,4 0,40 8,86 28,90 44,50 44,50 54,90 76,88 88,44 70,4",
    }.items()
}
SIGNS: dict[str, list[Stroke]] = {
    sign: _parse_strokes(text)
    for sign, text in {
        "+": "0,50 100,50; 50,0 50,100",
        "−": "0,50 50,49 90,48",
        "=": "0,36 90,34; 0,66 90,64",
        "?": "4,20 14,4 34,0 54,12 52,34 36,48 30,62 30,72; 30,94 31,97",
        "!": "10,0 8,66; 8,93 9,97",
        "&": "80,100 22,34 16,12 34,0 50,12 40,34 10,60 4,84 24,100 52,92 78,56",
        "@": "66,66 62,32 40,30 28,52 38,72 58,64 66,34 66,34 70,68 88,68 98,40 80,8 46,0 12,16"
        " 0,54 16,90 50,100 80,92",
        "#": "34,0 22,100; 72,0 60,100; 6,34 92,32; 0,68 88,66",
        "%": "80,0 4,100; 18,4 4,14 6,34 22,38 34,26 32,10 18,4;"
        "66,62 54,74 56,92 70,98 82,86 80,68 66,62",
        "*": "40,0 40,80; 6,20 74,60; 74,20 6,60",
        "(": "24,0 4,26 0,56 8,82 26,100",
        ")": "2,0 22,26 26,56 18,82 0,100",
        "[": "28,0 2,0 2,0 0,100 0,100 28,100",
        "]": "0,0 26,0 26,0 28,100 28,100 0,100",
        "<": "60,8 0,50 0,50 60,92",
        ">": "0,8 60,50 60,50 0,92",
        ".": "0,97 4,100 6,97 2,96",
        ",": "6,88 8,96 0,112",
        ":": "2,30 3,33; 2,80 3,83",
        "check mark": "0,60 28,100 28,100 90,0",
        "arrow": "0,52 100,48; 70,22 100,48 100,48 72,78",
        "star": "50,0 20,96 20,96 98,36 98,36 2,36 2,36 80,98 80,98 50,0",
        "heart": "50,96 10,54 2,24 20,4 42,10 50,30 50,30 58,10 82,4 98,24 90,54 50,96",
        "smiley": "50,0 14,14 0,50 14,86 50,100 86,86 100,50 86,14 50,0; 34,32 34,40; 66,32 66,40;"
        "24,62 38,78 62,78 76,62",
        "square": "4,2 0,98 0,98 96,100 96,100 98,0 98,0 4,2",
        "triangle": "50,0 0,96 0,96 100,94 100,94 50,0",
        "spiral": "50,50 58,44 64,54 50,66 34,52 46,28 76,34 84,64 54,90 12,76 8,30 46,0 92,10",
        "zigzag": "0,60 20,20 20,20 38,80 38,80 58,20 58,20 78,80 78,80 98,24",
    }.items()
}
SCRIBBLE: list[Stroke] = _parse_strokes(
    "0,30 50,10 10,60 70,20 20,80 90,30 40,90 110,40 60,95 120,60 90,10 30,5 0,50 80,70"
)


def render_handwriting(
    strokes: list[Stroke],
    rng: np.random.Generator,
    *,
    height: float,
    pen: float,
    wobble: float = 0.5,
    slant: float = 0.0,
    aspect: float = 1.0,
) -> Array:
    """Return strokes as a hand writes them, with random deviations.

    The result is how much of each pixel the pen covers, float32 (h, w) in 0…1, cropped to the ink.
    `height` and `pen`, the round pen's width, are in pixels; `wobble` 0…1 is how far the hand
    strays, `slant` the lean (x per y), `aspect` the factor by which the width is stretched.
    """
    lines = [np.asarray(stroke, dtype=np.float64) for stroke in strokes]
    middle = np.concatenate(lines).mean(axis=0)
    # Slow waves bend the whole sign, so that strokes that meet still meet…
    waves = rng.normal(0, 0.035 * wobble, (2, 2, 2))
    phases = rng.uniform(0, 2 * np.pi, (2, 2, 2))
    pace = rng.uniform(2, 6, (2, 2, 2))
    bent_lines = []
    for line in lines:
        bent = line + (waves * np.sin(pace * (line - middle)[:, None, :, None] + phases)).sum(
            axis=(2, 3)
        )
        # …and each stroke starts a little off, and too early or too late.
        bent += rng.normal(0, 0.012 * wobble, 2)
        stray = rng.normal(0, 0.012 * wobble, bent.shape)
        corners = np.flatnonzero((line[1:] == line[:-1]).all(axis=1)) + 1
        stray[corners] = stray[corners - 1]
        bent += stray
        bent[-1] += (bent[-1] - bent[-2]) * rng.normal(0.02, 0.07) * wobble
        bent[0] += (bent[0] - bent[1]) * rng.normal(0.0, 0.05) * wobble
        bent_lines.append(bent)
    lean = np.array([[aspect, 0.0], [-slant, 1.0]])
    curves = [_smooth_curve(line @ lean * height) for line in bent_lines]
    everywhere = np.concatenate(curves)
    low, high = everywhere.min(axis=0), everywhere.max(axis=0)
    reach = pen / 2 + 1
    width, tall = (int(side) + 1 for side in (high - low + 2 * reach).tolist())
    press = rng.uniform(0, 0.3 * wobble)
    beat = rng.uniform(0, 2 * np.pi)
    points = np.concatenate([_resample(curve - low + reach) for curve in curves])
    radii = pen / 2 * (1 + press * np.sin(beat + np.arange(len(points)) * (4.0 / max(height, 1))))
    return _render_pen(points, radii, (tall, width))


def render_strokes(
    strokes: list[Stroke],
    shape: tuple[int, int],
    *,
    centre: tuple[float, float],
    height: float,
    width: float,
    degrees: float = 0.0,
    slant: float = 0.0,
) -> Array:
    """Return strokes exactly as they are given: how much of each pixel the pen covers.

    The result is float32 (h, w) in 0…1. The strokes' box is placed around `centre` (x, y), `height`
    pixels high, turned clockwise by `degrees` and slanted by `slant` (x per y); the pen is `width`
    pixels wide.
    """
    lines = [np.asarray(stroke, dtype=np.float64) for stroke in strokes]
    points = np.concatenate(lines)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lean = np.array([[1.0, 0.0], [-slant, 1.0]])
    places = [(_smooth_curve(line) - middle) * height @ lean @ turn + centre for line in lines]
    pressed = np.concatenate([_resample(place) for place in places])
    return _render_pen(pressed, np.full(len(pressed), width / 2), shape)


def _smooth_curve(points: _Points, steps: int = 8) -> _Points:
    """Return a Catmull-Rom spline through the points, in `steps` pieces between two of them.

    A point given twice is a corner: the curve is smooth only between corners.
    """
    corners = np.flatnonzero(np.abs(points[1:] - points[:-1]).max(axis=1) < 1e-9) + 1
    if corners.size:
        pieces = [piece for piece in np.split(points, corners) if len(piece) > 1]
        return np.vstack([_smooth_curve(piece, steps) for piece in pieces])
    closed = bool(np.allclose(points[0], points[-1]))
    before = points[-2] if closed else 2 * points[0] - points[1]
    after = points[1] if closed else 2 * points[-1] - points[-2]
    p = np.vstack([before, points, after])
    a, b, c, d = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    curve = (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    ) / 2
    return np.vstack([curve.reshape(-1, 2), points[-1:]])


def _resample(curve: _Points) -> _Points:
    """Return a curve as points that are at most half a pixel apart."""
    lengths = np.hypot(*np.diff(curve, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    places = np.linspace(0, along[-1], int(along[-1] * 2) + 2)
    return np.stack([np.interp(places, along, side) for side in curve.T], axis=1)


def _render_pen(points: _Points, radii: npt.NDArray[np.float64], shape: tuple[int, int]) -> Array:
    """Return the cover float32 (h, w) of a round pen on dense points, its edge soft over a pixel.

    A pixel's distance to the pen is measured to the point of the nearest pixel that has one: right
    to a tenth of a pixel, for the price of one distance transform.
    """
    cover = np.zeros(shape, np.float32)
    reach = int(radii.max()) + 2
    x0, y0 = np.maximum(np.floor(points.min(axis=0)).astype(int) - reach, 0)
    x1, y1 = np.minimum(np.ceil(points.max(axis=0)).astype(int) + reach + 1, shape[::-1])
    inside = np.rint(points).astype(int)
    visible = (inside >= (x0, y0)).all(axis=1) & (inside < (x1, y1)).all(axis=1)
    if not visible.any():
        return cover
    points, radii, inside = points[visible] - (x0, y0), radii[visible], inside[visible] - (x0, y0)
    index = np.full((y1 - y0, x1 - x0), -1, np.int32)
    index[inside[:, 1], inside[:, 0]] = np.arange(len(points))
    row, column = ndimage.distance_transform_edt(
        index < 0, return_distances=False, return_indices=True
    )
    nearest = index[row, column]
    px, py, radius = (side.astype(np.float32) for side in (points[:, 0], points[:, 1], radii))
    y, x = np.ogrid[: index.shape[0], : index.shape[1]]
    across, down = px[nearest] - x.astype(np.float32), py[nearest] - y.astype(np.float32)
    distance = np.sqrt(across * across + down * down)
    cover[y0:y1, x0:x1] = np.clip(radius[nearest] + np.float32(0.5) - distance, 0, 1)
    return cover

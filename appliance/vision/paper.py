"""The way back: a digit of the project's own strokes, drawn on a sheet and photographed.

Makes the demo's samples and the tests' pictures. Everything is decided by the arguments and the
generator that is handed in.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from appliance.reading import Array, Grey

Stroke = list[tuple[float, float]]

# Points that a pen passes through, x to the right and y down, in a box 0.6 wide and 1 high.
STROKES: dict[int, list[Stroke]] = {
    0: [
        [(0.32, 0.0), (0.1, 0.14), (0.0, 0.5), (0.1, 0.86), (0.3, 1.0)]
        + [(0.5, 0.86), (0.6, 0.5), (0.5, 0.13), (0.3, 0.0)]
    ],
    1: [[(0.18, 0.2), (0.36, 0.0)], [(0.36, 0.0), (0.34, 0.5), (0.32, 1.0)]],
    2: [
        [(0.02, 0.22), (0.14, 0.04), (0.34, 0.0), (0.53, 0.12), (0.53, 0.34), (0.36, 0.6)]
        + [(0.15, 0.83), (0.0, 0.98)],
        [(0.0, 0.98), (0.28, 0.96), (0.6, 0.97)],
    ],
    3: [
        [(0.04, 0.1), (0.26, 0.0), (0.5, 0.1), (0.5, 0.3), (0.36, 0.43), (0.2, 0.47)],
        [(0.2, 0.47), (0.42, 0.5), (0.58, 0.68), (0.5, 0.91), (0.26, 1.0), (0.0, 0.9)],
    ],
    4: [[(0.34, 0.0), (0.16, 0.35), (0.0, 0.64)], [(0.0, 0.64), (0.3, 0.63), (0.62, 0.62)]]
    + [[(0.46, 0.3), (0.44, 0.65), (0.42, 1.0)]],
    5: [
        [(0.12, 0.02), (0.1, 0.24), (0.07, 0.45)],
        [(0.07, 0.45), (0.26, 0.39), (0.48, 0.46), (0.57, 0.67), (0.47, 0.9), (0.25, 1.0)]
        + [(0.0, 0.92)],
        [(0.12, 0.02), (0.32, 0.02), (0.54, 0.0)],
    ],
    6: [
        [(0.46, 0.0), (0.22, 0.22), (0.05, 0.52), (0.03, 0.78), (0.16, 0.97), (0.36, 0.99)]
        + [(0.53, 0.83), (0.5, 0.63), (0.34, 0.53), (0.16, 0.6), (0.05, 0.75)]
    ],
    7: [[(0.0, 0.04), (0.3, 0.03), (0.58, 0.02)], [(0.58, 0.02), (0.4, 0.45), (0.22, 1.0)]],
    8: [
        [(0.5, 0.12), (0.3, 0.0), (0.1, 0.12), (0.14, 0.32), (0.32, 0.47), (0.53, 0.66)]
        + [(0.54, 0.88), (0.3, 1.0), (0.06, 0.88), (0.07, 0.66), (0.28, 0.47), (0.46, 0.32)]
        + [(0.5, 0.12)]
    ],
    9: [
        [(0.54, 0.22), (0.4, 0.03), (0.2, 0.02), (0.04, 0.2), (0.08, 0.42), (0.26, 0.5)]
        + [(0.44, 0.42), (0.54, 0.22)],
        [(0.54, 0.22), (0.52, 0.55), (0.46, 1.0)],
    ],
}
SCRIBBLE: list[Stroke] = [
    [(0.0, 0.3), (0.5, 0.1), (0.1, 0.6), (0.7, 0.2), (0.2, 0.8), (0.9, 0.3), (0.4, 0.9)]
    + [(1.1, 0.4), (0.6, 0.95), (1.2, 0.6), (0.9, 0.1), (0.3, 0.05), (0.0, 0.5), (0.8, 0.7)]
]


@dataclass(frozen=True)
class Sheet:
    """A sheet and its light: greys 0…1; `light` is what is lost from one corner to the other.

    `shadow` is the share of light that a straight-edged shadow takes on one side, `noise` the
    camera's, `blur` its defocus in pixels.
    """

    paper: float = 0.85
    pen: float = 0.2
    light: float = 0.3
    shadow: float = 0.0
    noise: float = 0.015
    blur: float = 0.8


def drawn(
    strokes: list[Stroke],
    shape: tuple[int, int],
    *,
    centre: tuple[float, float],
    height: float,
    width: float,
    degrees: float = 0.0,
    slant: float = 0.0,
) -> Array:
    """Return how much of each pixel (h, w) the pen covers, float32 0…1.

    The strokes' box is set around `centre` (x, y), `height` pixels high, turned clockwise by
    `degrees` and slanted by `slant` (x per y); the pen is `width` pixels wide.
    """
    points = np.concatenate([np.asarray(stroke) for stroke in strokes])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lean = np.array([[1.0, 0.0], [-slant, 1.0]])
    cover = np.zeros(shape, np.float32)
    for stroke in strokes:
        line = (_smooth(np.asarray(stroke)) - middle) * height @ lean @ turn + centre
        for start, end in pairwise(line):
            _press(cover, start, end, width / 2)
    return cover


def photographed(cover: Array, sheet: Sheet, rng: np.random.Generator) -> Grey:
    """Return a grey uint8 (h, w) photograph of a sheet on which the pen covers `cover`."""
    height, width = cover.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width, y / height
    light = 1 - np.float32(sheet.light) * (x + y) / 2
    # A soft-edged shadow over the right part, as of a hand that holds the camera.
    edge = np.clip((x + 0.3 * y - 0.72) * 12, 0, 1)
    light *= 1 - np.float32(sheet.shadow) * edge
    fibre = ndimage.gaussian_filter(rng.standard_normal(cover.shape, dtype=np.float32), 1.2)
    ground = np.float32(sheet.paper) + np.float32(0.02) * fibre
    picture = (ground + (np.float32(sheet.pen) - ground) * cover) * light
    picture = ndimage.gaussian_filter(picture, sheet.blur)
    picture += np.float32(sheet.noise) * rng.standard_normal(cover.shape, dtype=np.float32)
    grey: Grey = np.clip(picture * 255, 0, 255).astype(np.uint8)
    return grey


def _smooth(points: npt.NDArray[np.float64], steps: int = 8) -> npt.NDArray[np.float64]:
    """Return a Catmull-Rom curve through the points, `steps` pieces between two of them."""
    closed = bool(np.allclose(points[0], points[-1]))
    before = points[-2] if closed else 2 * points[0] - points[1]
    after = points[1] if closed else 2 * points[-1] - points[-2]
    p = np.vstack([before, points, after])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        0.5
        * (
            2 * p[i]
            + (p[i + 1] - p[i - 1]) * t
            + (2 * p[i - 1] - 5 * p[i] + 4 * p[i + 1] - p[i + 2]) * t**2
            + (3 * p[i] - p[i - 1] - 3 * p[i + 1] + p[i + 2]) * t**3
        )
        for i in range(1, len(p) - 2)
    ]
    return np.vstack([*pieces, points[-1:]])


def _press(
    cover: Array, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], radius: float
) -> None:
    """Draw one straight piece into `cover` with a round pen and a soft edge of one pixel."""
    reach = radius + 1
    low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
    x0, y0 = np.maximum(low, 0).astype(int)
    x1, y1 = np.minimum(high + 1, cover.shape[::-1]).astype(int)
    if x0 >= x1 or y0 >= y1:
        return
    y, x = np.mgrid[y0:y1, x0:x1]
    along = end - start
    t = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(float(along @ along), 1e-9)
    t = np.clip(t, 0, 1)
    distance = np.hypot(x - start[0] - t * along[0], y - start[1] - t * along[1])
    patch = cover[y0:y1, x0:x1]
    np.maximum(patch, np.clip(radius + 0.5 - distance, 0, 1), out=patch, casting="same_kind")

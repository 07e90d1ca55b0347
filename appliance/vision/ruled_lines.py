"""Finds the lines of ruled and squared paper and removes them, without cutting strokes."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.reading import Array
from appliance.vision.components import Labels, Mask, Slices
from appliance.vision.filters import dilate_disc, erode_disc

_LEAST_LENGTH = 0.5
"""A component with a line in it spans at least this share of the picture's width or height."""
_STEEPEST = 0.6
"""Greatest slope of a line, 31° either way: a sheet turned by 25° and seen at an angle."""
_LEAST_COVERAGE = 0.55
"""A line is visible along at least this share of its way across the picture…"""
_LEAST_COVERAGE_OF_TWO = 0.93
"""…or this share, where there are fewer than three lines…"""
_EDGE = 0.01
"""…and comes within this share of the picture's width of one side, or of both if they are two."""
_MOST_BEND = 0.04
"""The quadratic term at a line's ends, as a share of the picture's width, is at most this."""
_WIDEST = 0.035
"""The widest line, as a share of the picture's longer side."""
_STROKE_CONTRAST = 1.7
"""Where the contrast is this many times the line's usual one, a stroke lies over it."""
_FAN = 0.2
"""Slopes of one sheet's lines differ by at most this from the commonest slope."""
_MOST_TRIED = 80
"""Peaks of the Hough transform that are tried."""


class RuledLine(NamedTuple):
    """The parabola y = a + b·x + c·x², x counted from the picture's middle, `width` pixels wide.

    A parabola, since paper that does not lie flat bends its lines.
    """

    a: float
    b: float
    c: float
    width: float

    def at(self, x: Array) -> Array:
        y: Array = np.float32(self.a) + x * (np.float32(self.b) + np.float32(self.c) * x)
        return y


def remove_ruled_lines(contrast: Array, labels: Labels, boxes: list[Slices]) -> Array:
    """Return the contrast float32 (h, w) of a picture with 0 where ruled lines were.

    `labels` and `boxes` are the connected components that stand out from the ground. Ruled lines
    are three or more lines in nearly the same direction, most of the way across the picture (or two
    from edge to edge), level or upright within 31°. Returns `contrast` itself where there are none.
    Source: R. Duda and P. Hart, "Use of the Hough transformation to detect lines and curves in
    pictures", 1972; each line is then fitted by least squares.
    """
    height, width = contrast.shape
    long = np.zeros(len(boxes) + 1, bool)
    for label, (rows, columns) in enumerate(boxes, start=1):
        long[label] = (
            rows.stop - rows.start >= _LEAST_LENGTH * height
            or columns.stop - columns.start >= _LEAST_LENGTH * width
        )
    if not long.any():
        return contrast
    candidates = long[labels]
    level = _find_level_lines(candidates)
    upright = _find_level_lines(candidates.T)
    if not level and not upright:
        return contrast
    bands = np.zeros(labels.shape, bool)
    strokes = np.zeros_like(bands)
    for line in level:
        _mark_line(line, contrast, bands, strokes)
    for line in upright:
        _mark_line(line, contrast.T, bands.T, strokes.T)
    widest = max(line.width for line in (*level, *upright))
    return _clear_bands(contrast, labels > 0, bands, strokes, widest)


def _find_level_lines(candidates: Mask) -> list[RuledLine]:
    """Return the level lines among the pixels (h, w): first their common slope, then each one."""
    height, width = candidates.shape
    runs = _VerticalRuns.of(candidates)
    if len(runs.x) < 2 * _LEAST_COVERAGE * width:
        return []
    reach = int((_STEEPEST + _FAN) * width / 2) + 2
    size = height + 2 * reach

    def histogram(slope: float) -> npt.NDArray[np.intp]:
        offsets = runs.y - np.float32(slope) * runs.x + reach
        # np.bincount takes integers of the machine's own width alone: 32 bits on ARMv6.
        return np.bincount(offsets.astype(np.intp), minlength=size)

    steep = np.arange(-_STEEPEST, _STEEPEST + 1e-6, 0.03)
    best = max(steep, key=lambda slope: _energy(histogram(slope)))
    # On a sheet that is seen at an angle the lines are not quite parallel.
    slopes = best + np.arange(-_FAN, _FAN + 1e-6, 0.02)
    counts = np.stack([np.convolve(histogram(slope), np.ones(5), "same") for slope in slopes])
    lines: list[RuledLine] = []
    for _ in range(_MOST_TRIED):
        row, peak = np.unravel_index(int(counts.argmax()), counts.shape)
        if counts[row, peak] < 0.4 * width:
            break
        line = runs.fit_line(float(peak - reach) + 0.5, float(slopes[row]))
        if line is not None and runs.coverage(line, candidates.shape, sides=1) >= _LEAST_COVERAGE:
            lines.append(line)
            runs = runs.without(line)
            counts[:, max(0, peak - 4) : peak + 5] = 0
        counts[max(0, row - 1) : row + 2, max(0, peak - 3) : peak + 4] = 0
    if len(lines) < 3:
        runs = _VerticalRuns.of(candidates)
        lines = [
            line
            for line in lines
            if runs.coverage(line, candidates.shape, sides=2) >= _LEAST_COVERAGE_OF_TWO
        ]
    return lines if len(lines) >= 2 else []


def _energy(counts: npt.NDArray[np.intp]) -> float:
    """Return the sum of squares: greatest for the slope whose histogram has the sharpest peaks."""
    return float((counts.astype(np.float64) ** 2).sum())


class _VerticalRuns(NamedTuple):
    """The short vertical runs of a mask: x from the picture's middle, y of each middle, length."""

    x: Array
    y: Array
    length: Array

    @classmethod
    def of(cls, mask: Mask) -> "_VerticalRuns":
        width = mask.shape[1]
        edges = np.diff(np.pad(mask.T, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        columns, start = np.nonzero(edges == 1)
        _, end = np.nonzero(edges == -1)
        length = end - start
        short = length <= max(4.0, _WIDEST * max(mask.shape))
        x = columns[short].astype(np.float32) - width / 2
        y = ((start + end)[short] / 2).astype(np.float32)
        return cls(x.astype(np.float32), y, length[short].astype(np.float32))

    def near(self, line: RuledLine, distance: float) -> Mask:
        close: Mask = np.abs(self.y - line.at(self.x)) <= distance
        return close

    def without(self, line: RuledLine) -> "_VerticalRuns":
        rest = ~self.near(line, line.width / 2 + 1)
        return _VerticalRuns(self.x[rest], self.y[rest], self.length[rest])

    def fit_line(self, offset: float, slope: float) -> RuledLine | None:
        """Return the line near a peak of the Hough transform, fitted by least squares, or None."""
        line = RuledLine(offset, slope, 0.0, 0.0)
        half = max(1.0, float(np.abs(self.x).max(initial=0)))
        for distance in (5.0, 3.0, 2.0):
            close = self.near(line, distance)
            # Scaled to 1 at the edges, the powers of x are alike in size: the system is stable.
            u = self.x[close].astype(np.float64) / half
            if len(u) < 8 or np.ptp(u) < 0.8:
                return None
            powers = np.stack([np.ones_like(u), u, u * u])
            try:
                a, b, c = np.linalg.solve(powers @ powers.T, powers @ self.y[close])
            except np.linalg.LinAlgError:
                return None
            line = RuledLine(float(a), float(b) / half, float(c) / half**2, 0.0)
        if abs(line.c) * half**2 > _MOST_BEND * 2 * half:
            return None
        close = self.near(line, 2.0)
        return line._replace(width=float(np.median(self.length[close]))) if close.any() else None

    def coverage(self, line: RuledLine, shape: tuple[int, ...], *, sides: int) -> float:
        """Return the share of a line's way across a picture (h, w) along which there are runs.

        Returns 0 for a line that reaches the picture's edge on fewer than `sides`: it is a stroke.
        """
        height, width = shape
        y = line.at(np.arange(width, dtype=np.float32) - width / 2)
        inside = np.flatnonzero((y >= 0) & (y < height))
        if len(inside) < 0.5 * width:
            return 0.0
        covered = np.unique(self.x[self.near(line, 2.0)])
        if not len(covered):
            return 0.0
        gaps = covered[0] + width / 2 - inside[0], inside[-1] - covered[-1] - width / 2
        if sum(gap <= 1 + _EDGE * width for gap in gaps) < sides:
            return 0.0
        return len(covered) / len(inside)


def _mark_line(line: RuledLine, contrast: Array, bands: Mask, strokes: Mask) -> None:
    """Set the line's pixels in `bands`; in `strokes` those with more contrast than the line has."""
    height, width = contrast.shape
    columns = np.arange(width)
    y = line.at(columns.astype(np.float32) - width / 2)
    half = line.width / 2 + 1.5
    middle = np.rint(y).astype(np.int64)
    inside = (middle >= 1) & (middle < height - 1)
    row, column = middle[inside], columns[inside]
    greatest = np.maximum(contrast[row - 1, column], contrast[row, column])
    greatest = np.maximum(greatest, contrast[row + 1, column])
    usual = float(np.median(greatest)) if len(greatest) else 0.0
    for shift in range(-int(np.ceil(half)), int(np.ceil(half)) + 1):
        rows = middle + shift
        inside = (rows >= 0) & (rows < height) & (np.abs(rows - y) <= half)
        row, column = rows[inside], columns[inside]
        bands[row, column] = True
        strokes[row, column] |= contrast[row, column] > _STROKE_CONTRAST * usual


def _clear_bands(contrast: Array, drawn: Mask, bands: Mask, strokes: Mask, width: float) -> Array:
    """Return the contrast without the bands, except where strokes lie over them or cross them.

    A stroke that crosses a band joins what is drawn on both sides of it: a binary closing.
    """
    rest = drawn & (~bands | strokes)
    reach = round(width / 2 + 2)
    closed = erode_disc(dilate_disc(np.pad(rest, reach), reach), reach)
    crossing = closed[reach:-reach, reach:-reach]
    cleared: Array = np.where(bands & ~strokes & ~crossing, np.float32(0), contrast)
    return cleared

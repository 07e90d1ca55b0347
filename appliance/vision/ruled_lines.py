"""The lines of ruled and squared paper, found and taken out without cutting what crosses them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.reading import Array
from appliance.vision.components import Labels, Mask, Place
from appliance.vision.filters import grown, shrunk

_LONG = 0.5
"""A region with a rule in it is at least this share of the picture's width or height long."""
_STEEPEST = 0.6
"""Rules rise at most this much: 31° either way, for a sheet turned by 25° and seen aslant."""
_COVERED = 0.55
"""A rule is drawn along at least this share of its way across the picture…"""
_ALL = 0.93
"""…or this share, where there are fewer than three…"""
_EDGE = 0.01
"""…and comes as near as this share of the picture's width to one side of it, or to both."""
_MOST_BENT = 0.04
"""Over half of its way a rule bends no further than this share of the whole way."""
_WIDEST = 0.035
"""A rule is not wider than this share of the picture's longer side."""
_DARKER = 1.7
"""What is this much deeper than the rule is a stroke drawn over it."""
_FAN = 0.2
"""The directions of one sheet's rules differ by no more than this either way."""
_MOST_TRIED = 80


class _Rule(NamedTuple):
    """The parabola y = a + b x + c x², x counted from the picture's middle, `width` pixels wide.

    Paper that does not lie flat bends its rules.
    """

    a: float
    b: float
    c: float
    width: float

    def at(self, x: Array) -> Array:
        y: Array = np.float32(self.a) + x * (np.float32(self.b) + np.float32(self.c) * x)
        return y


def without_rules(depth: Array, labels: Labels, places: list[Place]) -> Array:
    """Return depths float32 (h, w) with the rules among the regions of what is drawn taken out.

    Rules are three or more straight lines in nearly the same direction, most of the way across the
    picture (or two from edge to edge), level or upright within 31°. Returns `depth` itself where
    there are none. Source of the search: R. Duda and P. Hart, "Use of the Hough transformation to
    detect lines and curves in pictures", 1972.
    """
    long = np.zeros(len(places) + 1, bool)
    for number, (rows, columns) in enumerate(places, start=1):
        height, width = depth.shape
        long[number] = (
            rows.stop - rows.start >= _LONG * height
            or columns.stop - columns.start >= _LONG * width
        )
    if not long.any():
        return depth
    candidates = long[labels]
    level = _rules(candidates)
    upright = _rules(candidates.T)
    if not level and not upright:
        return depth
    drawn = labels > 0
    bands = np.zeros_like(drawn)
    strokes = np.zeros_like(drawn)
    for rules, part, depths, over in (
        (level, bands, depth, strokes),
        (upright, bands.T, depth.T, strokes.T),
    ):
        for rule in rules:
            _mark(rule, depths, part, over)
    width = max(rule.width for rule in (*level, *upright))
    return _cleared(depth, drawn, bands, strokes, width)


def _rules(candidates: Mask) -> list[_Rule]:
    """Return the level rules among the pixels (h, w): first the direction, then each line."""
    height, width = candidates.shape
    runs = _Runs.of(candidates)
    if len(runs.x) < 2 * _COVERED * width:
        return []
    reach = int((_STEEPEST + _FAN) * width / 2) + 2
    size = height + 2 * reach

    def histogram(slope: float) -> npt.NDArray[np.intp]:
        where = runs.y - np.float32(slope) * runs.x + reach
        # As wide as the machine's own: np.bincount takes no other on ARMv6.
        return np.bincount(where.astype(np.intp), minlength=size)

    steep = np.arange(-_STEEPEST, _STEEPEST + 1e-6, 0.03)
    best = max(steep, key=lambda slope: _sharpness(histogram(slope)))
    # Seen aslant, rules lean a little from each other.
    slopes = best + np.arange(-_FAN, _FAN + 1e-6, 0.02)
    counts = np.stack([np.convolve(histogram(slope), np.ones(5), "same") for slope in slopes])
    found: list[_Rule] = []
    for _ in range(_MOST_TRIED):
        line, peak = np.unravel_index(int(counts.argmax()), counts.shape)
        if counts[line, peak] < 0.4 * width:
            break
        rule = runs.fitted(float(peak - reach) + 0.5, float(slopes[line]))
        if rule is not None and runs.covered(rule, candidates.shape, sides=1) >= _COVERED:
            found.append(rule)
            runs = runs.without(rule)
            counts[:, max(0, peak - 4) : peak + 5] = 0
        counts[max(0, line - 1) : line + 2, max(0, peak - 3) : peak + 4] = 0
    if len(found) < 3:
        every = _Runs.of(candidates)
        found = [rule for rule in found if every.covered(rule, candidates.shape, sides=2) >= _ALL]
    return found if len(found) >= 2 else []


def _sharpness(counts: npt.NDArray[np.intp]) -> float:
    return float((counts.astype(np.float64) ** 2).sum())


class _Runs(NamedTuple):
    """The short vertical runs of a mask: x from the picture's middle, y of the middle, length."""

    x: Array
    y: Array
    length: Array

    @classmethod
    def of(cls, mask: Mask) -> "_Runs":
        width = mask.shape[1]
        edges = np.diff(np.pad(mask.T, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        columns, start = np.nonzero(edges == 1)
        _, end = np.nonzero(edges == -1)
        length = end - start
        short = length <= max(4.0, _WIDEST * max(mask.shape))
        x = columns[short].astype(np.float32) - width / 2
        y = ((start + end)[short] / 2).astype(np.float32)
        return cls(x.astype(np.float32), y, length[short].astype(np.float32))

    def near(self, rule: _Rule, distance: float) -> Mask:
        close: Mask = np.abs(self.y - rule.at(self.x)) <= distance
        return close

    def without(self, rule: _Rule) -> "_Runs":
        rest = ~self.near(rule, rule.width / 2 + 1)
        return _Runs(self.x[rest], self.y[rest], self.length[rest])

    def fitted(self, offset: float, slope: float) -> _Rule | None:
        """Return the rule near a line, by least squares over the runs next to it, or None."""
        rule = _Rule(offset, slope, 0.0, 0.0)
        half = max(1.0, float(np.abs(self.x).max(initial=0)))
        for distance in (5.0, 3.0, 2.0):
            close = self.near(rule, distance)
            # Scaled to 1 at the edges, the three powers of x are alike in size.
            u = self.x[close].astype(np.float64) / half
            if len(u) < 8 or np.ptp(u) < 0.8:
                return None
            powers = np.stack([np.ones_like(u), u, u * u])
            try:
                a, b, c = np.linalg.solve(powers @ powers.T, powers @ self.y[close])
            except np.linalg.LinAlgError:
                return None
            rule = _Rule(float(a), float(b) / half, float(c) / half**2, 0.0)
        if abs(rule.c) * half**2 > _MOST_BENT * 2 * half:
            return None
        close = self.near(rule, 2.0)
        return rule._replace(width=float(np.median(self.length[close]))) if close.any() else None

    def covered(self, rule: _Rule, shape: tuple[int, ...], *, sides: int) -> float:
        """Return along which share of its way across the picture a rule is drawn.

        Returns 0 for what does not come to the edge of the picture on as many `sides`: a stroke.
        """
        height, width = shape
        way = rule.at(np.arange(width, dtype=np.float32) - width / 2)
        inside = np.count_nonzero((way >= 0) & (way < height))
        if inside < 0.5 * width:
            return 0.0
        drawn = np.unique(self.x[self.near(rule, 2.0)])
        if not len(drawn):
            return 0.0
        on = np.flatnonzero((way >= 0) & (way < height))
        ends = drawn[0] + width / 2 - on[0], on[-1] - drawn[-1] - width / 2
        if sum(end <= 1 + _EDGE * width for end in ends) < sides:
            return 0.0
        return len(drawn) / inside


def _mark(rule: _Rule, depth: Array, bands: Mask, strokes: Mask) -> None:
    """Set the rule's pixels in `bands`, and in `strokes` those too deep to be the rule alone."""
    height, width = depth.shape
    columns = np.arange(width)
    way = rule.at(columns.astype(np.float32) - width / 2)
    half = rule.width / 2 + 1.5
    middle = np.rint(way).astype(np.int64)
    inside = (middle >= 1) & (middle < height - 1)
    at, along = middle[inside], columns[inside]
    deepest = np.maximum(np.maximum(depth[at - 1, along], depth[at, along]), depth[at + 1, along])
    usual = float(np.median(deepest)) if len(deepest) else 0.0
    for shift in range(-int(np.ceil(half)), int(np.ceil(half)) + 1):
        rows = middle + shift
        at = (rows >= 0) & (rows < height) & (np.abs(rows - way) <= half)
        r, c = rows[at], columns[at]
        bands[r, c] = True
        strokes[r, c] |= depth[r, c] > _DARKER * usual


def _cleared(depth: Array, drawn: Mask, bands: Mask, strokes: Mask, width: float) -> Array:
    """Return the depths without the bands, but where strokes lie over them or cross them."""
    rest = drawn & (~bands | strokes)
    reach = round(width / 2 + 2)
    crossing = shrunk(grown(np.pad(rest, reach), reach), reach)[reach:-reach, reach:-reach]
    cleared: Array = np.where(bands & ~strokes & ~crossing, np.float32(0), depth)
    return cleared

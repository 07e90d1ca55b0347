"""Ink to marks: connected strokes, grouped where they belong to one sign, in reading order."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.reading import Array, Box
from appliance.vision.components import Labels, Mask, Slices, label_components
from appliance.vision.filters import dilate, gaussian
from appliance.vision.glyph import stroke_width
from appliance.vision.ink import InkMaps

_INK = 0.3
"""Ink above this belongs to a stroke…"""
_CORE = 0.6
"""…and a stroke counts if some of its ink is above this."""
_LEAST_WEIGHT = 0.01
"""A stroke has at least this share of the heaviest one's weight, else it is a speck."""
_LEAST_SIDE = 0.04
"""A mark's longer side is at least this share of the picture's shorter side, else it is dirt…"""
_LEAST_OF_HIGHEST = 0.12
"""…and at least this share of the highest mark's height."""
_MOST_STROKES = 200
_GAP = 0.14
"""Strokes nearer to each other than this share of the larger one's size can belong together."""
_GAP_STACKED = 0.04
"""Of two strokes one above the other, both as high as digits: this share of their height."""
_DIGIT_HEIGHT = 0.4
"""A stroke at least this high, as a share of the larger one, may be a digit of its own."""
_BAR = 0.3
"""What is narrower than this share of its height is a bar: its length does not widen the gap."""
_WIDEST = 1.2
"""The strokes of one digit together are no wider than this share of their height."""
_AS_STRONG = 0.6
"""The strokes of one digit are at least this strong, as a share of its strongest."""
_APART = 0.3
"""Two marks that overlap by less than this share of the smaller are apart in that direction."""
_LEAST_WIDTH = 0.85
"""Two touching digits are at least this wide, as a share of their height."""
_SHADOW_INK = 0.5
"""A shadow that touches a stroke has no more ink than this: it is a third as deep at most."""
_SLANTS = (-0.35, 0.0, 0.35)
"""Cuts between touching digits are upright, or slanted by this much (x per y)."""
_MOST_CUTS = 4
_IN_ROW = 0.25
"""Neighbours in a row overlap in height by at least this share of the smaller one."""
_FAR = 6
"""Marks further apart than this many heights are not in one row."""
_MOST_PARTS = 3


class Mark(NamedTuple):
    """Strokes taken for one sign: `ink` float32 (h, w) in 0…1, cropped to `box`, all else dark.

    `prominence` ranks the marks of a picture: the amount of ink, weighed by its strength and by how
    central it is. `strength` 0…1 is the contrast of its strokes. `cut` tells that the picture's
    edge touches it. `parts` are its heaviest strokes, each alone, if it has more than one.
    """

    ink: Array
    box: Box
    prominence: float
    strength: float
    cut: bool
    parts: "tuple[Mark, ...]" = ()


class _Stroke(NamedTuple):
    """A connected component of the ink: its label, box, ink times strength, and strength."""

    label: int
    box: Slices
    weight: float
    strength: float

    @property
    def size(self) -> int:
        return max(self.height, self.width)

    @property
    def height(self) -> int:
        return int(self.box[0].stop - self.box[0].start)

    @property
    def width(self) -> int:
        return int(self.box[1].stop - self.box[1].start)


def find_marks(maps: InkMaps) -> list[Mark]:
    """Return the marks of a picture in reading order: rows from the top, each from the left.

    Strokes that are close belong to one mark (the bar of a 5, a broken 3), unless both stand side
    by side as high as digits do.
    """
    ink = maps.ink
    labels, boxes = label_components(ink > _INK)
    strokes = _find_strokes(maps, labels, boxes)
    if not strokes:
        return []
    marks = [_crop_mark(ink, labels, group) for group in _group_strokes(labels, strokes)]
    # What the picture's edge cuts is a finger, the table or a neighbour, unless it is all there is.
    marks = [mark for mark in marks if not mark.cut] or marks
    # By height, not length: a word is long, and no higher than a digit.
    least = _LEAST_OF_HIGHEST * max(mark.ink.shape[0] for mark in marks)
    least = max(least, _LEAST_SIDE * min(ink.shape))
    return sort_in_reading_order([mark for mark in marks if max(mark.ink.shape) >= least])


def join_marks(left: Mark, right: Mark) -> Mark | None:
    """Return two marks as one if they are so close that they could be one digit, else None."""
    sizes = sorted(max(mark.ink.shape) for mark in (left, right))
    strengths = sorted((left.strength, right.strength))
    gaps = [
        max(left.box[side], right.box[side]) - min(left.box[side + 2], right.box[side + 2])
        for side in (0, 1)
    ]
    has_bar = any(mark.ink.shape[1] < _BAR * mark.ink.shape[0] for mark in (left, right))
    reach = _GAP * sizes[0 if has_bar and gaps[0] > 0 else 1]
    if max(gaps) > reach or strengths[0] < _AS_STRONG * strengths[1]:
        return None
    x0, y0 = (min(left.box[side], right.box[side]) for side in (0, 1))
    x1, y1 = (max(left.box[side], right.box[side]) for side in (2, 3))
    ink = np.zeros((y1 - y0, x1 - x0), np.float32)
    for mark in (left, right):
        own = mark.box
        part = ink[own[1] - y0 : own[3] - y0, own[0] - x0 : own[2] - x0]
        np.maximum(part, mark.ink, out=part)
    prominence = left.prominence + right.prominence
    return Mark(ink, (x0, y0, x1, y1), prominence, strengths[1], left.cut or right.cut)


def are_stacked(first: Mark, second: Mark) -> bool:
    """Return whether two marks stand one above the other, not beside each other."""
    overlap = min(first.box[3], second.box[3]) - max(first.box[1], second.box[1])
    return bool(overlap < _APART * min(first.ink.shape[0], second.ink.shape[0]))


def strongest_part(mark: Mark) -> Mark | None:
    """Return the strongest ink of a mark, without a shadow or a crease that touches it.

    Returns None where that is nearly all of it, or hardly any.
    """
    ink: Array = np.clip((mark.ink - np.float32(_SHADOW_INK)) / np.float32(1 - _SHADOW_INK), 0, 1)
    part = _crop_part(mark._replace(ink=ink), np.ones(ink.shape, bool), 0.3)
    return None if part is None or part.ink.sum() > 0.9 * mark.ink.sum() else part


def find_splits(mark: Mark) -> list[tuple[Mark, Mark]]:
    """Return how a mark could be two touching neighbours, the clearest cut first.

    A cut is a straight line, upright or slanted, through no more ink than two strokes are wide.
    """
    height, width = mark.ink.shape
    if width < _LEAST_WIDTH * height:
        return []
    rows = np.arange(height)
    most = 2 * stroke_width(mark.ink)
    cuts = []
    for slant in _SLANTS:
        shift = np.rint((rows - height / 2) * slant).astype(np.int64)
        columns = np.arange(width)[None, :] + shift[:, None]
        inside = (columns >= 0) & (columns < width)
        along = mark.ink[rows[:, None], np.clip(columns, 0, width - 1)] * inside
        profile = gaussian(along.sum(axis=0)[None], 0.5)[0]
        first, last = int(0.2 * width), int(0.8 * width) + 1
        for x in range(first, last):
            around = profile[max(0, x - width // 12) : x + width // 12 + 1]
            if profile[x] <= most and profile[x] == around.min():
                cuts.append((float(profile[x]), x, shift))
    cuts.sort(key=lambda cut: cut[0])
    splits = []
    for _, x, shift in cuts[:_MOST_CUTS]:
        before = np.arange(width)[None, :] < (x + shift)[:, None]
        left, right = (_crop_part(mark, chosen, 0.5) for chosen in (before, ~before))
        if left is not None and right is not None:
            splits.append((left, right))
    return splits


def sort_in_reading_order(marks: list[Mark]) -> list[Mark]:
    """Return the marks row by row; in a row each overlaps in height with one of the two before it.

    One of two, since a speck between two digits is a mark as well.
    """
    rows: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda mark: mark.box[0]):
        overlaps = [max(_row_overlap(before, mark) for before in row[-2:]) for row in rows]
        most = max(overlaps, default=0.0)
        if most >= _IN_ROW:
            rows[overlaps.index(most)].append(mark)
        else:
            rows.append([mark])
    rows.sort(key=lambda row: sum(m.box[1] + m.box[3] for m in row) / len(row))
    return [mark for row in rows for mark in row]


def _row_overlap(left: Mark, right: Mark) -> float:
    """Return by which share of the smaller height two marks overlap; 0 if they are far apart."""
    (_, top, end, bottom), (start, y0, _, y1) = left.box, right.box
    heights = bottom - top, y1 - y0
    overlap = (min(y1, bottom) - max(y0, top)) / min(heights)
    return overlap if start - end < _FAR * max(heights) else 0.0


def _crop_part(mark: Mark, chosen: npt.NDArray[np.bool_], least: float) -> Mark | None:
    """Return the chosen pixels (h, w) of a mark in their own box, without crumbs of other strokes.

    Returns None for a part lower than `least` of the mark's height.
    """
    ink = np.where(chosen, mark.ink, np.float32(0))
    labels, boxes = label_components(ink > _INK)
    if not boxes:
        return None
    weights = np.bincount(labels.ravel(), weights=ink.ravel())
    real = weights >= 0.1 * weights[1:].max()
    real[0] = False
    soft = dilate(real[labels], 3)
    rows, columns = (np.flatnonzero(soft.any(axis=axis)) for axis in (1, 0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    if y1 - y0 < least * mark.ink.shape[0]:
        return None
    own = np.where(soft, ink, np.float32(0))[y0:y1, x0:x1]
    left, top = mark.box[:2]
    share = float(own.sum() / max(float(mark.ink.sum()), 1e-6))
    box = left + x0, top + y0, left + x1, top + y1
    return Mark(own, box, mark.prominence * share, mark.strength, mark.cut)


def _find_strokes(maps: InkMaps, labels: Labels, boxes: list[Slices]) -> list[_Stroke]:
    """Return the components that are strokes, not specks, the heaviest first."""
    count = len(boxes)
    inside = np.flatnonzero(labels > 0)
    label, ink = labels.ravel()[inside], maps.ink.ravel()[inside]
    sums = np.bincount(label, weights=ink, minlength=count + 1)
    core = np.zeros(count + 1, bool)
    core[label[ink >= _CORE]] = True
    if not core.any():
        return []
    strengths = np.zeros(count + 1, np.float32)
    np.maximum.at(strengths, label, maps.strength.ravel()[inside])
    # A strong stroke counts for more than a crease or a shadow.
    weights = sums * strengths
    real = core & (weights >= _LEAST_WEIGHT * weights[core].max())
    chosen = np.flatnonzero(real)
    chosen = chosen[np.argsort(-weights[chosen], kind="stable")][:_MOST_STROKES]
    return [_Stroke(int(n), boxes[n - 1], float(weights[n]), float(strengths[n])) for n in chosen]


def _group_strokes(labels: Labels, strokes: list[_Stroke]) -> list[list[_Stroke]]:
    """Return the strokes in groups, one group a mark."""
    group_of = list(range(len(strokes)))
    for i, first in enumerate(strokes):
        for j in range(i + 1, len(strokes)):
            second = strokes[j]
            large, small = (first, second) if first.size >= second.size else (second, first)
            if group_of[i] != group_of[j] and _are_one_sign(labels, large, small):
                old, new = group_of[j], group_of[i]
                group_of = [new if group == old else group for group in group_of]
    groups: dict[int, list[_Stroke]] = {}
    for stroke, group in zip(strokes, group_of, strict=True):
        groups.setdefault(group, []).append(stroke)
    return list(groups.values())


def _are_one_sign(labels: Labels, large: _Stroke, small: _Stroke) -> bool:
    """Return whether two strokes belong to one sign, by their distance, strength and shape."""
    reach = _GAP * large.size
    down, across = (
        max(one.start, other.start) - min(one.stop, other.stop)
        for one, other in zip(large.box, small.box, strict=True)
    )
    if max(down, across) > reach:
        return False
    if min(large.strength, small.strength) < _AS_STRONG * max(large.strength, small.strength):
        return False
    y0, x0, y1, x1 = _bounding_box([large, small])
    if x1 - x0 > _WIDEST * (y1 - y0):
        return False
    if across > 0 and large.width < _BAR * large.height:
        reach = _GAP * small.size
    if small.height >= _DIGIT_HEIGHT * large.height:
        if -across < _APART * min(large.width, small.width):
            return False
        if -down < _APART * min(large.height, small.height):
            reach = _GAP_STACKED * (y1 - y0)
    window = labels[y0:y1, x0:x1]
    near: Mask = dilate(window == large.label, 2 * int(reach) + 1)
    return bool((near & (window == small.label)).any())


def _bounding_box(group: list[_Stroke]) -> tuple[int, int, int, int]:
    """Return the box around all strokes of a group: y0, x0, y1, x1."""
    rows, columns = zip(*(stroke.box for stroke in group), strict=True)
    return (
        min(r.start for r in rows),
        min(c.start for c in columns),
        max(r.stop for r in rows),
        max(c.stop for c in columns),
    )


def _crop_mark(ink: Array, labels: Labels, group: list[_Stroke]) -> Mark:
    """Return the mark of a group, with one pixel more on each side for the strokes' soft edge."""
    height, width = ink.shape
    y0, x0, y1, x1 = _bounding_box(group)
    cut = y0 == 0 or x0 == 0 or y1 == height or x1 == width
    y0, x0, y1, x1 = max(y0 - 1, 0), max(x0 - 1, 0), min(y1 + 1, height), min(x1 + 1, width)
    chosen = np.isin(labels[y0:y1, x0:x1], [stroke.label for stroke in group])
    own = np.where(dilate(chosen, 3), ink[y0:y1, x0:x1], np.float32(0))
    alone = group[:_MOST_PARTS] if len(group) > 1 else []
    parts = tuple(_crop_mark(ink, labels, [stroke]) for stroke in alone)
    off_y, off_x = (y0 + y1) / height - 1, (x0 + x1) / width - 1
    centrality = float(np.exp(-(off_y * off_y) - off_x * off_x)) * (0.5 if cut else 1.0)
    weight = sum(stroke.weight for stroke in group)
    strength = max(stroke.strength for stroke in group)
    return Mark(own, (x0, y0, x1, y1), weight * centrality, strength, cut, parts)

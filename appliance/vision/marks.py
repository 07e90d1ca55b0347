"""Ink to marks: connected strokes, joined where they belong to one digit, in reading order."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.reading import Array, Box
from appliance.vision.components import Labels, Place, regions
from appliance.vision.filters import highest, smoothed
from appliance.vision.glyph import stroke_width
from appliance.vision.ink import Ink

_STROKE = 0.3
"""Ink above this belongs to a stroke…"""
_CORE = 0.6
"""…and a stroke is real when some of it is above this."""
_LEAST_SIDE = 0.04
"""A mark is at least this share of the picture's shorter side, else it is dirt."""
_LEAST_OF_LARGEST = 0.12
"""A mark is at least this share of the highest mark's height long, else it is dirt beside it."""
_MOST_PIECES = 200
_GAP = 0.14
"""Pieces nearer than this share of the larger piece's size can belong to it."""
_GAP_ABOVE = 0.04
"""Of two pieces one above the other, as high as digits, both are one digit if nearer than this."""
_ALIKE = 0.4
"""A piece this high beside another, as a share of its height, is its neighbour, not its part."""
_BAR = 0.3
"""What is narrower than this share of its height is a bar: its length brings nothing nearer."""
_WIDEST = 1.2
"""Strokes of one digit are together no wider than this share of their height."""
_AS_STRONG = 0.6
"""Strokes of one digit are drawn at least this strongly, as a share of its strongest."""
_LEAST_WIDE = 0.85
"""Two digits that touch are at least this wide, as a share of their height."""
_SHADE = 0.5
"""A shadow that touches a stroke has no more ink: it is up to a third as deep as the stroke."""
_SLANTS = (-0.35, 0.0, 0.35)
_MOST_CUTS = 4
_IN_ROW = 0.25
"""Of two neighbours in a row, the smaller has at least this share of its height beside the other.
"""
_MOST_PARTS = 3


class Mark(NamedTuple):
    """Strokes taken for one sign: their `ink` float32 (h, w) cut out to `box`, all else dark.

    `prominence` is how much it is the one that is meant: its ink, less off the middle. `strength`
    0…1 is how far its strokes stand out from the ground. `cut` says that the picture's edge touches
    it. `parts` are its heaviest strokes, each alone, where it has more than one.
    """

    ink: Array
    box: Box
    prominence: float
    strength: float
    cut: bool
    parts: "tuple[Mark, ...]" = ()


class _Piece(NamedTuple):
    number: int
    place: tuple[slice, slice]
    weight: float
    strength: float

    @property
    def size(self) -> int:
        return max(self.height, self.width)

    @property
    def height(self) -> int:
        return int(self.place[0].stop - self.place[0].start)

    @property
    def width(self) -> int:
        return int(self.place[1].stop - self.place[1].start)


def find_marks(seen: Ink) -> list[Mark]:
    """Return the marks on an ink picture in reading order: rows from the top, each from the left.

    Pieces are connected strokes with a strong core. Those that are close belong to one mark (the
    bar of a 5, a broken 3), unless both stand side by side as high as digits do.
    """
    ink = seen.ink
    labels, places = regions(ink > _STROKE)
    pieces = _pieces(seen, labels, places)
    if not pieces:
        return []
    groups = _joined(labels, pieces)
    marks = [_cut_out(ink, labels, group) for group in groups]
    # What the picture's edge cuts is a finger, the table or a neighbour, unless it is all there is.
    marks = [mark for mark in marks if not mark.cut] or marks
    # By their heights: a word is long, and no higher than a digit.
    least = _LEAST_OF_LARGEST * max(mark.ink.shape[0] for mark in marks)
    least = max(least, _LEAST_SIDE * min(ink.shape))
    return in_reading_order([mark for mark in marks if max(mark.ink.shape) >= least])


def joined(left: Mark, right: Mark) -> Mark | None:
    """Return two neighbours as one mark if they are so close that they could be one digit."""
    sizes = sorted(max(mark.ink.shape) for mark in (left, right))
    strengths = sorted((left.strength, right.strength))
    gaps = [
        max(left.box[side], right.box[side]) - min(left.box[side + 2], right.box[side + 2])
        for side in (0, 1)
    ]
    bar = any(mark.ink.shape[1] < _BAR * mark.ink.shape[0] for mark in (left, right))
    reach = _GAP * sizes[0 if bar and gaps[0] > 0 else 1]
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


def one_above(first: Mark, second: Mark) -> bool:
    """Tell whether two marks stand one above the other, hardly beside each other."""
    shared = min(first.box[3], second.box[3]) - max(first.box[1], second.box[1])
    return bool(shared < 0.3 * min(first.ink.shape[0], second.ink.shape[0]))


def strongest(mark: Mark) -> Mark | None:
    """Return what is drawn most strongly of a mark, without a shadow or a crease that touches it.

    Returns None where that is all of it, or hardly any.
    """
    over: Array = np.clip((mark.ink - np.float32(_SHADE)) / np.float32(1 - _SHADE), 0, 1)
    part = _part(mark._replace(ink=over), np.ones(over.shape, bool), 0.3)
    return None if part is None or part.ink.sum() > 0.9 * mark.ink.sum() else part


def splits(mark: Mark) -> list[tuple[Mark, Mark]]:
    """Return how a mark could be two touching neighbours, the clearest cut first.

    A cut is a straight line, upright or slanted, through no more ink than two strokes are wide.
    """
    height, width = mark.ink.shape
    if width < _LEAST_WIDE * height:
        return []
    rows = np.arange(height)
    most = 2 * stroke_width(mark.ink)
    cuts = []
    for slant in _SLANTS:
        shift = np.rint((rows - height / 2) * slant).astype(np.int64)
        columns = np.arange(width)[None, :] + shift[:, None]
        inside = (columns >= 0) & (columns < width)
        along = mark.ink[rows[:, None], np.clip(columns, 0, width - 1)] * inside
        crossed = smoothed(along.sum(axis=0)[None], 0.5)[0]
        first, last = int(0.2 * width), int(0.8 * width) + 1
        for x in range(first, last):
            around = crossed[max(0, x - width // 12) : x + width // 12 + 1]
            if crossed[x] <= most and crossed[x] == around.min():
                cuts.append((float(crossed[x]), x, shift))
    cuts.sort(key=lambda cut: cut[0])
    parts = []
    for _, x, shift in cuts[:_MOST_CUTS]:
        before = np.arange(width)[None, :] < (x + shift)[:, None]
        left, right = (_part(mark, chosen, 0.5) for chosen in (before, ~before))
        if left is not None and right is not None:
            parts.append((left, right))
    return parts


def _part(mark: Mark, chosen: npt.NDArray[np.bool_], least: float) -> Mark | None:
    """Return a part of a mark in its own box, without what the cut left over.

    Returns None for a part lower than `least` of the mark's height.
    """
    ink = np.where(chosen, mark.ink, np.float32(0))
    labels, places = regions(ink > _STROKE)
    if not places:
        return None
    weights = np.bincount(labels.ravel(), weights=ink.ravel())
    real = weights >= 0.1 * weights[1:].max()
    real[0] = False
    soft = highest(real[labels], 3)
    rows, columns = (np.flatnonzero(soft.any(axis=axis)) for axis in (1, 0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    if y1 - y0 < least * mark.ink.shape[0]:
        return None
    own = np.where(soft, ink, np.float32(0))[y0:y1, x0:x1]
    left, top = mark.box[:2]
    share = float(own.sum() / max(float(mark.ink.sum()), 1e-6))
    box = left + x0, top + y0, left + x1, top + y1
    return Mark(own, box, mark.prominence * share, mark.strength, mark.cut)


def _pieces(seen: Ink, labels: Labels, places: list[Place]) -> list[_Piece]:
    """Return the connected strokes that are real, the heaviest first."""
    count = len(places)
    inside = np.flatnonzero(labels > 0)
    where, ink = labels.ravel()[inside], seen.ink.ravel()[inside]
    sums = np.bincount(where, weights=ink, minlength=count + 1)
    core = np.zeros(count + 1, bool)
    core[where[ink >= _CORE]] = True
    if not core.any():
        return []
    strengths = np.zeros(count + 1, np.float32)
    np.maximum.at(strengths, where, seen.strength.ravel()[inside])
    # What is drawn strongly counts for more than a crease or a shadow.
    weights = sums * strengths
    real = core & (weights >= 0.01 * weights[core].max())
    numbers = np.flatnonzero(real)
    numbers = numbers[np.argsort(-weights[numbers], kind="stable")][:_MOST_PIECES]
    return [_Piece(int(n), places[n - 1], float(weights[n]), float(strengths[n])) for n in numbers]


def _joined(labels: Labels, pieces: list[_Piece]) -> list[list[_Piece]]:
    """Return the pieces in groups, each the strokes of one mark."""
    group_of = list(range(len(pieces)))
    for i, large in enumerate(pieces):
        for j in range(i + 1, len(pieces)):
            small = pieces[j]
            a, b = (large, small) if large.size >= small.size else (small, large)
            if group_of[i] != group_of[j] and _belongs(labels, a, b):
                old, new = group_of[j], group_of[i]
                group_of = [new if group == old else group for group in group_of]
    groups: dict[int, list[_Piece]] = {}
    for piece, group in zip(pieces, group_of, strict=True):
        groups.setdefault(group, []).append(piece)
    return list(groups.values())


def _belongs(labels: Labels, large: _Piece, small: _Piece) -> bool:
    """Tell whether two pieces are strokes of one sign."""
    reach = _GAP * large.size
    gaps = [
        max(one.start, other.start) - min(one.stop, other.stop)
        for one, other in zip(large.place, small.place, strict=True)
    ]
    if max(gaps) > reach:
        return False
    if min(large.strength, small.strength) < _AS_STRONG * max(large.strength, small.strength):
        return False
    y0, x0, y1, x1 = _extent([large, small])
    if x1 - x0 > _WIDEST * (y1 - y0):
        return False
    down, across = gaps
    if across > 0 and large.width < _BAR * large.height:
        reach = _GAP * small.size
    if small.height >= _ALIKE * large.height:
        if -across < 0.3 * min(large.width, small.width):
            return False
        if -down < 0.3 * min(large.height, small.height):
            reach = _GAP_ABOVE * (y1 - y0)
    part = labels[y0:y1, x0:x1]
    near = highest(part == large.number, 2 * int(reach) + 1)
    return bool((near & (part == small.number)).any())


def _extent(group: list[_Piece]) -> tuple[int, int, int, int]:
    rows, columns = zip(*(piece.place for piece in group), strict=True)
    return (
        min(r.start for r in rows),
        min(c.start for c in columns),
        max(r.stop for r in rows),
        max(c.stop for c in columns),
    )


def _cut_out(ink: Array, labels: Labels, group: list[_Piece]) -> Mark:
    """Return the group's ink with one pixel more around it: the strokes' soft edge."""
    height, width = ink.shape
    y0, x0, y1, x1 = _extent(group)
    cut = y0 == 0 or x0 == 0 or y1 == height or x1 == width
    y0, x0, y1, x1 = max(y0 - 1, 0), max(x0 - 1, 0), min(y1 + 1, height), min(x1 + 1, width)
    part = labels[y0:y1, x0:x1]
    chosen = np.isin(part, [piece.number for piece in group])
    soft = highest(chosen, 3)
    own = np.where(soft, ink[y0:y1, x0:x1], np.float32(0))
    alone = group[:_MOST_PARTS] if len(group) > 1 else []
    parts = tuple(_cut_out(ink, labels, [piece]) for piece in alone)
    off_y, off_x = (y0 + y1) / height - 1, (x0 + x1) / width - 1
    central = float(np.exp(-(off_y * off_y) - off_x * off_x)) * (0.5 if cut else 1.0)
    weight = sum(piece.weight for piece in group)
    strength = max(piece.strength for piece in group)
    return Mark(own, (x0, y0, x1, y1), weight * central, strength, cut, parts)


def in_reading_order(marks: list[Mark]) -> list[Mark]:
    """Return the marks row by row: in a row, each overlaps a neighbour's height.

    That is one of the two before it, since a speck between two digits is a mark as well.
    """
    rows: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda mark: mark.box[0]):
        beside = [max(_beside(before, mark) for before in row[-2:]) for row in rows]
        most = max(beside, default=0.0)
        if most >= _IN_ROW:
            rows[beside.index(most)].append(mark)
        else:
            rows.append([mark])
    rows.sort(key=lambda row: sum(m.box[1] + m.box[3] for m in row) / len(row))
    return [mark for row in rows for mark in row]


def _beside(left: Mark, right: Mark) -> float:
    """Return which share of the smaller's height two marks have beside each other; 0 if far."""
    (_, top, end, bottom), (start, y0, _, y1) = left.box, right.box
    heights = bottom - top, y1 - y0
    shared = (min(y1, bottom) - max(y0, top)) / min(heights)
    return shared if start - end < 6 * max(heights) else 0.0

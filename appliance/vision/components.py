"""Regions: which pixels of a mask hang together, side by side or corner to corner."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]
Place = tuple[slice, slice]


def regions(mask: Mask) -> tuple[Labels, list[Place]]:
    """Return the regions of a mask (h, w): their numbers int32 (h, w), and the box of each.

    They are numbered from 1 in the order of their first pixels, row by row; 0 is not in the mask.
    A mask is runs of pixels along its rows; runs of two rows that touch are joined until each knows
    the first one of its region, as in union-find.
    """
    rows, starts, ends = _runs(mask)
    above, below = _touching(mask.shape[1], rows, starts, ends)
    first = np.arange(len(rows))
    while len(above):
        one, other = first[above], first[below]
        apart = one != other
        above, below, one, other = (each[apart] for each in (above, below, one, other))
        # Of several that want to be joined to, one wins, and the rest have the next turn.
        first[np.maximum(one, other)] = np.minimum(one, other)
        while not np.array_equal(further := first[first], first):
            first = further
    begins = first == np.arange(len(rows))
    numbers = np.cumsum(begins, dtype=np.int32)[first]
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = numbers.repeat(ends - starts)
    return labels, _boxes(numbers, rows, starts, ends)


def _runs(mask: Mask) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the row, the first column and the one after the last of each run, row by row."""
    height, width = mask.shape
    # A column that is never in the mask ends each row's last run.
    flat = np.zeros((height, width + 1), bool)
    flat[:, :width] = mask
    line = flat.ravel()
    changes = np.flatnonzero(line[1:] != line[:-1]) + 1
    if line[:1].any():
        changes = np.concatenate([[0], changes])
    starts, ends = changes[::2], changes[1::2]
    rows = starts // (width + 1)
    return rows, starts - rows * (width + 1), ends - rows * (width + 1)


def _touching(
    width: int,
    rows: npt.NDArray[np.intp],
    starts: npt.NDArray[np.intp],
    ends: npt.NDArray[np.intp],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the pairs of runs of which the second touches the first from the row below."""
    row = rows * (width + 1)
    # In the row below: what ends behind the pixel before this one's first, up to behind its last.
    from_ = np.searchsorted(row + ends, row + width + starts, side="right")
    to = np.searchsorted(row + starts, row + width + ends + 2, side="left")
    many = to - from_
    above = np.arange(len(rows)).repeat(many)
    below = np.arange(many.sum()) + (from_ - np.cumsum(many) + many).repeat(many)
    return above, below


def _boxes(
    numbers: Labels,
    rows: npt.NDArray[np.intp],
    starts: npt.NDArray[np.intp],
    ends: npt.NDArray[np.intp],
) -> list[Place]:
    if not len(numbers):
        return []
    order = np.argsort(numbers, kind="stable")
    at = np.flatnonzero(np.diff(numbers[order], prepend=0))
    rows, starts, ends = rows[order], starts[order], ends[order]
    last = np.append(at[1:], len(order)) - 1
    left, right = np.minimum.reduceat(starts, at), np.maximum.reduceat(ends, at)
    return [
        (slice(top, bottom + 1), slice(x0, x1))
        for top, bottom, x0, x1 in zip(
            rows[at].tolist(), rows[last].tolist(), left.tolist(), right.tolist(), strict=True
        )
    ]

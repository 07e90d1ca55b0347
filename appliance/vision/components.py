"""Connected components of a mask, with 8-neighbourhood."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]
Slices = tuple[slice, slice]
"""A component's bounding box: its rows and its columns."""


def label_components(mask: Mask) -> tuple[Labels, list[Slices]]:
    """Return the connected components of a mask (h, w): labels int32 (h, w), and bounding boxes.

    Labels count from 1 in the order of the components' first pixels, row by row; 0 is background.
    The method is run-based union-find: runs of pixels in neighbouring rows that touch are united
    until each run knows its component's first (L. He, Y. Chao, K. Suzuki, "A run-based two-scan
    labeling algorithm", 2008).
    """
    rows, starts, ends = _runs(mask)
    above, below = _touching(mask.shape[1], rows, starts, ends)
    first = np.arange(len(rows))
    while len(above):
        one, other = first[above], first[below]
        apart = one != other
        above, below, one, other = (each[apart] for each in (above, below, one, other))
        # Where several unions meet one root, one wins; the others come in the next round.
        first[np.maximum(one, other)] = np.minimum(one, other)
        while not np.array_equal(further := first[first], first):
            first = further
    begins = first == np.arange(len(rows))
    numbers = np.cumsum(begins, dtype=np.int32)[first]
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = numbers.repeat(ends - starts)
    return labels, _boxes(numbers, rows, starts, ends)


def _runs(mask: Mask) -> tuple[npt.NDArray[np.intp], ...]:
    """Return each run's row, first column and the column after its last, row by row."""
    height, width = mask.shape
    # One more column, never in the mask, ends each row's last run.
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
    """Return the pairs of touching runs: indices of the upper one and of the one below it."""
    row = rows * (width + 1)
    # In the next row, corners included: runs that end after this run's first column - 1 and start
    # before its last column + 2.
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
) -> list[Slices]:
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

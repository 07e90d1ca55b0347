"""Random orders that one seed gives again, in every version of numpy."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.integer[Any]]

_SHIPPED_HELD_OUT = Path(__file__).parent / "shipped" / "held_out.npy"
_SHIPPED = 60_000, 2000, 1


def permutation(n: int, *seed: int) -> Rows:
    """Return 0 … n-1 in a random order, int32 (n,).

    These are the ranks of n random 64-bit numbers of PCG64: numpy keeps the stream of a bit
    generator from version to version, and not what `Generator.permutation` makes of it (NEP 19).
    """
    numbers = np.random.PCG64(list(seed)).random_raw(n)
    return np.argsort(numbers, kind="stable").astype(np.int32)


def split_rows(n: int, held_out: int, seed: int) -> tuple[Rows, Rows]:
    """Divide the rows of a data set: return the `held_out` ones, and those to learn from, int32.

    Of MNIST's 60,000 training digits, seed 1 holds out the 2,000 that the shipped network has not
    learned from: a night that goes on from it is judged on these.
    """
    if (n, held_out, seed) == _SHIPPED:
        rows = np.load(_SHIPPED_HELD_OUT).astype(np.int32)
        return rows, np.setdiff1d(np.arange(n, dtype=np.int32), rows, assume_unique=True)
    rows = permutation(n, seed)
    return rows[:held_out], rows[held_out:]

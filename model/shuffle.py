"""A random order of a data set that takes no memory, however large the set is."""

import math

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


class Shuffled:
    """A permutation of 0 … n-1, computed where it is asked for: `order[start:stop]`.

    A Feistel network over pairs (a, b) with a · b ≥ n is a permutation of the pairs; what falls
    outside is sent through again until it falls inside. Each `key` gives another order. Source:
    J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains", 2002.
    """

    ROUNDS = 6

    def __init__(self, n: int, *key: int) -> None:
        self._n = n
        self._side = max(1, math.isqrt(max(0, n - 1)) + 1)
        drawn = np.random.default_rng(key).integers(2**32, size=self.ROUNDS, dtype=np.uint64)
        self._keys = [int(key) for key in drawn]

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, places: slice) -> Rows:
        """Return the rows at some places of the order, int64."""
        return self.at(np.arange(*places.indices(self._n)))

    def at(self, places: Rows) -> Rows:
        """Return the rows at places 0 … n-1 of the order, int64."""
        rows = self._mixed(places.astype(np.uint64))
        while (outside := rows >= self._n).any():
            rows[outside] = self._mixed(rows[outside])
        return rows.astype(np.int64)

    def _mixed(self, rows: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        side = np.uint64(self._side)
        left, right = rows // side, rows % side
        for key in self._keys:
            # The finaliser of MurmurHash3 over the half that stays and the round's key.
            hashed = right * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
            hashed ^= hashed >> np.uint64(33)
            hashed *= np.uint64(0xFF51AFD7ED558CCD)
            hashed ^= hashed >> np.uint64(33)
            hashed *= np.uint64(0xC4CEB9FE1A85EC53)
            hashed ^= hashed >> np.uint64(33)
            left, right = right, (left + hashed % side) % side
        mixed: npt.NDArray[np.uint64] = left * side + right
        return mixed


class Division:
    """The rows of a data set of `n`, divided by a seed: `held_out` of them, and those learned from.

    Both are one shuffled order of all rows: its beginning is held out, the rest is learned from.
    """

    def __init__(self, n: int, held_out: int, seed: int) -> None:
        self._order, self._held_out = Shuffled(n, seed), held_out
        self.learned_count = n - held_out

    def held_out(self) -> Rows:
        """Return the rows that are never learned from, int64."""
        return self._order[: self._held_out]

    def learned(self, places: Rows) -> Rows:
        """Return the rows at places 0 … learned_count-1 of those that are learned from, int64."""
        return self._order.at(self._held_out + places)

"""Numbers for some rows in, their sums out: as lists while there are few, else an array of all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragstack.index.attributes import Bits, Rows
from ragstack.index.bm25.arrays import Array

__all__ = ["Sums"]

Scores = NDArray[np.float32]

_FEW = 12  # with fewer than one number in so many rows, lists are quicker


class Sums:
    """Scores of the rows of a segment.

    Args:
        size: Of the segment.
        expected: How many numbers will be added at most.
        passing: The rows that count; None where all do.
    """

    def __init__(self, size: int, expected: int, passing: Bits | None) -> None:
        self._size = size
        self._passing = passing
        self._rows: list[Array] = []
        self._values: list[Scores] = []
        self._held = 0
        self._every = np.zeros(size, dtype=np.float32) if self._many(expected) else None

    @property
    def cost(self) -> int:
        """What asking for the k-th costs, in postings scanned."""
        return self._held * 8 if self._every is None else self._size // 8

    def add(self, rows: Array, values: Scores) -> None:
        """Add to some rows, each named once."""
        if self._every is None:
            self._rows.append(rows)
            self._values.append(values)
            self._held += len(rows)
        else:
            self._every[rows] += values

    def kth(self, k: int) -> float:
        """Return a number that at least ``k`` rows reach, near the greatest such; 0 if none."""
        if self._every is None:
            _, scores = self._settled()
            return _kth(scores, k)
        self._mask(self._every)
        # The k best of so many stretches are k rows: nearly the best, without sorting them all.
        width = max(1, self._size // (8 * k))
        if width < 16:
            return _kth(self._every, k)
        whole = self._size - self._size % width
        return _kth(self._every[:whole].reshape(-1, width).max(axis=1), k)

    def at_least(self, floor: float) -> tuple[Rows, Scores]:
        """Return the rows above nothing that reach ``floor``, and their sums."""
        if self._every is None:
            rows, scores = self._settled()
            near = (scores >= floor) & (scores > 0.0)
            return rows[near], scores[near]
        self._mask(self._every)
        rows = np.flatnonzero(self._every >= floor if floor > 0.0 else self._every > 0.0)
        return rows, self._every[rows]

    def _many(self, count: int) -> bool:
        return count * _FEW > self._size

    def _mask(self, every: Scores) -> None:
        if self._passing is not None:
            np.multiply(every, self._passing, out=every)

    def _settled(self) -> tuple[Rows, Scores]:
        if not self._rows:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        if len(self._rows) > 1:
            rows, places = np.unique(np.concatenate(self._rows), return_inverse=True)
            sums = np.bincount(places, weights=np.concatenate(self._values)).astype(np.float32)
            self._rows, self._values = [rows], [sums]
        elif self._passing is None:
            return self._rows[0].astype(np.int64), self._values[0]
        rows, scores = self._rows[0].astype(np.int64), self._values[0]
        if self._passing is not None:
            through = self._passing[rows]
            rows, scores = rows[through], scores[through]
            self._rows, self._values = [rows], [scores]
        return rows, scores


def _kth(scores: Scores, k: int) -> float:
    if len(scores) < k:
        return 0.0
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])

"""Numbers for some rows in, their sums out: an array of all rows, and which of them got any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragstack.index.attributes import Bits, Rows
from ragstack.index.bm25.arrays import Array

__all__ = ["Sums"]

Scores = NDArray[np.float32]

_FEW = 12  # with fewer than one row in so many that got a number, only those are looked at
_NARROW = 16  # a stretch of fewer is not worth its own maximum


class Sums:
    """Scores of the rows of a segment.

    Args:
        size: Of the segment.
        passing: The rows that count; None where all do.
    """

    def __init__(self, size: int, passing: Bits | None) -> None:
        self._passing = passing
        self._every = np.zeros(size, dtype=np.float32)
        self._having: list[Array] | None = []  # the rows above 0, each once; None: too many
        self._held = 0

    @property
    def cost(self) -> int:
        """What asking for the best costs, in postings scanned."""
        return self._held if self._having is not None else len(self._every) // 8

    def add(self, rows: Array, values: Scores) -> None:
        """Add numbers, none below 0, to some rows, each named once."""
        if self._passing is not None:
            values = values * self._passing[rows]
        before = self._every.take(rows)
        self._every[rows] = before + values
        if self._having is None:
            return
        if (self._held + len(rows)) * _FEW > len(self._every):
            self._having = None
            return
        new = rows[(before == 0.0) & (values > 0.0)]
        self._having.append(new)
        self._held += len(new)

    def best(self, k: int) -> tuple[Rows, Scores]:
        """Return ``k`` rows above 0 whose sums are near the greatest, and these; all if fewer."""
        rows, scores = self._some()
        # The k best of so many stretches are k rows: nearly the best, without sorting them all.
        width = len(scores) // (8 * k)
        if width >= _NARROW:
            stretches = scores[: len(scores) - len(scores) % width].reshape(-1, width)
            places = stretches.argmax(axis=1) + np.arange(len(stretches)) * width
            top = scores[places]
        else:
            places, top = np.arange(len(scores)), scores
        if len(top) > k:
            chosen = np.argpartition(top, len(top) - k)[len(top) - k :]
            places, top = places[chosen], top[chosen]
        found = places if rows is None else rows[places]
        return found[top > 0.0], top[top > 0.0]

    def at_least(self, floor: float) -> tuple[Rows, Scores]:
        """Return the rows above nothing that reach ``floor``, in order, and their sums."""
        rows, scores = self._some()
        near = np.flatnonzero(scores >= floor if floor > 0.0 else scores > 0.0)
        if rows is not None:
            near = np.sort(rows[near])
        return near, self._every[near]

    def _some(self) -> tuple[Rows | None, Scores]:
        """Return the rows that got any, and their sums; no rows where those are all in order."""
        if self._having is None:
            return None, self._every
        if len(self._having) != 1:
            every = self._having or [np.zeros(0, dtype=np.int64)]
            self._having = [np.concatenate(every)]
        rows = self._having[0].astype(np.int64)
        return rows, self._every.take(rows)

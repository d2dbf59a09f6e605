"""Numbers of a vocabulary in, the few that count out: the best, a covering set, one of them drawn.

Sorting 150,000 numbers takes 3 ms and summing them up one by one takes 1 ms, so neither is done to
all of them: the best few are found first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Indices", "Row", "Weights", "best_of", "covering", "pick", "total"]

Row = NDArray[np.float32]
Weights = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]

_HEIGHT = 64  # numbers that one column of the first look stands for
_FIRST, _GROWTH = 64, 32  # how many of the best are tried, and how many times more after that
_FEW = 4096  # numpy's stable sort is quick up to here; beyond, equal numbers come in any order


def best_of(keys: Weights, k: int) -> Indices:
    """Return the indices of the ``k`` largest numbers, largest first; of equals, the first."""
    found = np.arange(len(keys)) if k >= len(keys) else _best_unsorted(keys, k)
    order = np.argsort(-keys[found], kind="stable" if len(found) <= _FEW else "quicksort")
    return found[order[:k]]


def _best_unsorted(keys: Weights, k: int) -> Indices:
    """Return the indices of the ``k`` largest numbers and of not many more, in order."""
    width = len(keys) // _HEIGHT
    if k > width:
        return np.flatnonzero(keys >= np.partition(keys, len(keys) - k)[len(keys) - k])
    whole = width * _HEIGHT
    grid = keys[:whole].reshape(_HEIGHT, width)
    maxima = grid.max(axis=0)
    # At least k numbers reach the k-th largest of the columns' maxima: one in each of k columns.
    floor = np.partition(maxima, width - k)[width - k]
    columns = np.flatnonzero(maxima >= floor)
    high, place = np.nonzero(grid[:, columns] >= floor)
    rest = whole + np.flatnonzero(keys[whole:] >= floor)
    return np.concatenate((high * width + columns[place], rest))


def covering(keys: Weights, weights: Weights, mass: float) -> Indices:
    """Return the fewest indices, largest keys first, whose weights sum to ``mass``; at least one.

    Args:
        weights: One for each key, 0 or more.
        mass: At most the sum of the weights; all are returned where rounding leaves them below.
    """
    size = _FIRST
    while True:
        found = best_of(keys, size)
        sums = np.cumsum(weights[found], dtype=np.float64)
        if sums[-1] >= mass or size >= len(keys):
            return found[: int(np.searchsorted(sums, mass)) + 1]
        size *= _GROWTH


def total(weights: Weights) -> float:
    """Return the sum, within 1e-6 of it."""
    return float(_columns(weights).sum(dtype=np.float64))


def pick(weights: Weights, random: float) -> int:
    """Return an index with the probability of its weight; never one of weight 0.

    Args:
        weights: 0 or more each, not all 0.
        random: Uniform in [0, 1).
    """
    # First a column, then one of its numbers.
    columns = np.cumsum(_columns(weights), dtype=np.float64)
    column = _place(columns, random * columns[-1])
    rest = random * columns[-1] - (columns[column - 1] if column else 0.0)
    width = len(weights) // _HEIGHT
    if column >= width:  # of those that fill no column, each is one of its own
        return width * _HEIGHT + column - width
    inside = np.cumsum(weights[column : width * _HEIGHT : width], dtype=np.float64)
    return column + width * _place(inside, max(rest, 0.0))


def _columns(weights: Weights) -> Weights:
    """Return the sum of every column of the weights laid out in rows, then what fills no row.

    Rows are added up many numbers at a time: three times as fast as summing up each row.
    """
    width = len(weights) // _HEIGHT
    whole = width * _HEIGHT
    if not width:
        return weights
    sums: Weights = weights[:whole].reshape(_HEIGHT, width).sum(axis=0)
    return np.append(sums, weights[whole:])


def _place(sums: NDArray[np.float64], goal: float) -> int:
    """Return the first index whose sum is above the goal; the last that adds to it if none is."""
    place = int(np.searchsorted(sums, goal, side="right"))
    # Rounding can put the goal at the end: the last sum's first index is the last with a weight.
    return place if place < len(sums) else int(np.searchsorted(sums, sums[-1]))

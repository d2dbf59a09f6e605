"""Numbers of a vocabulary in, the few that count out: the best, or a covering set.

Sorting 150,000 numbers takes 3 ms and summing them up one by one takes 1 ms, so neither is done to
all of them: the best few are found first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HEIGHT",
    "Indices",
    "Row",
    "Weights",
    "best_of",
    "column_sums",
    "covering",
    "most_of",
    "total",
]

Row = NDArray[np.float32]
Weights = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]

HEIGHT = 64
"""Numbers that one column of a sum, or of the first look, stands for."""

_THIN = 8  # beyond one of so many columns, looking at the columns first gains nothing
_STRIDE = 16  # of so many numbers one is looked at first, to guess where the best begin
_SIZES = (64, 2048)  # how many of the best a covering set is looked for among, one after another
_FEW = 4096  # numpy's stable sort is quick up to here; beyond, equal numbers come in any order


def best_of(keys: Weights, k: int) -> Indices:
    """Return the indices of the ``k`` largest numbers, largest first; of equals, the first."""
    found = np.arange(len(keys)) if k >= len(keys) else _best_unsorted(keys, k)
    return found[_descending(keys[found])[:k]]


def _descending(keys: Weights) -> Indices:
    return np.argsort(-keys, kind="stable" if len(keys) <= _FEW else "quicksort")


def _best_unsorted(keys: Weights, k: int) -> Indices:
    """Return the indices of the ``k`` largest numbers and of not many more, in order."""
    width = len(keys) // HEIGHT
    if k <= width // _THIN:
        found = _best_by_column(keys, k, width)
        if len(found) <= _FEW:
            return found
    sample = keys[::_STRIDE]
    share = k / _STRIDE
    rank = int(share + 4.0 * math.sqrt(share)) + 4  # four standard deviations on the safe side
    if rank < len(sample) // 2:
        floor = np.partition(sample, len(sample) - rank)[len(sample) - rank]
        found = np.flatnonzero(keys >= floor)
        if k <= len(found) <= 4 * _STRIDE * rank:
            return found
    # The look misled, since the best stand close together or many numbers are equal.
    floor = np.partition(keys, len(keys) - k)[len(keys) - k]
    above = np.flatnonzero(keys > floor)
    equal = np.flatnonzero(keys == floor)[: k - len(above)]
    return np.sort(np.concatenate((above, equal)))


def most_of(keys: Weights, k: int) -> Indices:
    """Return the indices of the ``k`` largest numbers, in any order; quicker than ``best_of``."""
    if k >= len(keys):
        return np.arange(len(keys))
    found = _best_unsorted(keys, k)
    surplus = len(found) - k
    return found if not surplus else found[np.argpartition(keys[found], surplus)[surplus:]]


def _best_by_column(keys: Weights, k: int, width: int) -> Indices:
    whole = width * HEIGHT
    grid = keys[:whole].reshape(HEIGHT, width)
    maxima = grid.max(axis=0)
    # At least k numbers reach the k-th largest of the columns' maxima: one in each of k columns.
    floor = np.partition(maxima, width - k)[width - k]
    columns = np.flatnonzero(maxima >= floor)
    # Of the rows in one: numpy finds them in two dimensions at half the speed.
    high, place = np.divmod(np.flatnonzero(grid[:, columns] >= floor), len(columns))
    rest = whole + np.flatnonzero(keys[whole:] >= floor)
    return np.concatenate((high * width + columns[place], rest))


def covering(keys: Weights, weights: Weights, mass: float) -> Indices:
    """Return the fewest indices, of the largest keys, whose weights sum to ``mass``; at least one.

    Args:
        weights: One for each key, 0 or more.
        mass: At most the sum of the weights; all are returned where rounding leaves them below.
    """
    for size in _SIZES:
        found = best_of(keys, size)
        sums = np.cumsum(weights[found], dtype=np.float64)
        if sums[-1] >= mass or size >= len(keys):
            return found[: _last(sums, mass) + 1]
    many = _covering_many(keys, weights, mass, keys[found[-1]])
    if many is not None:
        return many
    found = _descending(keys)
    return found[: _last(np.cumsum(weights[found], dtype=np.float64), mass) + 1]


def _covering_many(keys: Weights, weights: Weights, mass: float, most: float) -> Indices | None:
    """Find a large covering set by sorting only what is near its edge; None where that fails.

    Args:
        most: The edge lies below this key. What is above is left out of the sample: few heavy ones
            would spoil it.
    """
    start = total(weights[keys >= most])
    order = np.arange(0, len(keys), _STRIDE)
    order = order[keys[order] < most]
    order = order[_descending(keys[order])]
    if not len(order):
        return None
    sums = start + np.cumsum(weights[order], dtype=np.float64) * _STRIDE
    margin = 4.0 * _STRIDE * float(np.linalg.norm(weights[order]))
    first, last = _last(sums, mass - margin), _last(sums, mass + margin)
    high = keys[order[first - 1]] if first else most
    low = keys[order[last]] if last < len(order) else -np.inf
    sure = np.flatnonzero(keys > high)
    edge = np.flatnonzero((keys <= high) & (keys >= low))
    edge = edge[_descending(keys[edge])]
    before = total(weights[sure])
    sums = before + np.cumsum(weights[edge], dtype=np.float64)
    if not len(edge) or not before < mass <= sums[-1]:
        return None
    return np.concatenate((sure, edge[: _last(sums, mass) + 1]))


def _last(sums: NDArray[np.float64], mass: float) -> int:
    return int(np.searchsorted(sums, mass))


def total(weights: Weights) -> float:
    """Return the sum, within 1e-6 of it."""
    return float(column_sums(weights).sum(dtype=np.float64))


def column_sums(weights: Weights) -> Weights:
    """Return the sum of every column of the weights laid out in rows, then what fills no row.

    Rows are added up many numbers at a time: three times as fast as summing up each row.
    """
    width = len(weights) // HEIGHT
    whole = width * HEIGHT
    if not width:
        return weights
    sums: Weights = weights[:whole].reshape(HEIGHT, width).sum(axis=0)
    return np.append(sums, weights[whole:])

"""Token vectors in, scores by late interaction out: for each token of the question its nearest one.

ColBERT's MaxSim (Khattab and Zaharia 2020, arXiv:2004.12832), as a mean over the question's tokens,
so that 1 is best. Candidates come from centroids: each token stands for its nearest one, and a row
is as near as the nearest of its centroids (PLAID, Santhanam et al. 2022, arXiv:2205.09707).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss as untyped_faiss
import numpy as np
from numpy.typing import NDArray

from ragstack.index.attributes import Rows
from ragstack.protocols import Vectors

__all__ = ["Lists", "Tokens", "assigned", "quantised", "spread", "trained"]

faiss: Any = untyped_faiss  # its stubs know the C++ signatures, not the Python ones

_LEVELS = 127
_EXACT = (1 << 24) // (_LEVELS * _LEVELS)  # longer products leave the whole numbers of float32
_AT_ONCE = 65_536  # tokens compared at once
_ROUNDS, _SAMPLE, _SEED = 6, 48, 20_261_121
_PROBES = 16  # centroids looked up for each token of the question
_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of all rows: int8 numbers, a scale for each token, where each row begins."""

    numbers: NDArray[np.int8]
    scales: Vectors
    starts: NDArray[np.int64]

    def scores(self, asked: Vectors, rows: Rows) -> NDArray[np.float64]:
        """Return the score of each of these rows, each with one token at least.

        Products are sums of whole numbers, exact in any order: where a row lies, and what is
        scored with it, changes nothing.
        """
        wanted, own = quantised(asked)
        kind: Any = np.float32 if asked.shape[1] <= _EXACT else np.float64
        whole = wanted.astype(kind)
        sizes = self.starts[rows + 1] - self.starts[rows]
        found = np.empty(len(rows), dtype=np.float64)
        for some in _batches(sizes):
            places = spread(self.starts[rows[some]], sizes[some])
            likeness = (self.numbers[places].astype(kind) @ whole.T).astype(np.float64)
            likeness *= self.scales[places].astype(np.float64)[:, np.newaxis]
            begins = np.cumsum(sizes[some]) - sizes[some]
            nearest = np.maximum.reduceat(likeness, begins, axis=0)
            # One after another: a sum along an axis may take another order for another shape.
            total = np.zeros(len(begins), dtype=np.float64)
            for column, scale in zip(nearest.T, own.tolist(), strict=True):
                total += column * scale
            found[some] = total / len(wanted)
        return found


@dataclass(frozen=True, slots=True)
class Lists:
    """For each centroid the rows that have a token near it."""

    centroids: Vectors
    rows: NDArray[np.int32]
    starts: NDArray[np.int64]
    size: int

    @classmethod
    def of(cls, centroids: Vectors, codes: NDArray[np.uint16], starts: NDArray[np.int64]) -> Lists:
        """Return the lists of tokens that stand for these centroids, by row."""
        owner = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(centroids) + 1))
        return cls(centroids, owner[order], ends, len(starts) - 1)

    def likely(self, asked: Vectors, passing: NDArray[np.bool_], count: int) -> Rows:
        """Return ``count`` passing rows whose centroids are nearest."""
        likeness = asked @ self.centroids.T
        probes = min(_PROBES, len(self.centroids))
        total = np.zeros(self.size, dtype=np.float32)
        best = np.empty(self.size, dtype=np.float32)
        for row in likeness:
            near = np.argpartition(row, len(row) - probes)[len(row) - probes :]
            near = near[np.argsort(row[near])]
            best[:] = row[near[0]]  # what is not looked up is at most as near as the last that is
            for one in near.tolist():  # the nearest last, so it is what stays
                best[self.rows[self.starts[one] : self.starts[one + 1]]] = row[one]
            total += best
        total[~passing] = -np.inf
        found: Rows = np.argpartition(total, self.size - count)[self.size - count :]
        return found


def quantised(vectors: Vectors) -> tuple[NDArray[np.int8], Vectors]:
    """Return whole numbers from -127 to 127 and what one of them is worth, for each row.

    The worth is such that a row keeps its length: a vector's product with itself stays 1.
    """
    most = np.abs(vectors).max(axis=1, initial=0.0)
    numbers = np.rint(vectors * (_LEVELS / np.where(most > 0, most, 1.0))[:, np.newaxis])
    lengths = np.linalg.norm(numbers, axis=1)
    scales = np.linalg.norm(vectors, axis=1) / np.where(lengths > 0, lengths, 1.0)
    return numbers.astype(np.int8), scales.astype(np.float32)


def trained(numbers: NDArray[np.int8], scales: Vectors, count: int) -> Vectors:
    """Return ``count`` centroids of the tokens, unit rows, by k-means over a sample of them."""
    enough = min(len(numbers), _SAMPLE * count)
    dice = np.random.default_rng(_SEED)
    chosen = np.sort(dice.choice(len(numbers), enough, replace=False))
    sample = numbers[chosen].astype(np.float32) * scales[chosen][:, np.newaxis]
    means = faiss.Kmeans(
        sample.shape[1],
        count,
        niter=_ROUNDS,
        seed=1,
        spherical=True,
        max_points_per_centroid=_SAMPLE,
    )
    means.train(np.ascontiguousarray(sample))
    found: Vectors = means.centroids
    return found


def assigned(centroids: Vectors, vectors: Vectors) -> NDArray[np.uint16]:
    """Return the number of the centroid nearest to each vector."""
    found = np.empty(len(vectors), dtype=np.uint16)
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], dtype=np.float32)
        found[start : start + _BLOCK] = (block @ centroids.T).argmax(axis=1)
    return found


def _batches(sizes: NDArray[np.int64]) -> list[slice]:
    """Return runs of rows that have not too many tokens together."""
    ends = np.cumsum(sizes)
    cuts, begin = [], 0
    while begin < len(sizes):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        cuts.append(slice(begin, end))
        begin = end
    return cuts


def spread(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return start, start + 1, … for each start, as many as its size, in one array."""
    begins = np.cumsum(sizes) - sizes
    found: NDArray[np.int64] = np.repeat(starts - begins, sizes) + np.arange(int(sizes.sum()))
    return found

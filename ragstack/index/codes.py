"""Vectors in, an eight-bit copy of each in one file out: scores of few rows, near enough to sift.

A row of 384 numbers is 388 bytes where the true one is 1,536: a million lie in the memory of a
laptop. Each row has a step of its own, so rows are appended and none is ever written anew. Knows no
chunks and no structure.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import IndexStateError
from ragstack.index.attributes import Rows
from ragstack.index.exact import write_at
from ragstack.protocols import Vectors
from ragstack.vectors import products

__all__ = ["Codes", "extend", "load", "width"]

_STEP = 4  # bytes in front of a row: what one of its numbers counts
_MOST = 127
_BLOCK = 16_384  # rows copied at once
# Rounding to a step errs by step / √12 on the mean, of two rows that are compared by √2 times that
# (a unit query adds up independent errors). Beyond five times that lies one in three million, were
# their sum normal.
_MARGIN = 5 * math.sqrt(2 / 12)


@dataclass(frozen=True, slots=True)
class Codes:
    """The copies of rows 0 … n - 1. Safe to use from many threads."""

    rows: NDArray[np.uint8]

    def sifted(self, wanted: Vectors, rows: Rows, k: int) -> Rows:
        """Return those of the rows that can be among their best ``k`` for a unit vector."""
        if len(rows) <= k:
            return rows
        raw = self.rows[rows]
        steps = raw[:, :_STEP].copy().view(np.float32)[:, 0]
        if not steps.max() <= 1:  # damaged: no unit vector has such a step, and NaN is none
            return rows
        scores = steps * products(raw[:, _STEP:].view(np.int8).astype(np.float32), wanted)
        least = np.partition(scores, -k)[-k]
        found: Rows = rows[scores >= least - _MARGIN * float(steps.max())]
        return found


def width(dimensions: int) -> int:
    """Return the bytes of a row."""
    return _STEP + dimensions


def extend(path: Path, vectors: Vectors, *, covered: int) -> None:
    """Write the copies of the rows from ``covered`` on, over whatever stands there."""
    each = width(vectors.shape[1])
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        for start in range(covered, len(vectors), _BLOCK):
            write_at(file, _coded(vectors[start : start + _BLOCK]), at=start * each)
        os.fsync(file)
    finally:
        os.close(file)


def load(path: Path, rows: int, dimensions: int) -> Codes:
    """Return the copies of so many rows, mapped.

    Raises:
        IndexStateError: The file is too short.
    """
    shape = (rows, width(dimensions))
    if path.stat().st_size < rows * shape[1]:
        raise IndexStateError(f"{path.name!r} is too short for {rows} rows")
    mapped = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)
    return Codes(np.asarray(mapped))


def _coded(vectors: Vectors) -> NDArray[np.uint8]:
    steps = (np.abs(vectors).max(axis=1, keepdims=True) / _MOST).astype(np.float32)
    # A row of zeros has no step, and needs none.
    numbers = np.rint(vectors / np.where(steps > 0, steps, 1)).astype(np.int8)
    return np.concatenate([steps.view(np.uint8), numbers.view(np.uint8)], axis=1)

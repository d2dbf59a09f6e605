"""Rows and two words in, how often one stands shortly before the other out.

Read off the rows' texts, which are kept as terms in their order; knows nothing of scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragstack.index.attributes import Bits, Rows
from ragstack.index.bm25.arrays import Array
from ragstack.index.bm25.segment import Segment, ragged

__all__ = ["REACH", "followed"]

REACH = (
    3  # terms from the first to the second at most: words that a query leaves out may stand there
)


def followed(
    segment: Segment, rows: Rows, first: Sequence[int], second: Sequence[int]
) -> NDArray[np.int64]:
    """Return for each row how often a ``second`` has a ``first`` among the terms before it.

    Args:
        first: Numbers of the terms that one word may stand as.
        second: Those of the other; it counts once wherever it stands, so never more often than it
            occurs.
    """
    where, sizes = ragged(segment.text_starts, rows)
    texts = segment.texts[where]
    owners = np.repeat(np.arange(len(rows), dtype=np.int64), sizes)
    begins, ends = _any_of(texts, first), _any_of(texts, second)
    found = np.zeros(len(texts), dtype=np.bool_)
    for distance in range(1, REACH + 1):
        same = owners[distance:] == owners[:-distance]
        found[distance:] |= begins[:-distance] & same
    return np.bincount(owners[found & ends], minlength=len(rows))


def _any_of(texts: Array, numbers: Sequence[int]) -> Bits:
    found = np.zeros(len(texts), dtype=np.bool_)
    for number in numbers:
        found |= texts == number
    return found

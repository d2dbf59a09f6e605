"""Arrays in, a stretch of rows with its words out: dictionary, postings, lengths, texts as terms.

A segment never changes. What was deleted since is a ``Living`` beside it, which is never changed
either: taking rows away makes another one, so a search keeps what it began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragstack.index.attributes import Bits, Rows
from ragstack.index.bm25.arrays import Array, Arrays

__all__ = ["BLOCK", "Living", "Segment", "assembled", "living", "ragged", "smallest", "without"]

BLOCK = 128  # postings that share one bound
_KNOWN = 1 << 16  # looked-up terms that are remembered


class Segment:
    """Rows ``base`` to ``base + size`` of an index.

    Attributes:
        arrays: ``letters`` and ``letter_starts`` (the sorted terms, UTF-8), ``starts`` (first
            posting of each term), ``rows`` and ``counts`` (a posting: row from ``base``, weighted
            frequency), ``block_starts``, ``block_counts`` and ``block_lengths`` (greatest count and
            least length of each 128 postings), ``lengths`` (of each row), ``text_starts`` and
            ``texts`` (the terms of each row in their order).
    """

    def __init__(self, arrays: Arrays, base: int) -> None:
        self.arrays = arrays
        self.base = base
        self.starts: Array = arrays["starts"]
        self.rows: Array = arrays["rows"]
        self.counts: Array = arrays["counts"]
        self.lengths: Array = arrays["lengths"]
        self.text_starts: Array = arrays["text_starts"]
        self.texts: Array = arrays["texts"]
        self._letters = arrays["letters"].data
        self._ends: Array = arrays["letter_starts"]
        self._known: dict[bytes, int] = {}

    @property
    def size(self) -> int:
        """How many rows it spans, empty ones too."""
        return len(self.lengths)

    @property
    def vocabulary(self) -> int:
        """How many terms it has."""
        return len(self.starts) - 1

    def fits(self) -> bool:
        """Return whether all offsets lie where they may; for arrays that come from a file."""
        arrays, terms = self.arrays, self.vocabulary
        ranges = [
            ("letter_starts", terms, len(arrays["letters"])),
            ("starts", terms, len(self.rows)),
            ("block_starts", terms, len(arrays["block_counts"])),
            ("text_starts", self.size, len(self.texts)),
        ]
        same = len(self.counts) == len(self.rows) and len(arrays["block_lengths"]) == ranges[2][2]
        return same and all(_climbs(arrays[name], count, end) for name, count, end in ranges)

    def find(self, term: bytes) -> int:
        """Return the number of a term; -1 where it does not occur."""
        found = self._known.get(term)
        if found is None:
            found = self._sought(term)
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[term] = found
        return found

    def terms(self) -> list[bytes]:
        """Return all terms, sorted."""
        letters, ends = bytes(self._letters), self._ends.tolist()
        return [letters[a:b] for a, b in pairwise(ends)]

    def postings(self, number: int) -> slice:
        """Return where the postings of a term lie in ``rows`` and ``counts``."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    def blocks(self, number: int) -> tuple[Array, Array]:
        """Return the greatest counts and the least lengths of a term's blocks."""
        starts = self.arrays["block_starts"]
        where = slice(int(starts[number]), int(starts[number + 1]))
        return self.arrays["block_counts"][where], self.arrays["block_lengths"][where]

    def distinct(self, rows: Rows) -> tuple[Array, Array]:
        """Return the terms that some rows have, and in how many of them each stands."""
        where, sizes = ragged(self.text_starts, rows)
        width = max(1, self.vocabulary)
        owners = np.repeat(np.arange(len(rows), dtype=np.int64), sizes)
        pairs = np.unique(owners * width + self.texts[where])
        return np.unique(pairs % width, return_counts=True)

    def _sought(self, term: bytes) -> int:
        letters, ends = self._letters, self._ends
        low, high = 0, self.vocabulary
        while low < high:
            middle = (low + high) // 2
            if bytes(letters[ends[middle] : ends[middle + 1]]) < term:
                low = middle + 1
            else:
                high = middle
        there = low < self.vocabulary and bytes(letters[ends[low] : ends[low + 1]]) == term
        return low if there else -1


class Living(NamedTuple):
    """What of a segment has not been deleted.

    Attributes:
        alive: Of each row.
        gone: Rows with each term that were deleted; None while none were.
        length: Sum of the lengths of the rows alive.
    """

    segment: Segment
    alive: Bits
    gone: NDArray[np.int64] | None
    length: int

    @property
    def whole(self) -> bool:
        """Whether no posting belongs to a deleted row."""
        return self.gone is None

    def having(self, number: int) -> int:
        """Return how many rows alive have a term."""
        there = int(self.segment.starts[number + 1] - self.segment.starts[number])
        return there if self.gone is None else there - int(self.gone[number])


def living(segment: Segment, alive: Bits) -> Living:
    """Return what of a segment lives, counted from its rows."""
    every = np.ones(segment.size, dtype=np.bool_)
    length = int(segment.lengths.sum(dtype=np.int64))
    return without(Living(segment, every, None, length), alive)


def without(there: Living, alive: Bits) -> Living:
    """Return what lives once the rows that ``alive`` no longer has are taken away."""
    segment = there.segment
    lost = np.flatnonzero(there.alive & ~alive)
    if not len(lost):
        return there
    length = there.length - int(segment.lengths[lost].sum(dtype=np.int64))
    terms, rows = segment.distinct(lost)
    if not len(terms):  # a row without words, or one that was empty from the start
        return Living(segment, alive.copy(), there.gone, length)
    before = there.gone
    gone = np.zeros(segment.vocabulary, dtype=np.int64) if before is None else before.copy()
    gone[terms] += rows
    return Living(segment, alive.copy(), gone, length)


def ragged(starts: Array, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places that some rows of unequal length take, row after row, and each's size."""
    begins = starts[rows].astype(np.int64)
    sizes = starts[rows + 1].astype(np.int64) - begins
    skipped = np.cumsum(sizes) - sizes
    return np.repeat(begins - skipped, sizes) + np.arange(int(sizes.sum())), sizes


def smallest(array: Array) -> Array:
    """Return the same numbers, none of them negative, in as few bytes as hold them."""
    most = int(array.max(initial=0))
    for kind in ("|u1", "<u2", "<u4"):
        if most <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype("<i8")


class Postings(NamedTuple):
    """What a segment is made of, in plain arrays.

    Attributes:
        having: Postings of each term; none has 0.
    """

    terms: Sequence[bytes]
    having: Array
    rows: Array
    counts: Array
    lengths: Array
    text_sizes: Array
    texts: Array


def assembled(made: Postings, base: int) -> Segment:
    """Return a segment of what was counted: offsets and bounds are added."""
    starts, lengths = _starts(made.having), smallest(made.lengths)
    rows, counts = smallest(made.rows), smallest(made.counts)
    blocks = -(-made.having.astype(np.int64) // BLOCK)
    block_starts = _starts(blocks)
    within = np.arange(int(block_starts[-1])) - np.repeat(block_starts[:-1], blocks)
    begins = np.repeat(starts[:-1], blocks) + BLOCK * within
    arrays = {
        "letters": np.frombuffer(b"".join(made.terms), dtype="|u1"),
        "letter_starts": _starts(np.array([len(term) for term in made.terms], dtype=np.int64)),
        "starts": starts,
        "rows": rows,
        "counts": counts,
        "block_starts": block_starts,
        "block_counts": np.maximum.reduceat(counts, begins) if len(begins) else counts,
        "block_lengths": (
            np.minimum.reduceat(lengths[rows], begins) if len(begins) else lengths[:0]
        ),
        "lengths": lengths,
        "text_starts": _starts(made.text_sizes),
        "texts": smallest(made.texts),
    }
    return Segment(arrays, base)


def _climbs(starts: Array, count: int, end: int) -> bool:
    whole = len(starts) == count + 1 and starts[0] == 0 and starts[-1] == end
    return whole and bool((np.diff(starts) >= 0).all())


def _starts(sizes: Array) -> NDArray[np.int64]:
    starts = np.zeros(len(sizes) + 1, dtype="<i8")
    np.cumsum(sizes, out=starts[1:])
    return starts

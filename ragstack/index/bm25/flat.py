"""All postings of a query's words in, all scores out, in one go: for lists that are short together.

A look at each word costs some 40 microseconds of Python, more than the work on a few hundred
postings; here it is done for all words at once, in float64 and word by word in the query's order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ragstack.index.attributes import Bits, Rows
from ragstack.index.bm25.arrays import Array
from ragstack.index.bm25.segment import Segment, ragged
from ragstack.index.bm25.variants import Scoring

__all__ = ["Form", "Norms", "Words", "all_scores"]

_FEW = 12  # with fewer than one posting in so many rows, only those rows are summed


class Form(NamedTuple):
    """A term in one segment: its number there, and its weight in this query."""

    number: int
    weight: float


Words = Mapping[int, Sequence[Form]]
"""The words of a query that a segment knows, by their place in the query."""


class Norms(Protocol):
    """What lengths and frequencies are measured by."""

    @property
    def scoring(self) -> Scoring:
        """The formula."""
        ...

    @property
    def scale(self) -> int:
        """What a frequency of one is stored as."""
        ...

    def norm_of(self, lengths: Array) -> NDArray[np.float64]:
        """Return ``1 - b + b * length / mean length``."""
        ...


def all_scores(
    corpus: Norms, segment: Segment, words: Words, passing: Bits | None
) -> tuple[Rows, NDArray[np.float64]]:
    """Return the rows that may be found and have a word that weighs something, and their scores."""
    forms = [form for _, word in sorted(words.items()) for form in word]
    where, sizes = ragged(segment.starts, np.array([f.number for f in forms], dtype=np.int64))
    rows = segment.rows[where].astype(np.int64)
    tf = segment.counts[where].astype(np.float64) / corpus.scale
    gains = corpus.scoring.gain(tf, corpus.norm_of(segment.lengths[rows]))
    values = gains * np.repeat(np.array([form.weight for form in forms]), sizes)
    if len(forms) > len(words):
        _best_of_forms(values, rows, sizes, (len(word) for _, word in sorted(words.items())))
    if len(rows) * _FEW < segment.size:
        rows, places = np.unique(rows, return_inverse=True)
        scores = _summed(places, values, len(rows))
    else:
        scores = _summed(rows, values, segment.size)
        rows = np.flatnonzero(scores)
        scores = scores[rows]
    if passing is not None:
        through = passing[rows]
        rows, scores = rows[through], scores[through]
    return rows, scores


def _summed(places: Rows, values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(places, weights=values, minlength=size), dtype=np.float64)


def _best_of_forms(
    values: NDArray[np.float64], rows: Rows, sizes: Rows, forms: Iterable[int]
) -> None:
    """Set to 0 what is not the best a row has of the forms of a word."""
    counts = np.fromiter(forms, dtype=np.int64)
    words = np.repeat(np.repeat(np.arange(len(counts)), counts), sizes)
    several = np.flatnonzero((counts > 1)[words])
    order = several[np.lexsort((-values[several], rows[several], words[several]))]
    same = (rows[order[1:]] == rows[order[:-1]]) & (words[order[1:]] == words[order[:-1]])
    values[order[1:][same]] = 0.0

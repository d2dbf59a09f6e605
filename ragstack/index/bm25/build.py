"""Terms of texts in, a segment out: what was added and not yet searched is gathered here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragstack.index.bm25.segment import Postings, Segment, assembled

__all__ = ["Field", "Gathered"]

Field = tuple[int, Sequence[str]]
"""The weight of a field's terms, and those in their order."""


class Gathered:
    """Rows in the order they were added, as numbers of terms."""

    def __init__(self) -> None:
        self._numbers = _Numbers()
        self._texts: list[int] = []
        self._weights: list[int] = []  # of each run of terms below
        self._runs: list[int] = []
        self._sizes: list[int] = []

    def __len__(self) -> int:
        """Return how many rows are gathered."""
        return len(self._sizes)

    @property
    def tokens(self) -> int:
        """How many terms they have in all."""
        return len(self._texts)

    def add(self, fields: Sequence[Field]) -> None:
        """Take in the next row."""
        before = len(self._texts)
        for weight, terms in fields:
            self._texts += map(self._numbers.__getitem__, terms)
            self._weights.append(weight)
            self._runs.append(len(terms))
        self._sizes.append(len(self._texts) - before)

    def segment(self, base: int) -> Segment:
        """Return the rows as a segment that begins at ``base``."""
        sizes = np.array(self._sizes, dtype=np.int64)
        names = [name.encode("utf-8", "surrogatepass") for name in self._numbers]
        order = sorted(range(len(names)), key=names.__getitem__)
        sorted_number = np.zeros(len(names), dtype=np.int64)
        sorted_number[order] = np.arange(len(names))
        texts = sorted_number[np.array(self._texts, dtype=np.int64)]
        owners = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
        weights = np.repeat(
            np.array(self._weights, dtype=np.int64), np.array(self._runs, dtype=np.int64)
        )
        width = max(1, len(sizes))
        pairs = texts * width + owners
        if len(set(self._weights)) == 1:
            distinct, counts = np.unique(pairs, return_counts=True)
            counts = counts * self._weights[0]
        else:
            distinct, places = np.unique(pairs, return_inverse=True)
            counts = np.zeros(len(distinct), dtype=np.int64)
            np.add.at(counts, places, weights)
        lengths = np.zeros(len(sizes), dtype=np.int64)
        np.add.at(lengths, owners, weights)
        return assembled(
            Postings(
                terms=[names[place] for place in order],
                having=np.bincount(distinct // width, minlength=len(names)),
                rows=distinct % width,
                counts=counts,
                lengths=lengths,
                text_sizes=sizes,
                texts=texts,
            ),
            base,
        )


class _Numbers(dict[str, int]):
    """Numbers terms in the order they are first asked for."""

    def __missing__(self, term: str) -> int:
        number = self[term] = len(self)
        return number

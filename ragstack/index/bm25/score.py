"""Words and what lives of an index in, the best rows out: exact, without scoring every row.

A word is the terms it may stand as; a row gets the best of them. Within a segment the words are
taken by what they can add at most, greatest first (MaxScore: Turtle and Flood, Query Evaluation:
Strategies and Optimizations, 1995). Once the words that are left cannot lift an unseen row to the
k-th place, they are only looked up in the rows that are still in the race. What the k-th place has
is known early from the best so far, which are looked up in all words. The greatest a word can add
is known from blocks of its postings (Ding and Suel, Faster Top-k Document Retrieval Using
Block-Max Indexes, SIGIR 2011). Scores are float32 there; the best are then computed once more in
float64, word by word in the query's order, so that neither merges nor the batch change a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragstack.index.attributes import Bits, Rows
from ragstack.index.bm25.arrays import Array
from ragstack.index.bm25.flat import Form, Words, all_scores
from ragstack.index.bm25.phrases import followed
from ragstack.index.bm25.segment import Living, Segment
from ragstack.index.bm25.sums import Sums
from ragstack.index.bm25.variants import Scoring

__all__ = ["Asked", "Corpus", "Query", "best"]

Scores = NDArray[np.float32]
Word = Sequence[Form]

_NOISE = 1e-5  # share by which a score in float32 may be off, at the very most
_SHORT = 1 << 13  # postings that are scored in one go, all of them
_KNOWN = 1 << 16  # terms of a segment whose greatest gain is remembered
_LOOKUP = 4  # a look-up costs so many times what the next posting of a scan does


class Asked(NamedTuple):
    """A word of a query: the terms it may stand as, and how much each of them counts."""

    terms: tuple[bytes, ...]
    weights: tuple[float, ...]


class Query(NamedTuple):
    """What is asked.

    Attributes:
        pairs: Places of words that stand next to each other in the question.
        adjacency: What they are worth when they do so in a chunk, as a share of the lesser word.
    """

    words: Sequence[Asked]
    pairs: Sequence[tuple[int, int]] = ()
    adjacency: float = 0.0


@dataclass(frozen=True)
class Corpus:
    """All that lives, and how it is scored.

    Attributes:
        scale: What a frequency of one is stored as.
        norms: Of each segment's rows, once they were needed; filled by searches.
        greatest: What a term of a segment adds at most, for a weight of one; filled by searches.
    """

    parts: tuple[Living, ...]
    chunks: int
    scoring: Scoring
    scale: int
    norms: dict[int, Scores] = field(default_factory=dict)
    greatest: dict[int, dict[int, float]] = field(default_factory=dict)

    @property
    def mean_length(self) -> float:
        """Mean length of the chunks; 1 where there is nothing."""
        total = sum(part.length for part in self.parts)
        return total / self.chunks if total else 1.0

    def norm_of(self, lengths: Array) -> NDArray[np.float64]:
        """Return ``1 - b + b * length / mean length``."""
        b = self.scoring.b
        return (1.0 - b) + (b / self.mean_length) * lengths.astype(np.float64)


def best(
    corpus: Corpus, query: Query, k: int, passing: Bits | None
) -> tuple[Rows, NDArray[np.float64]]:
    """Return the rows that can be among the best ``k``, ties included, and their exact scores.

    Args:
        passing: Of each row of the index, whether it may be found; None where all may.
    """
    weighted = _weighted(corpus, query.words)
    floor = 0.0
    exact: list[tuple[Rows, NDArray[np.float64]]] = []
    found: list[tuple[_Search, Rows, Scores]] = []
    reached: list[NDArray[Any]] = []
    for place in sorted(range(len(corpus.parts)), key=lambda n: -corpus.parts[n].segment.size):
        part, words = corpus.parts[place], weighted[place]
        if not words:
            continue
        through = _passing(part, passing)
        if not query.pairs and _postings(part.segment, words) <= _SHORT:
            rows, values = all_scores(corpus, part.segment, words, through)
            exact.append((rows + part.segment.base, values))
            reached.append(values)
        else:
            search = _Search(corpus, place, (query, words), through)
            rows, scores = search.candidates(k, floor)
            found.append((search, rows, scores))
            reached.append(scores)
        floor = max(floor, _kth(reached, k))
    for search, rows, scores in found:
        near = rows[scores >= (floor - search.slack) * (1.0 - _NOISE)]
        if len(near):
            exact.append((near + search.base, search.exact(near)))
    if not exact:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float64)
    return np.concatenate([r for r, _ in exact]), np.concatenate([v for _, v in exact])


def _passing(part: Living, passing: Bits | None) -> Bits | None:
    """Return which of a segment's rows may be found; None where all of its postings may."""
    if passing is not None:
        return passing[part.segment.base : part.segment.base + part.segment.size]
    return None if part.whole else part.alive


def _postings(segment: Segment, words: Words) -> int:
    starts = segment.starts
    return sum(
        int(starts[form.number + 1] - starts[form.number])
        for word in words.values()
        for form in word
    )


def _weighted(corpus: Corpus, words: Sequence[Asked]) -> list[dict[int, Word]]:
    """Return for each segment the query's words as it knows them."""
    found: list[dict[int, Word]] = [{} for _ in corpus.parts]
    for asked, word in enumerate(words):
        forms: list[list[Form]] = [[] for _ in corpus.parts]
        for term, counts in zip(word.terms, word.weights, strict=True):
            numbers = [part.segment.find(term) for part in corpus.parts]
            having = sum(
                part.having(number)
                for part, number in zip(corpus.parts, numbers, strict=True)
                if number >= 0
            )
            if not having:
                continue
            weight = counts * corpus.scoring.idf(corpus.chunks, having)
            for place, number in enumerate(numbers):
                if number >= 0 and weight > 0.0:
                    forms[place].append(Form(number, weight))
        for place, some in enumerate(forms):
            if some:
                found[place][asked] = some
    return found


def _kth(scores: Sequence[NDArray[Any]], k: int) -> float:
    every = np.concatenate(scores)
    return float(np.partition(every, len(every) - k)[len(every) - k]) if len(every) >= k else 0.0


class _Search:
    """One query in one segment."""

    def __init__(
        self, corpus: Corpus, place: int, asked: tuple[Query, Words], passing: Bits | None
    ) -> None:
        query, words = asked
        self._corpus = corpus
        self._place = place
        self._scoring = corpus.scoring
        self._part = corpus.parts[place]
        self._segment = self._part.segment
        self._scale = np.float32(corpus.scale)
        self._norms = corpus.norms.get(place)
        if self._norms is None and words:
            self._norms = corpus.norm_of(self._segment.lengths).astype(np.float32)
            corpus.norms[place] = self._norms
        self._passing = passing
        self.base = self._segment.base
        bounds = {asked: self._bound(word) for asked, word in words.items()}
        order = sorted(words, key=lambda asked: -bounds[asked])
        self._asked = words
        self._words = [words[asked] for asked in order]
        self._adjacency = query.adjacency
        self._pairs = [(a, b) for a, b in query.pairs if a in words and b in words]
        # A pair is at most as frequent as its second word, and never weighs more.
        self.slack = self._adjacency * sum(bounds[b] for _, b in self._pairs)
        # What the words from here to the end, and then the pairs, can add at most.
        added = [self.slack, *(bounds[asked] for asked in reversed(order))]
        self._rest = np.cumsum(added)[::-1].tolist()

    def candidates(self, k: int, floor: float) -> tuple[Rows, Scores]:
        """Return the rows whose score may reach ``floor`` and the best ``k`` here."""
        nothing = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        if not self._words or self._rest[0] < floor * (1.0 - _NOISE):
            return nothing
        costs = [sum(self._having(form) for form in word) for word in self._words]
        if self._passing is not None:
            allowed = int(np.count_nonzero(self._passing))
            if not allowed:
                return nothing
            if allowed * _LOOKUP * len(costs) < sum(costs):
                rows = np.flatnonzero(self._passing)
                start = np.zeros(len(rows), dtype=np.float32)
                return self._completed(rows, start, 0, (k, floor))
        sums = Sums(self._segment.size, self._passing)
        hopeful = self._rest[0] - self._rest[1]  # the k-th best rarely has less than one word
        for place, word in enumerate(self._words):
            if self._rest[place] < max(hopeful, floor) and sum(costs[place:]) > sums.cost:
                floor = max(floor, self._reached(sums, place, k))
                hopeful = floor or hopeful
                if self._rest[place] < floor * (1.0 - _NOISE):
                    rows, scores = sums.at_least((floor - self._rest[place]) * (1.0 - _NOISE))
                    if len(rows) * _LOOKUP < costs[place]:
                        return self._completed(rows, scores, place, (k, floor))
            for rows_of, values in self._contributions(word):
                sums.add(rows_of, values)
        floor = max(floor, self._reached(sums, len(self._words), k))
        return sums.at_least((floor - self.slack) * (1.0 - _NOISE))

    def _reached(self, sums: Sums, first: int, k: int) -> float:
        """Return a score that at least ``k`` rows reach; 0 if fewer have any.

        The best by the words before ``first`` are looked up in the others: what they have in all
        tells more than what they have so far.
        """
        rows, scores = sums.best(k)
        if len(rows) < k:
            return 0.0
        for word in self._words[first:]:
            scores = scores + self._looked_up(word, rows)
        return float(scores.min())

    def exact(self, rows: Rows) -> NDArray[np.float64]:
        """Return the scores of some rows in full, always summed in the same order."""
        total = np.zeros(len(rows), dtype=np.float64)
        norms = self._corpus.norm_of(self._segment.lengths[rows])
        for _, word in sorted(self._asked.items()):
            best_form = np.zeros(len(rows), dtype=np.float64)
            for form in word:
                places, there = _sought(self._part, form.number, rows)
                tf = self._segment.counts[places].astype(np.float64) / self._corpus.scale
                gains = self._scoring.gain(tf, norms[there]) * form.weight
                best_form[there] = np.maximum(best_form[there], gains)
            total += best_form
        for first, second in self._pairs:
            words = self._asked[first], self._asked[second]
            numbers = [[form.number for form in word] for word in words]
            tf = followed(self._segment, rows, numbers[0], numbers[1]).astype(np.float64)
            there = tf > 0.0
            lesser = min(max(form.weight for form in word) for word in words)
            gains = self._scoring.gain(tf[there], norms[there])
            total[there] += self._adjacency * lesser * gains
        return total

    def _completed(
        self, rows: Rows, scores: Scores, first: int, wanted: tuple[int, float]
    ) -> tuple[Rows, Scores]:
        """Look up the words from ``first`` on in these rows alone, dropping the hopeless."""
        k, floor = wanted
        for place in range(first, len(self._words)):
            scores = scores + self._looked_up(self._words[place], rows)
            if len(scores) >= k:
                floor = max(floor, _kth([scores], k))
            hopeful = scores + self._rest[place + 1] >= floor * (1.0 - _NOISE)
            rows, scores = rows[hopeful], scores[hopeful]
        real = scores > 0.0
        return rows[real], scores[real]

    def _contributions(self, word: Word) -> list[tuple[Array, Scores]]:
        """Return what a word adds to which rows; several forms add up to the best of them."""
        forms = sorted(word, key=lambda form: -self._having(form))
        found: list[tuple[Array, Scores]] = []
        for place, form in enumerate(forms):
            where = self._segment.postings(form.number)
            rows = self._segment.rows[where]
            values = self._gains(self._segment.counts[where], rows) * np.float32(form.weight)
            if place:
                held = self._looked_up(forms[:place], rows.astype(np.int64))
                values = np.maximum(values - held, np.float32(0.0))
            found.append((rows, values))
        return found

    def _looked_up(self, word: Word, rows: Rows) -> Scores:
        best_form = np.zeros(len(rows), dtype=np.float32)
        for form in word:
            places, there = _sought(self._part, form.number, rows)
            counts = self._segment.counts[places]
            values = np.zeros(len(rows), dtype=np.float32)
            values[there] = self._gains(counts, rows[there]) * np.float32(form.weight)
            np.maximum(best_form, values, out=best_form)
        return best_form

    def _gains(self, counts: Array, rows: Array) -> Scores:
        assert self._norms is not None
        tf = counts.astype(np.float32)
        if self._scale != 1.0:
            tf /= self._scale
        gains: NDArray[Any] = self._scoring.gain(tf, self._norms.take(rows))
        return gains.astype(np.float32, copy=False)

    def _having(self, form: Form) -> int:
        where = self._segment.postings(form.number)
        return int(where.stop - where.start)

    def _bound(self, word: Word) -> float:
        greatest = 0.0
        for form in word:
            greatest = max(greatest, form.weight * self._greatest(form.number))
        return greatest * (1.0 + _NOISE)

    def _greatest(self, number: int) -> float:
        known = self._corpus.greatest.setdefault(self._place, {})
        found = known.get(number)  # another search may clear it meanwhile
        if found is None:
            counts, lengths = self._segment.blocks(number)
            tf = counts.astype(np.float64) / self._corpus.scale
            found = float(self._scoring.gain(tf, self._corpus.norm_of(lengths)).max())
            if len(known) >= _KNOWN:
                known.clear()
            known[number] = found
        return found


def _sought(part: Living, number: int, rows: Rows) -> tuple[Rows, Bits]:
    """Return the postings of a term that belong to these rows, and which of the rows have one."""
    where = part.segment.postings(number)
    listed = part.segment.rows[where]
    # In the list's own type, else all of it would be converted first.
    places = np.searchsorted(listed, rows.astype(listed.dtype))
    there = listed[np.minimum(places, len(listed) - 1)] == rows
    return places[there] + where.start, there

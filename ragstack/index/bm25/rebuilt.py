"""Chunks in, hits out by a library that cannot change what it has built: it is built anew.

The store keeps the chunks' terms, so that a library is filled from there and no text is read twice;
what it builds lies in memory, and goes with the next change. Knows none of these libraries.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragstack.filters import Filter
from ragstack.index.attributes import Rows
from ragstack.index.bm25.fields import Fields
from ragstack.index.bm25.segment import ragged
from ragstack.index.bm25.store import Snapshot, Store
from ragstack.index.folder import check_position, check_search
from ragstack.types import Chunk, Hit

__all__ = ["Build", "RebuiltIndex", "ScoreOf", "Texts"]

_MAX_WORDS = 1_024  # of one query; more are a document

ScoreOf = Callable[[str], NDArray[Any]]
"""From a term to its score in each text, in the order of the texts."""


class Texts(NamedTuple):
    """All chunks there are, as numbers of terms, and what the numbers stand for."""

    numbers: list[NDArray[np.int64]]
    terms: list[str]


Build = Callable[[Texts], ScoreOf]


class _Built(NamedTuple):
    version: int
    rows: Rows
    score_of: ScoreOf


class RebuiltIndex:
    """Implements ``protocols.Index`` by whatever scores all texts for a term.

    The first search after a change builds everything anew, and each search scores every chunk.
    """

    def __init__(self, folder: Path, *, kind: str, languages: Sequence[str], build: Build) -> None:
        self._fields = Fields(languages, {"context": 1})  # they know no fields
        self._store = Store(folder, self._fields, kind=kind)
        self._build = build
        self._guard = threading.Lock()
        self._built: _Built | None = None

    @property
    def position(self) -> int:
        """Journal position of the last commit; 0 for a new index."""
        return self._store.position

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Index the chunks; one whose id is there is replaced."""
        self._store.add(chunks)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Forget these chunks; the unknown are ignored."""
        self._store.delete(chunk_ids)

    def commit(self, position: int) -> None:
        """Make everything so far durable, together with the journal position it reaches."""
        check_position(position)
        self._store.commit(position)

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id."""
        check_search(queries, k)
        there = self._store.snapshot(where)
        if not k or not there.chunks or not there.parts:
            return [[] for _ in queries]
        with self._store.translated():
            return [self._search(there, query, k) for query in queries]

    def __len__(self) -> int:
        """Return how many chunks are indexed."""
        return len(self._store)

    def verify(self) -> None:
        """Compare every byte of the last commit with its checksum.

        Raises:
            IndexStateError: One does not hold.
        """
        self._store.verify()

    def close(self) -> None:
        """Let go of files and memory. What was not committed is lost."""
        self._store.close()
        self._built = None

    def _search(self, there: Snapshot, query: str, k: int) -> list[Hit]:
        words = self._fields.analysis.words(query, there.languages)[:_MAX_WORDS]
        last = there.parts[-1].segment  # the list of ids may grow meanwhile, the parts may not
        having = np.zeros(last.base + last.size, dtype=np.bool_)
        known: dict[tuple[str, ...], int] = {}
        for word, times in Counter(words).items():
            forms = tuple(form for form in word if _mark(there, form, having))
            if forms:
                known[forms] = known.get(forms, 0) + times
        if there.passing is not None:
            having &= there.passing[: len(having)]
        if not having.any():
            return []
        built = self._current(there)
        scores = np.zeros(len(built.rows), dtype=np.float64)
        for forms, times in known.items():
            scores += times * np.max([built.score_of(form) for form in forms], axis=0)
        found = having[built.rows]
        rows, scores = built.rows[found], scores[found]
        if len(rows) > k:
            least = np.partition(scores, len(scores) - k)[len(scores) - k]
            rows, scores = rows[scores >= least], scores[scores >= least]
        pairs = zip(rows.tolist(), scores.tolist(), strict=True)
        hits = [Hit(there.ids[row], score) for row, score in pairs]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:k]

    def _current(self, there: Snapshot) -> _Built:
        with self._guard:
            if self._built is None or self._built.version != there.version:
                rows, texts = _texts(there)
                self._built = _Built(there.version, rows, self._build(texts))
            return self._built


def _mark(there: Snapshot, term: str, having: NDArray[np.bool_]) -> bool:
    """Mark the rows alive that have a term, and return whether there are any."""
    found = False
    for part in there.parts:
        number = part.segment.find(term.encode("utf-8", "surrogatepass"))
        if number >= 0 and part.having(number):
            rows = part.segment.rows[part.segment.postings(number)]
            having[part.segment.base + rows[part.alive[rows]].astype(np.int64)] = True
            found = True
    return found


def _texts(there: Snapshot) -> tuple[Rows, Texts]:
    """Return the rows alive in their order, and their texts."""
    rows: list[Rows] = [np.zeros(0, dtype=np.int64)]
    numbers: list[NDArray[np.int64]] = []
    known: dict[bytes, int] = {}
    for part in there.parts:
        segment = part.segment
        alive = np.flatnonzero(part.alive)
        mine = [known.setdefault(term, len(known)) for term in segment.terms()]
        where, sizes = ragged(segment.text_starts, alive)
        texts = np.array(mine, dtype=np.int64)[segment.texts[where]]
        numbers += np.split(texts, np.cumsum(sizes)[:-1]) if len(alive) else []
        rows.append(alive + segment.base)
    terms = [term.decode("utf-8", "surrogatepass") for term in known]
    return np.concatenate(rows), Texts(numbers, terms)

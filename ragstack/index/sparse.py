"""Chunks in, Hits by learned term weights out: the sum of products over the terms both have.

Whatever gives a text weights of terms can be behind it (SPLADE, Formal et al. 2021,
arXiv:2107.05720; BGE-M3's lexical weights). Scores are sums in float64 in one order, so they are
exact and the same every time.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import InputError
from ragstack.filters import Filter
from ragstack.index import postings
from ragstack.index.attributes import Rows
from ragstack.index.folder import check_search
from ragstack.index.postings import Postings
from ragstack.index.rowed import RowedIndex
from ragstack.protocols import SparseEmbedder
from ragstack.types import Chunk, Hit

__all__ = ["SparseIndex"]

Weights = Mapping[int, float]


class SparseIndex(RowedIndex):
    """Implements ``protocols.Index``. A chunk that shares no term with the question is no hit.

    Args:
        folder: Where it keeps its files; made when first written to.
        sparse_embedder: Its fingerprint is recorded, and another one is refused.

    Raises:
        EmbedderMismatch: The folder was built with another embedder.
        IndexStateError: Its files do not hold together; delete the folder, then build it anew.
    """

    def __init__(self, folder: str | os.PathLike[str], *, sparse_embedder: SparseEmbedder) -> None:
        self._embedder = sparse_embedder
        self._new: list[Weights] = []
        self._newest: Postings | None = None
        super().__init__(folder, kind="sparse", fingerprint=sparse_embedder.fingerprint)

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Weigh and index the chunks; one whose id is there is replaced."""
        fresh = list({chunk.id: chunk for chunk in chunks}.values())
        if not fresh:
            return
        vectors = _as_many(
            self._embedder.embed_documents([chunk.indexed_text for chunk in fresh]), len(fresh)
        )
        Postings.of(0, vectors)  # what cannot be kept is refused before anything changes
        with self._guard:
            self._begin()
            self._place(fresh)
            self._new = [*self._new, *vectors]
            self._newest = None

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id."""
        check_search(queries, k)
        with self._guard:
            self._refresh()
            segments, ids = self._all(), self._rows.ids
            passing = self._rows.alive(where)
        if not queries or not k or not passing.any():
            return [[] for _ in queries]
        found = []
        for asked in _as_many(self._embedder.embed_queries(queries), len(queries)):
            scores = np.zeros(len(passing), dtype=np.float64)
            for segment in segments:
                segment.add_to(scores, asked)
            scores[~passing] = 0.0
            rows = _top(scores, k)
            hits = [Hit(ids[row], float(scores[row])) for row in rows]
            found.append(sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:k])
        return found

    def _forget(self) -> None:
        self._segments: list[Postings] = []
        self._told: list[Mapping[str, Any]] = []
        self._new = []
        self._newest = None

    def _take(self, manifest: Mapping[str, Any]) -> None:
        held = {
            str(told["name"]): part for told, part in zip(self._told, self._segments, strict=True)
        }
        told = list(manifest["segments"])
        segments = [
            held.get(str(each["name"])) or postings.read(self._folder.path, each) for each in told
        ]
        if sum(segment.rows for segment in segments) != self._rows.size:
            self._reset({})
            raise self._folder.broken("its segments and its log count other rows")
        self._segments, self._told = segments, told
        self._new, self._newest = [], None

    def _flush(self) -> Mapping[str, Any]:
        segments, told = list(self._segments), list(self._told)
        if self._new:
            fresh = self._all()[-1]
            # Sizes at least double from right to left, so a posting is rewritten log n times.
            while segments and segments[-1].rows <= 2 * fresh.rows:
                fresh = postings.joined(segments.pop(), fresh)
                told.pop()
            told.append(self._write(fresh, self._generation))
            segments.append(postings.read(self._folder.path, told[-1]))
        self._segments, self._told, self._new, self._newest = segments, told, [], None
        return {"segments": told}

    def _names(self) -> list[str]:
        return [str(each["name"]) for each in self._told]

    def _renumber(self, old: Rows, generation: int) -> None:
        whole = postings.renumbered(self._all(), old)
        told = [self._write(whole, generation)] if whole.rows else []
        self._segments = [postings.read(self._folder.path, each) for each in told]
        self._told, self._new, self._newest = told, [], None

    def _all(self) -> list[Postings]:
        """Return the segments, and the rows that no commit has written yet as one more."""
        if not self._new:
            return self._segments
        newest = self._newest or Postings.of(self._rows.size - len(self._new), self._new)
        self._newest = newest
        return [*self._segments, newest]

    def _write(self, segment: Postings, generation: int) -> Mapping[str, Any]:
        name = f"terms-{generation}-{uuid.uuid4().hex[:12]}.bin"
        return postings.write(self._folder.path / name, segment)


def _top(scores: NDArray[np.float64], k: int) -> Rows:
    """Return the rows of the best ``k`` scores above 0, equals of the last included."""
    rows: Rows = np.flatnonzero(scores > 0)
    if len(rows) <= k:
        return rows
    held = scores[rows]
    least = np.partition(held, len(held) - k)[len(held) - k]
    found: Rows = rows[held >= least]
    return found


def _as_many(vectors: Sequence[Weights], count: int) -> Sequence[Weights]:
    if len(vectors) != count:
        raise InputError(f"the sparse embedder returned {len(vectors)} answers to {count} texts")
    return vectors

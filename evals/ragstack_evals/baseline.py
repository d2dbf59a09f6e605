"""The stack a good engineer puts together by hand, as the mark to beat: texts in, ranked ids out.

BM25 by bm25s (Lucene's variant, its default) over stemmed words without stop words, MiniLM vectors
in one numpy matrix, both fused by reciprocal rank (Cormack et al. 2009: 1 / (60 + rank), ranks from
1). No storage, no filters, no updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bm25s
import numpy as np
import Stemmer

from ragstack.errors import InputError
from ragstack.protocols import Vectors

__all__ = ["HandMade", "fuse_by_hand"]

_CONSTANT = 60
_LANGUAGES = {"en": ("english", "english"), "fr": ("french", "french")}


def fuse_by_hand(rankings: Sequence[Sequence[str]], *, k: int) -> list[str]:
    """Return the best ``k`` ids by the sum of 1 / (60 + rank), ranks from 1, ties by id."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, document_id in enumerate(ranking, start=1):
            scores[document_id] = scores.get(document_id, 0.0) + 1.0 / (_CONSTANT + rank)
    return sorted(scores, key=lambda document_id: (-scores[document_id], document_id))[:k]


class HandMade:
    """bm25s, a matrix, and rank fusion."""

    def __init__(
        self,
        ids: Sequence[str],
        texts: Sequence[str],
        vectors: Vectors,
        *,
        embed_query: Callable[[str], Vectors],
        language: str = "en",
    ) -> None:
        """Index the texts.

        Args:
            vectors: One unit row for each text.
            embed_query: A query in, its unit vector out, shape (dimensions,).
            language: Stemmer and stop words: ``en`` or ``fr``.
        """
        if language not in _LANGUAGES:
            raise InputError(f"no stemmer for {language!r}; known: {', '.join(_LANGUAGES)}")
        stemmer, self._stopwords = _LANGUAGES[language]
        self._stemmer = Stemmer.Stemmer(stemmer)
        self._ids = list(ids)
        self._vectors = vectors
        self._embed_query = embed_query
        self._bm25: Any = bm25s.BM25()
        self._bm25.index(self._tokens(texts), show_progress=False)

    def lexical(self, query: str, *, k: int) -> list[str]:
        """Return the best ``k`` ids by words; those that share none are left out."""
        found, scores = self._bm25.retrieve(
            self._tokens([query]), k=min(k, len(self._ids)), show_progress=False
        )
        pairs = zip(found[0], scores[0], strict=True)
        return [self._ids[int(row)] for row, score in pairs if score > 0.0]

    def vector(self, query: str, *, k: int) -> list[str]:
        """Return the best ``k`` ids by cosine."""
        scores = self._vectors @ self._embed_query(query)
        k = min(k, len(self._ids))
        best = np.argpartition(-scores, k - 1)[:k]
        return [self._ids[int(row)] for row in best[np.argsort(-scores[best], kind="stable")]]

    def hybrid(self, query: str, *, k: int, depth: int = 100) -> list[str]:
        """Return the best ``k`` ids of both, fused."""
        return fuse_by_hand([self.lexical(query, k=depth), self.vector(query, k=depth)], k=k)

    def _tokens(self, texts: Sequence[str]) -> Any:
        return bm25s.tokenize(
            list(texts), stopwords=self._stopwords, stemmer=self._stemmer, show_progress=False
        )

"""Chunks in, exact BM25 hits out: the lexical index. Knows nothing of vectors.

It is persistent and incremental: what is added or deleted counts at once, in the statistics too,
so that scores are always those of an index that was just built from what there is.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ragstack.errors import ConfigError
from ragstack.filters import Filter
from ragstack.index.analysis import Wanted
from ragstack.index.bm25.fields import Fields
from ragstack.index.bm25.highlight import highlights
from ragstack.index.bm25.score import Asked, Corpus, Query, best
from ragstack.index.bm25.segment import Living
from ragstack.index.bm25.store import Snapshot, Store
from ragstack.index.bm25.variants import Scoring
from ragstack.index.folder import check_position, check_search
from ragstack.index.ranking import ranked
from ragstack.types import Chunk, Hit

__all__ = ["Bm25Index"]

_MOST = 10.0
_MAX_WORDS = 1_024  # of one query; more are a document


class Bm25Index:
    """Implements ``protocols.Index`` over words.

    Args:
        folder: Where it keeps its files; made when first written to.
        languages: Codes of the languages whose words are stemmed (``Chunk.meta["language"]``); a
            chunk that names none is taken as the first, one that names another is only folded.
        scoring: ``variant`` (``lucene``, ``robertson``, ``atire``, ``bm25l`` or ``bm25+``), ``k1``
            (1.2), ``b`` (0.75) and ``delta`` (0.5 for ``bm25l``, 1 for ``bm25+``).
        weights: Of the fields ``title`` (0), ``context`` (2) and ``text`` (1).
        adjacency: What two neighbouring words of a query add where a chunk has them in that order,
            at most two terms apart, as a share of the lesser of the two.
        analyser: How texts and queries become terms; see ``AnalyserOptions``.

    Raises:
        ConfigError: A language without a stemmer, a variant, a number or a field that cannot be.
        IndexStateError: Its files do not hold together, or were made with other languages,
            weights or another analyser; delete the folder, then build it anew.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        languages: Sequence[str] = ("en", "fr"),
        scoring: Mapping[str, object] | None = None,
        weights: Mapping[str, float] | None = None,
        adjacency: float = 0.0,
        analyser: Mapping[str, object] | None = None,
    ) -> None:
        number = isinstance(adjacency, int | float) and not isinstance(adjacency, bool)
        if not number or not 0.0 <= adjacency <= _MOST:
            raise ConfigError(f"adjacency is from 0 to {_MOST:g}, got {adjacency!r}")
        self._adjacency = float(adjacency)
        self._scoring = Scoring.of(scoring or {})
        self._fields = Fields(languages, weights, analyser)
        self._store = Store(Path(folder), self._fields, kind="bm25")
        self._corpus: tuple[int, Corpus] | None = None

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
        """Return at most ``k`` hits for each query, best first, ties by chunk id.

        Only chunks with a word that weighs something are hits: with ``robertson`` and ``atire`` a
        word that half of the chunks or all of them have finds nothing.
        """
        check_search(queries, k)
        there = self._store.snapshot(where)
        if not k or not there.chunks:
            return [[] for _ in queries]
        corpus = self._corpus_of(there)
        with self._store.translated():
            return [self._search(corpus, there, query, k) for query in queries]

    def __len__(self) -> int:
        """Return how many chunks are indexed."""
        return len(self._store)

    def highlight(self, query: str, chunk: Chunk) -> list[tuple[int, int]]:
        """Return the spans of ``chunk.text`` whose words a query finds, in order."""
        analysis = self._fields.analysis
        language = analysis.language(chunk.meta.get("language"))
        words = analysis.words(query, {*self._store.languages, language})
        wanted = {form for word in words for form in word}
        return highlights(analysis.tokens(chunk.text, language), wanted)

    def verify(self) -> None:
        """Compare every byte of the last commit with its checksum; opening compares the small.

        Raises:
            IndexStateError: One does not hold.
        """
        self._store.verify()

    def ids(self) -> list[str]:
        """Return the id of every chunk that is indexed, in any order."""
        return list(self._store.held())

    def damaged(self, chunks: Sequence[Chunk]) -> list[str]:
        """Return those chunks whose words here are not theirs, having compared every checksum.

        Raises:
            IndexStateError: A checksum does not hold.
        """
        self.verify()
        parts, held = self._store.snapshot().parts, self._store.held()
        with self._store.translated():
            return [
                chunk.id
                for chunk in chunks
                if chunk.id in held and not self._holds(parts, chunk, held[chunk.id])
            ]

    def compact(self) -> None:
        """Write all as one segment, without what was deleted; commits at the last position."""
        self._store.compact()

    def close(self) -> None:
        """Let go of files. What was not committed is lost."""
        self._store.close()
        self._corpus = None

    def _holds(self, parts: Sequence[Living], chunk: Chunk, row: int) -> bool:
        """Return whether a row holds the words of a chunk, in their order."""
        _, fields = self._fields.read(chunk)
        words = [term.encode("utf-8", "surrogatepass") for _, terms in fields for term in terms]
        for segment in (part.segment for part in parts):
            place = row - segment.base
            if 0 <= place < segment.size:
                here = segment.texts[segment.text_starts[place] : segment.text_starts[place + 1]]
                return bool(here.tolist() == [segment.find(word) for word in words])
        return False

    def _corpus_of(self, there: Snapshot) -> Corpus:
        held = self._corpus
        if held is None or held[0] != there.version:
            corpus = Corpus(there.parts, there.chunks, self._scoring, self._fields.scale)
            held = self._corpus = (there.version, corpus)
        return held[1]

    def _pairs(
        self, wanted: Sequence[Wanted], query: str, languages: Collection[str]
    ) -> list[tuple[int, int]]:
        """Return the places of the words that follow each other in the query."""
        # A word's own forms come first; those of its synonyms, behind them, follow nothing.
        places = {form: place for place, each in enumerate(wanted) for form in each.forms[:1]}
        words = [word[0] for word in self._fields.analysis.words(query, languages)]
        held = [(a, b) for a, b in pairwise(words) if a != b and a in places and b in places]
        return list(dict.fromkeys((places[a], places[b]) for a, b in held))

    def _search(self, corpus: Corpus, there: Snapshot, query: str, k: int) -> list[Hit]:
        words = self._fields.analysis.wanted(query, there.languages)[:_MAX_WORDS]
        asked = [
            Asked(tuple(form.encode("utf-8", "surrogatepass") for form in forms), weights)
            for forms, weights in words
        ]
        pairs = self._pairs(words, query, there.languages) if self._adjacency else ()
        wanted = Query(asked, pairs, self._adjacency)
        rows, scores = best(corpus, wanted, k, there.passing)
        if len(rows) > k:
            least = np.partition(scores, len(scores) - k)[len(scores) - k]
            rows, scores = rows[scores >= least], scores[scores >= least]
        ids = [there.ids[row] for row in rows.tolist()]
        return ranked(zip(scores.tolist(), ids, strict=True), k)

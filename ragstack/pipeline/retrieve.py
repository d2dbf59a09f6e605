"""Questions in, passages out: indexes searched and fused, chunks looked up once, reranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.filters import Filter, Readable, Where, both, parse
from ragstack.index.hybrid import HybridIndex
from ragstack.pipeline.expand import expand
from ragstack.protocols import Catalog, Expansion, Reranker
from ragstack.rerank.order import rerank
from ragstack.types import Hit, Passage

__all__ = ["Retriever", "visible"]

_RERANKED = 4  # candidates given to a reranker for each passage asked for


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds passages in one collection.

    Attributes:
        depth: Candidates taken from each index.
        expansion: What the chunker wants done with its chunks, before they are reranked.
    """

    catalog: Catalog
    index: HybridIndex
    collection: str
    depth: int
    reranker: Reranker | None = None
    expansion: Expansion | None = None

    def find(
        self, questions: Sequence[str], *, k: int, where: Filter | None
    ) -> list[list[Passage]]:
        """Return the best ``k`` passages for each question, best first."""
        wanted = k * _RERANKED if self.reranker else k
        if self.expansion is not None:
            wanted *= max(1, self.expansion.candidates)
        found = self.index.search_with_trail(questions, k=wanted, where=where, depth=self.depth)
        ids = list({hit.chunk_id for hits in found for hit, _ in hits})
        chunks = self.catalog.chunks(ids, collection=self.collection)
        documents = list({chunk.document_id for chunk in chunks.values()})
        sources = self.catalog.sources(documents, collection=self.collection)

        def passage(hit: Hit, trail: dict[str, float]) -> Passage:
            chunk = chunks[hit.chunk_id]
            return Passage(chunk, hit.score, sources[chunk.document_id], trail)

        # A chunk that went since an index last caught up is in no catalog, and no answer.
        passages = [
            [
                passage(hit, trail)
                for hit, trail in hits
                if hit.chunk_id in chunks and chunks[hit.chunk_id].document_id in sources
            ]
            for hits in found
        ]
        if self.expansion is not None:
            passages = [self._expanded(some)[: k * _RERANKED] for some in passages]
        if self.reranker is None:
            return [some[:k] for some in passages]
        return [
            rerank(self.reranker, question, some, k=k)
            for question, some in zip(questions, passages, strict=True)
        ]

    def _expanded(self, passages: Sequence[Passage]) -> list[Passage]:
        return expand(
            passages,
            self.expansion or Expansion(),
            lambda document_id: self.catalog.document(document_id, collection=self.collection),
        )


def visible(where: Where | None, asker: Sequence[str]) -> Filter | None:
    """Return the condition of a search: the caller's own, and what the asker may read."""
    return both(parse(where), Readable(frozenset(asker)))

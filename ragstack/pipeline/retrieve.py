"""Questions in, passages out: indexes searched and fused, chunks looked up once, reranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.errors import InputError
from ragstack.filters import Filter, Readable, Where, both, parse
from ragstack.index.hybrid import HybridIndex
from ragstack.protocols import Catalog, Reranker
from ragstack.rerank.order import rerank
from ragstack.types import Hit, Passage

__all__ = ["Retriever", "check_questions", "visible"]

_RERANKED = 4  # candidates given to a reranker for each passage asked for


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds passages in one collection.

    Attributes:
        depth: Candidates taken from each index.
    """

    catalog: Catalog
    index: HybridIndex
    collection: str
    depth: int
    reranker: Reranker | None = None

    def find(
        self, questions: Sequence[str], *, k: int, where: Filter | None
    ) -> list[list[Passage]]:
        """Return the best ``k`` passages for each question, best first."""
        wanted = k * _RERANKED if self.reranker else k
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
        if self.reranker is None:
            return passages
        return [
            rerank(self.reranker, question, some, k=k)
            for question, some in zip(questions, passages, strict=True)
        ]


def visible(where: Where | None, asker: Sequence[str]) -> Filter | None:
    """Return the condition of a search: the caller's own, and what the asker may read."""
    return both(parse(where), Readable(frozenset(asker)))


def check_questions(questions: Sequence[str]) -> None:
    """Refuse what is no list of texts.

    Raises:
        InputError: It is one text, or one of them is blank or none.
    """
    if isinstance(questions, str):
        raise InputError(f"questions is a list of texts, got {questions!r}")
    for question in questions:
        if not isinstance(question, str) or not question.strip():
            raise InputError(f"a question is a text that is not blank, got {question!r}")

"""Questions in, passages out: indexes searched and fused, chunks looked up once, reranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragstack.errors import InputError
from ragstack.filters import Filter, Readable, Where, both, parse
from ragstack.index.hybrid import HybridIndex
from ragstack.pipeline.neighbours import NEIGHBOUR
from ragstack.protocols import Catalog
from ragstack.rerank.second import Second
from ragstack.types import Hit, Passage

__all__ = ["Retriever", "check_questions", "visible"]


@dataclass(frozen=True, slots=True)
class Retriever:
    """Finds passages in one collection.

    Attributes:
        depth: Candidates taken from each index.
        second: Reranks what was found.
    """

    catalog: Catalog
    index: HybridIndex
    collection: str
    depth: int
    second: Second | None = None

    def find(
        self, questions: Sequence[str], *, k: int, where: Filter | None
    ) -> list[list[Passage]]:
        """Return the best ``k`` passages for each question, best first."""
        wanted = self.second.wanted(k) if self.second else k
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
        if self.second is None:
            return passages
        return [
            self.second.best(question, some, k=k)
            for question, some in zip(questions, passages, strict=True)
        ]

    def before(self, passage: Passage) -> Passage | None:
        """Return the chunk that ends where a passage begins, or last before it; None at a start."""
        chunk = passage.chunk
        found = None
        for other in self.catalog.chunks_of(chunk.document_id, collection=self.collection):
            same = other.version == chunk.version and other.kind == chunk.kind
            if same and other.start < chunk.start and other.end < chunk.end:
                found = other
        return replace(passage, chunk=found, trail={NEIGHBOUR: 1.0}) if found else None


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

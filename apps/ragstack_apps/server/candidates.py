"""A question and what was found for it in, every candidate out: its scores, and why it was kept.

The candidates are looked for a second time, deeper and without a reranker; scores of the first time
stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ragstack import Stack
from ragstack.filters import matches
from ragstack.pipeline.find import Search
from ragstack.pipeline.retrieve import visible
from ragstack.types import Answer, Passage
from ragstack_apps.server.codec import title_of

__all__ = ["candidates_of"]

_MOST = 50
_EXCERPT = 400  # characters


def candidates_of(
    stack: Stack, question: str, search: Search, found: Sequence[Passage], answer: Answer | None
) -> list[dict[str, Any]]:
    """Return every candidate, the best first.

    Args:
        found: The passages that were returned.
        answer: What was made of them, where something was.
    """
    ranks = {passage.chunk.id: rank for rank, passage in enumerate(found, 1)}
    read = {passage.chunk.id for passage in answer.passages} if answer else set[str]()
    cited = {c.chunk_id for c in answer.citations} if answer else set[str]()
    rows = {p.chunk.id: _row(p, dict(p.trail)) for p in found}
    for passage in _deeper(stack, question, search):
        row = rows.setdefault(passage.chunk.id, _row(passage, dict(passage.trail)))
        row["trail"] = {**passage.trail, **row["trail"]}
    for chunk_id, row in rows.items():
        rank = ranks.get(chunk_id)
        row |= {"rank": rank, "kept": chunk_id in read if answer else rank is not None}
        row["why"] = _why(rank, len(found), answer is not None, chunk_id in read, chunk_id in cited)
    return list(rows.values())


def _deeper(stack: Stack, question: str, search: Search) -> list[Passage]:
    where = visible(search.where, search.asker)
    retriever = stack.parts.retriever(search.collection)
    (hits,) = retriever.index.search_with_trail(
        [question], k=_MOST, where=where, depth=retriever.depth
    )
    catalog, collection = stack.parts.catalog, search.collection
    chunks = catalog.chunks([hit.chunk_id for hit, _ in hits], collection=collection)
    sources = catalog.sources([c.document_id for c in chunks.values()], collection=collection)
    passages = []
    for hit, trail in hits:
        chunk = chunks.get(hit.chunk_id)
        # As in every search: what is for other eyes by now is not shown.
        if chunk and chunk.document_id in sources and matches(where, chunk.meta, chunk.readers):
            passages.append(Passage(chunk, hit.score, sources[chunk.document_id], trail))
    return passages


def _row(passage: Passage, trail: dict[str, float]) -> dict[str, Any]:
    chunk = passage.chunk
    return {
        "chunk_id": chunk.id,
        "document_id": chunk.document_id,
        "source": passage.source,
        "title": title_of(chunk.meta, passage.source),
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text[:_EXCERPT],
        "score": passage.score,
        "trail": trail,
    }


def _why(rank: int | None, wanted: int, answered: bool, read: bool, cited: bool) -> str:
    if rank is None:
        return f"ranked behind the best {wanted}"
    if not answered:
        return f"rank {rank} of {wanted}"
    if cited:
        return "read by the generator, and cited"
    if read:
        return "read by the generator, not cited"
    return "found, but left out of the prompt: too weak, too many of one document, or no room"

"""What a search saw in, every candidate out: its scores, and why it was kept or dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ragstack.pipeline.neighbours import NEIGHBOUR
from ragstack.pipeline.seen import Seen
from ragstack.rerank.second import SKIPPED
from ragstack.types import Answer, Passage
from ragstack_apps.server.codec import title_of

__all__ = ["candidates_of"]

_MOST = 200  # rows; many queries of one question see thousands
_EXCERPT = 400  # characters


def candidates_of(
    seen: Seen, found: Sequence[Passage], answer: Answer | None
) -> list[dict[str, Any]]:
    """Return every candidate of a search, the best first.

    Args:
        found: The passages that were returned.
        answer: What was made of them, where something was.
    """
    read = {passage.chunk.id for passage in answer.passages} if answer else set[str]()
    cited = {c.chunk_id for c in answer.citations} if answer else set[str]()
    rows: dict[str, dict[str, Any]] = {}
    for rank, passage in enumerate(found, 1):
        name = passage.chunk.id
        kept = name in read if answer else True
        why = _why(rank, len(found), answer is not None, name in read, name in cited)
        rows[name] = {**_row(passage), "rank": rank, "kept": kept, "why": why}
    for passage in answer.passages if answer else ():
        if passage.chunk.id not in rows:
            beside = NEIGHBOUR in passage.trail
            why = "stands right before a passage that was found" if beside else "added to be read"
            rows[passage.chunk.id] = {**_row(passage), "rank": None, "kept": True, "why": why}
    for one in seen.candidates:
        known = rows.get(one.passage.chunk.id)
        if known is not None:
            known["trail"] = {**one.passage.trail, **known["trail"]}
        elif len(rows) < _MOST:
            late = SKIPPED in one.passage.trail
            why = "no time was left to rerank it" if late else one.why
            row = {**_row(one.passage), "rank": None, "kept": False, "why": why}
            rows[one.passage.chunk.id] = row
    return list(rows.values())


def _row(passage: Passage) -> dict[str, Any]:
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
        "trail": dict(passage.trail),
    }


def _why(rank: int, wanted: int, answered: bool, read: bool, cited: bool) -> str:
    if not answered:
        return f"rank {rank} of {wanted}"
    if cited:
        return "read by the generator, and cited"
    if read:
        return "read by the generator, not cited"
    return "found, but left out of the prompt: too weak, too many of one document, or no room"

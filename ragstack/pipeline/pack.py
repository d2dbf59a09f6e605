"""Passages in, the smallest context that holds what was found out. Calls no model.

Overlapping and touching chunks of a document become one block, what another block says already is
dropped, one document cannot crowd out the rest, and the whole stays within a budget of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragstack.types import Chunk, Passage

__all__ = ["Block", "near_best", "pack"]

Between = Callable[[str, int, int], str]
_GAP = 8  # characters of white space that may stand between two chunks of one paragraph run


@dataclass(frozen=True, slots=True)
class Block:
    """A contiguous piece of one document, as the generator reads it.

    Attributes:
        text: ``document.text[start:end]``.
        passages: What it was made of, best first.
        tokens: Its length in the generator's tokens.
    """

    document_id: str
    source: str
    start: int
    end: int
    text: str
    context: str
    passages: tuple[Passage, ...]
    tokens: int


def near_best(passages: Sequence[Passage], floor: float) -> list[Passage]:
    """Return the passages whose fused score is at least a share of the best one's.

    Scores fused from ranks say nothing of how near a passage is, so only the fusion ``weighted``
    counts; where its score is missing, or the best is 0, every passage is kept.
    """
    scores = [passage.trail.get("weighted") for passage in passages]
    known = [score for score in scores if score is not None]
    if len(known) < len(passages) or not known or max(known) <= 0:
        return list(passages)
    least = floor * max(known)
    return [p for p, score in zip(passages, known, strict=True) if score >= least]


def pack(
    passages: Sequence[Passage],
    *,
    budget: int,
    count: Callable[[str], int],
    per_document: int,
    between: Between = lambda _document_id, _start, _end: "",
) -> list[Block]:
    """Return blocks within a budget, in the order of their best passage.

    Args:
        budget: Tokens for all blocks together; a block that does not fit is left out, unless it is
            the first, which is then cut at its end.
        count: The generator's own count of a text's tokens.
        per_document: At most so many passages of one document.
        between: Returns ``document.text[start:end]``; chunks with only white space between them
            touch.
    """
    kept = _without_repeats(_capped(passages, per_document))
    blocks: list[Block] = []
    left = budget
    for group in _touching(kept, between):
        block = _block(group, count, between)
        if block.tokens > left and not blocks:
            block = _cut(block, left, count)
        if block.text and block.tokens <= left:
            blocks.append(block)
            left -= block.tokens
    return blocks


def _capped(passages: Sequence[Passage], per_document: int) -> list[Passage]:
    seen: dict[str, int] = {}
    kept = []
    for passage in passages:
        document_id = passage.chunk.document_id
        seen[document_id] = seen.get(document_id, 0) + 1
        if seen[document_id] <= per_document:
            kept.append(passage)
    return kept


def _without_repeats(passages: Sequence[Passage]) -> list[Passage]:
    kept: list[Passage] = []
    texts: list[str] = []
    for passage in passages:
        text = " ".join(passage.chunk.text.split()).casefold()
        if any(text in other for other in texts):
            continue
        kept.append(passage)
        texts.append(text)
    return kept


def _touching(passages: Sequence[Passage], between: Between) -> list[list[Passage]]:
    """Return groups of passages that overlap or touch within a document, by best member."""
    groups: list[list[Passage]] = []
    for passage in passages:
        joined = [
            group for group in groups if any(_meet(passage.chunk, p.chunk, between) for p in group)
        ]
        if not joined:
            groups.append([passage])
            continue
        first = joined[0]
        first.append(passage)
        for other in joined[1:]:
            first.extend(other)
            groups.remove(other)
    return groups


def _meet(left: Chunk, right: Chunk, between: Between) -> bool:
    if (left.document_id, left.version) != (right.document_id, right.version):
        return False
    if left.start > right.start:
        left, right = right, left
    gap = right.start - left.end
    return gap <= 0 or (gap <= _GAP and between(left.document_id, left.end, right.start).isspace())


def _block(group: Sequence[Passage], count: Callable[[str], int], between: Between) -> Block:
    ordered = sorted(group, key=lambda passage: (passage.chunk.start, -passage.chunk.end))
    first = ordered[0].chunk
    text, end = first.text, first.end
    for passage in ordered[1:]:
        chunk = passage.chunk
        if chunk.start > end:
            text += between(chunk.document_id, end, chunk.start)
            end = chunk.start
        if chunk.end > end:
            text += chunk.text[end - chunk.start :]
            end = chunk.end
    return Block(
        document_id=first.document_id,
        source=ordered[0].source,
        start=first.start,
        end=end,
        text=text,
        context=first.context,
        passages=tuple(group),
        tokens=count(_shown(first.context, text)),
    )


def _cut(block: Block, budget: int, count: Callable[[str], int]) -> Block:
    """Return the longest beginning of a block that fits, ending at a space."""
    low, high = 0, len(block.text)
    while low < high:
        middle = (low + high + 1) // 2
        if count(_shown(block.context, block.text[:middle])) <= budget:
            low = middle
        else:
            high = middle - 1
    space = block.text.rfind(" ", 0, low)
    text = block.text[: space if space > 0 else low]
    return Block(
        document_id=block.document_id,
        source=block.source,
        start=block.start,
        end=block.start + len(text),
        text=text,
        context=block.context,
        passages=block.passages,
        tokens=count(_shown(block.context, text)) if text else 0,
    )


def _shown(context: str, text: str) -> str:
    return f"{context}\n{text}" if context else text

"""Passages in, the larger pieces of text they stand for out: windows, and parents of children.

Only chunks whose metadata name a larger span are touched. Spans stay true: the text of what comes
out is the document's between its characters. Calls no model and no index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ragstack.protocols import Expansion
from ragstack.types import Chunk, Document, Passage, Scalar, Span

__all__ = ["expand"]

_KEYS = frozenset(["parent", "siblings", "window"])
_Family = tuple[str, str, Span]


def expand(
    passages: Sequence[Passage],
    expansion: Expansion,
    document: Callable[[str], Document | None],
) -> list[Passage]:
    """Return the passages with windows opened and parents in place of enough children.

    A parent stands where its best child stood, with that child's score and trail and with
    ``children``, how many were found. What a better passage shows already is left out.

    Args:
        document: Returns a document by its id; one of another version changes nothing.
    """
    texts = _Texts(document)
    families: dict[_Family, list[Passage]] = {}
    for passage in passages:
        family = _family(passage.chunk)
        if family is not None:
            families.setdefault(family, []).append(passage)
    enough = {
        family: children
        for family, children in families.items()
        if _is_enough(children, expansion.merge)
    }
    shown: list[Passage] = []
    done: set[_Family] = set()
    for passage in passages:
        family = _family(passage.chunk)
        if family in done:
            continue
        if family is not None and family in enough:
            larger = _parent(enough[family], family[2], texts)
            if larger is not None:
                done.add(family)
                passage = larger
        elif (span := _span(passage.chunk, "window")) is not None:
            passage = _opened(passage, span, texts)
        if not any(_holds(other.chunk, passage.chunk) for other in shown):
            shown.append(passage)
    return shown


class _Texts:
    """Texts of documents, each read once."""

    def __init__(self, document: Callable[[str], Document | None]) -> None:
        self._document = document
        self._read: dict[str, Document | None] = {}

    def larger(self, chunk: Chunk, span: Span, kind: str) -> Chunk | None:
        """Return the chunk of a span around a chunk, or None where the document has changed."""
        if chunk.document_id not in self._read:
            self._read[chunk.document_id] = self._document(chunk.document_id)
        found = self._read[chunk.document_id]
        if found is None or found.version != chunk.version:
            return None
        start, end = span
        if not 0 <= start <= chunk.start <= chunk.end <= end <= len(found.text):
            return None
        meta: dict[str, Scalar] = {k: v for k, v in chunk.meta.items() if k not in _KEYS}
        return replace(
            chunk, start=start, end=end, text=found.text[start:end], kind=kind, meta=meta
        )


def _parent(children: Sequence[Passage], span: Span, texts: _Texts) -> Passage | None:
    # The context of the first of them is the nearest to the parent's own.
    first = min(children, key=lambda passage: passage.chunk.start)
    chunk = texts.larger(first.chunk, span, "parent")
    best = children[0]
    trail = {**best.trail, "children": float(len(children))}
    return None if chunk is None else replace(best, chunk=chunk, trail=trail)


def _opened(passage: Passage, span: Span, texts: _Texts) -> Passage:
    chunk = texts.larger(passage.chunk, span, passage.chunk.kind)
    return passage if chunk is None else replace(passage, chunk=chunk)


def _is_enough(children: Sequence[Passage], share: float) -> bool:
    siblings = children[0].chunk.meta.get("siblings")
    known = isinstance(siblings, int) and siblings > 1
    return known and share > 0 and len(children) > 1 and len(children) >= share * int(siblings or 0)


def _family(chunk: Chunk) -> _Family | None:
    span = _span(chunk, "parent")
    return None if span is None else (chunk.document_id, chunk.version, span)


def _span(chunk: Chunk, key: str) -> Span | None:
    # Metadata are a user's too: what is no span is no request.
    written = chunk.meta.get(key)
    if not isinstance(written, str):
        return None
    start, dash, end = written.partition("-")
    if not (dash and start.isdecimal() and end.isdecimal() and len(written) < 32):
        return None
    return int(start), int(end)


def _holds(other: Chunk, chunk: Chunk) -> bool:
    same = (other.document_id, other.version) == (chunk.document_id, chunk.version)
    return same and other.start <= chunk.start and chunk.end <= other.end

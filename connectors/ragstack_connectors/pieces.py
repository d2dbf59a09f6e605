"""Pieces of a document's text in, chunks that say where each stands out. Knows no splitter."""

from __future__ import annotations

from collections.abc import Sequence

from ragstack import Chunk, Document
from ragstack.errors import DocumentError

__all__ = ["placed"]


def placed(document: Document, pieces: Sequence[str], overlap: int) -> list[Chunk]:
    """Return the pieces as chunks, in order, with what lies between them added to the one before.

    Args:
        overlap: Characters that a piece may share with the one before it.

    Raises:
        DocumentError: A piece is in no place of the document.
    """
    return [
        Chunk(
            document.id,
            document.version,
            start,
            end,
            document.text[start:end],
            meta=dict(document.meta),
            readers=document.readers,
        )
        for start, end in _covering(document.text, _spans(document, pieces, overlap))
    ]


def _spans(document: Document, pieces: Sequence[str], overlap: int) -> list[tuple[int, int]]:
    text, spans = document.text, list[tuple[int, int]]()
    for piece in pieces:
        wanted = piece.strip()
        if not wanted:
            continue
        start = _place(text, wanted, spans[-1] if spans else (-1, 0), overlap)
        if start < 0:
            raise DocumentError(
                f"a piece of {document.source!r} is not in its text: {wanted[:80]!r}",
                hint="take a splitter that keeps the text as it is",
            )
        spans.append((start, start + len(wanted)))
    return spans


def _place(text: str, wanted: str, last: tuple[int, int], overlap: int) -> int:
    """Return where a piece stands, or -1: the first place that the overlap allows.

    Where the overlap is counted in something else than characters, it may begin before that; but
    always behind the beginning of the piece before.
    """
    found = text.find(wanted, max(last[0] + 1, last[1] - overlap))
    return found if found >= 0 else text.find(wanted, last[0] + 1)


def _covering(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans with what lies between them added to the one before, ends trimmed."""
    if not spans:
        start = len(text) - len(text.lstrip())
        return [(start, len(text.rstrip()))]
    found: list[tuple[int, int]] = []
    reach = 0
    for start, end in spans:
        if text[reach:start].strip():
            if found:
                before = found[-1]
                found[-1] = (before[0], len(text[:start].rstrip()))
            else:
                start = len(text) - len(text.lstrip())
        found.append((start, end))
        reach = max(reach, end)
    if text[reach:].strip():
        found[-1] = (found[-1][0], len(text.rstrip()))
    return list(dict.fromkeys(found))

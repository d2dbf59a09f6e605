"""Passages in, the part of a grammar that is any contiguous span of one of them, out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ragstack.engine.pieces import Piece, Pieces
from ragstack.errors import GrammarError

__all__ = ["quote", "span", "words_of"]

_CHUNK = re.compile(r"\w+(?:[’'.,\-]\w+)*|\s+|[^\w\s]")


def quote(passages: Sequence[str], pieces: Pieces, *, words: bool) -> Piece:
    """Return every span of one of the passages, none empty.

    Args:
        words: Spans begin and end with whole words; a number with its point is one.

    Raises:
        GrammarError: No passage has anything to quote.
    """
    if isinstance(passages, str) or not any(text.strip() if words else text for text in passages):
        raise GrammarError("a quote needs passages, and one that is not empty")
    found = []
    for i, passage in enumerate(passages):
        text = passage.encode("utf-8", "replace").decode()
        if text.strip() if words else text:
            piece = span(words_of(text) if words else list(text), pieces, spaces=not words)
            found.append(pieces.rule(f"QUOTE{i}", piece))
    return pieces.alt(*found)


def words_of(text: str) -> list[str]:
    """Return a text's words, stops and white space, in order and complete."""
    return _CHUNK.findall(text)


def span(chunks: Sequence[str], pieces: Pieces, *, spaces: bool) -> Piece:
    """Return one or more chunks in a row; white space at neither end unless ``spaces``."""
    data = "".join(chunks).encode()
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for chunk in chunks:
        size = len(chunk.encode())
        if spaces or not chunk.isspace():
            starts.append(at)
            ends.append(at + size)
        at += size
    told = json.dumps({"substring_chunks": list(chunks)}, ensure_ascii=False)
    return Piece(f"%regex {told}", pieces.language.span(data, starts, ends))

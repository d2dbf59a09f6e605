"""Passages in, the part of a grammar that is any contiguous span of one of them, out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ragstack.engine.grammars.pieces import Piece, Pieces
from ragstack.engine.grammars.regex import from_regex
from ragstack.errors import GrammarError
from ragstack.types import Quoted

__all__ = ["quote", "quoted", "span", "words_of"]

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


def quoted(grammar: Quoted, pieces: Pieces) -> Piece:
    """Return lines of quotes and an answer behind them.

    Raises:
        GrammarError: No passage has anything to quote, or a count is below 1.
    """
    if grammar.most < 1 or grammar.size < 1:
        raise GrammarError(
            f"a quoted answer has most={grammar.most} quotes of size={grammar.size} bytes, "
            "expected 1 or more of each"
        )
    texts = [" ".join(passage.split()) for passage in grammar.passages]
    found = [
        pieces.rule(f"QUOTE{i}", piece)
        for i, text in enumerate(texts)
        if text
        and (piece := span(words_of(text), pieces, spaces=False, most=grammar.size)).node
        != pieces.fail.node
    ]
    if not found:
        raise GrammarError("a quoted answer needs passages, and one that is not empty")
    line = pieces.seq(pieces.literal("> "), pieces.alt(*found), pieces.literal("\n"))
    lines = pieces.rep(pieces.rule("quoted", line), 1, grammar.most)
    answer = from_regex(grammar.answer, pieces, spell=pieces.chars)
    return pieces.seq(lines, pieces.rule("ANSWER", answer))


def words_of(text: str) -> list[str]:
    """Return a text's words, stops and white space, in order and complete."""
    return _CHUNK.findall(text)


def span(chunks: Sequence[str], pieces: Pieces, *, spaces: bool, most: int | None = None) -> Piece:
    """Return one or more chunks in a row; white space at neither end unless ``spaces``.

    Args:
        most: UTF-8 bytes at most.
    """
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
    return Piece(f"%regex {told}", pieces.language.span(data, starts, ends, most))

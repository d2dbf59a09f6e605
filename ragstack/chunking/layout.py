"""A document in, the characters where its text may be cut out, by kind. Knows no tokens."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

from ragstack.chunking import sentences
from ragstack.types import Document, Span

__all__ = ["blocks", "lines", "paragraphs", "sections", "sentence_starts", "tables", "without"]

_PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")
_FENCE = re.compile(r"^[ ]{0,3}(?P<fence>`{3,}|~{3,})[^\n]*$", re.MULTILINE)
_TABLE = re.compile(r"(?:^[ ]{0,3}\|[^\n]*(?:\n|\Z)){2,}", re.MULTILINE)


def paragraphs(text: str) -> list[int]:
    """Return where a paragraph begins after a blank line."""
    return [found.end() for found in _PARAGRAPH.finditer(text)]


def lines(text: str) -> list[int]:
    """Return where a line begins."""
    return [found.end() for found in re.finditer("\n", text)]


def sentence_starts(document: Document) -> list[int]:
    """Return where a sentence begins, by the rules of the document's language."""
    language = document.meta.get("language")
    spans = sentences.split(document.text, language if isinstance(language, str) else "")
    return [start for start, _ in spans]


def sections(document: Document) -> list[int]:
    """Return where a heading stands."""
    starts = {mark.start for mark in document.marks if mark.kind == "heading"}
    return sorted(start for start in starts if 0 < start < len(document.text))


def blocks(document: Document) -> list[Span]:
    """Return tables and pieces of code, in order and apart: by marks, else as Markdown has them."""
    text = document.text
    found = [
        (max(mark.start, 0), min(mark.end, len(text)))
        for mark in document.marks
        if mark.kind in ("table", "code")
    ]
    found += _fences(text)
    found += [match.span() for match in _TABLE.finditer(text)]
    return _apart(found)


def tables(document: Document) -> list[Span]:
    """Return tables alone, in order and apart: by marks, else as Markdown has them."""
    text = document.text
    found = [
        (max(mark.start, 0), min(mark.end, len(text)))
        for mark in document.marks
        if mark.kind == "table"
    ]
    drawn = [match.span() for match in _TABLE.finditer(text)]
    code = _apart(_fences(text))
    found += [span for span in drawn if not _within(span[0], code)]
    return _apart(found)


def _within(place: int, spans: list[Span]) -> bool:
    index = bisect_right(spans, place, key=lambda span: span[0]) - 1
    return index >= 0 and place < spans[index][1]


def _apart(spans: list[Span]) -> list[Span]:
    apart: list[Span] = []
    for start, end in sorted(spans):
        if start < end and (not apart or start >= apart[-1][1]):
            apart.append((start, end))
    return apart


def without(places: list[int], spans: list[Span]) -> list[int]:
    """Return the places that lie inside none of these spans, which are sorted and apart."""
    if not spans:
        return places
    kept: list[int] = []
    start = 0
    for span in spans:
        kept += places[start : bisect_right(places, span[0])]
        start = bisect_left(places, span[1])
    return kept + places[start:]


def _fences(text: str) -> list[Span]:
    spans: list[Span] = []
    opened: re.Match[str] | None = None
    for found in _FENCE.finditer(text):
        if opened is None:
            opened = found
        elif found["fence"].startswith(opened["fence"]):
            spans.append((opened.start(), found.end()))
            opened = None
    return spans

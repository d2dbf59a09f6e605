"""A document and its tokens in, spans that keep to its headings, tables and code out.

What several chunkers share: they differ in what they make of these spans.
"""

from __future__ import annotations

from ragstack.chunking import layout
from ragstack.chunking.packing import Limits, pack
from ragstack.chunking.tokens import TokenTable
from ragstack.types import Document, Span

__all__ = ["inner_levels", "section_spans", "sections_of"]


def section_spans(
    document: Document, table: TokenTable, limits: Limits, *, least: int
) -> list[Span]:
    """Return spans of at most ``limits.size`` tokens; one holds a section, or a part of one.

    Args:
        least: A section of fewer tokens (a heading without text) joins the next one.
    """
    levels = [layout.sections(document), *inner_levels(document, table, limits.size)]
    spans: list[Span] = []
    for section in sections_of(document, table, least=least):
        spans += pack(section, levels, table, limits)
    return spans


def sections_of(document: Document, table: TokenTable, *, least: int) -> list[Span]:
    """Return the spans between headings, whatever their length; together they are the text."""
    edges = [0, *layout.sections(document), len(document.text)]
    sections: list[Span] = []
    start = 0
    for end in edges[1:]:
        if end == edges[-1] or table.tokens((start, end)) >= least:
            sections.append((start, end))
            start = end
    return sections


def inner_levels(document: Document, table: TokenTable, size: int) -> list[list[int]]:
    """Return where a section may be cut, the strongest places first.

    A table or a piece of code that fits is not cut; a longer one is cut between lines.
    """
    text = document.text
    blocks = layout.blocks(document)
    whole = [block for block in blocks if table.tokens(block) <= size]
    edges = {edge for block in blocks for edge in block}
    return [
        sorted(edges.union(layout.without(layout.paragraphs(text), blocks))),
        layout.without(layout.lines(text), whole),
        layout.without(layout.sentence_starts(document), blocks),
    ]

"""A document in, chunks of whole table rows out, each with the header of its table as context.

What stands between tables is cut at headings, paragraphs and sentences.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from ragstack.chunking import layout
from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import Limits, pack
from ragstack.chunking.sections import inner_levels
from ragstack.chunking.tokens import TokenTable, tabulate
from ragstack.protocols import TokenCounter
from ragstack.types import Chunk, Document, Span

__all__ = ["TableChunker"]

_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*(?:\n|\Z)")
_CSV_SIGN = re.compile(r'["\n]')
_DELIMITED = frozenset(["csv", "tsv"])
# A header of more than this part of the size would crowd out the rows.
_HEADER_PART = 2
_LONGEST_CAPTION = 200


class TableChunker:
    """Cuts tables between rows, and repeats the header row in the context of what follows it."""

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 200,
        overlap: int = 0,
        context: str = "headings",
    ) -> None:
        """Choose how long chunks are.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of a chunk, at most; the rows of a table leave room in it for the header.
            overlap: Tokens of whole rows, paragraphs or sentences that a chunk repeats of the one
                before, at most.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``; the header of
                a table is there in any case.

        Raises:
            ConfigError: One of them cannot be used.
        """
        self._counter = counter
        self._limits = checked_limits(size, overlap)
        self._context = checked_context(context)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start."""
        text = document.text
        if not text.strip():
            return []
        table = tabulate(text, self._counter)
        captions = {(m.start, m.end): m.label for m in document.marks if m.kind == "table"}
        grids = [
            grid
            for block in layout.tables(document)
            if (grid := self._grid(document, block, table, captions.get(block, "")))
        ]
        spans: list[Span] = []
        levels = [layout.sections(document), *inner_levels(document, table, self._limits.size)]
        done = 0
        for grid in grids:
            spans += pack((done, grid.span[0]), levels, table, self._limits)
            spans += _rows(grid, document, table, self._limits)
            done = grid.span[1]
        spans += pack((done, len(text)), levels, table, self._limits)
        return assemble(document, spans, context=self._context, note=_Headers(grids).note)

    def _grid(
        self, document: Document, block: Span, table: TokenTable, caption: str
    ) -> _Grid | None:
        text, size = document.text, self._limits.size
        # Blanks before the first row would make that row look like a continuation.
        start = block[0] + len(text[slice(*block)]) - len(text[slice(*block)].lstrip())
        if start >= block[1]:
            return None
        delimited = document.meta.get("type") in _DELIMITED
        rows = (
            _csv_rows(text, (start, block[1])) if delimited else _line_rows(text, (start, block[1]))
        )
        first = rows[0] if rows else block[1]
        rule = _RULE.match(text, first, block[1])
        body = rule.end() if rule else first
        header = text[start:body].strip()
        label = "" if delimited else " ".join(caption.split())[:_LONGEST_CAPTION]
        if table.tokens((start, body)) * _HEADER_PART > size:
            header = header[:_LONGEST_CAPTION].rstrip() + "…"
        tokens = min(table.tokens((start, body)), size // _HEADER_PART)
        kept = [row for row in rows if row >= body]
        return _Grid((start, block[1]), kept, "\n".join(filter(None, (label, header))), tokens)


@dataclass(frozen=True, slots=True)
class _Grid:
    """A table: where it stands, where its rows begin, and what to repeat of it."""

    span: Span
    rows: list[int]
    header: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _Headers:
    grids: list[_Grid]

    def note(self, start: int, _end: int) -> str:
        """Return the header of the table that a chunk continues."""
        index = bisect_right(self.grids, start, key=lambda grid: grid.span[0]) - 1
        grid = self.grids[index] if index >= 0 else None
        inside = grid is not None and grid.span[0] < start < grid.span[1]
        return grid.header if grid is not None and inside else ""


def _rows(grid: _Grid, document: Document, table: TokenTable, limits: Limits) -> list[Span]:
    if table.tokens(grid.span) <= limits.size:
        return [grid.span]
    size = max(1, limits.size - grid.tokens)
    # A row that is too long, or a quote that is never closed, leaves its lines and sentences.
    levels = [grid.rows, layout.lines(document.text), layout.sentence_starts(document)]
    return pack(grid.span, levels, table, Limits(size, min(limits.overlap, size // 2)))


def _line_rows(text: str, span: Span) -> list[int]:
    ends = [span[0] + place for place in layout.lines(text[slice(*span)])]
    return [end for end in ends if end < span[1]]


def _csv_rows(text: str, span: Span) -> list[int]:
    """Return where rows begin; a line end between double quotes ends none."""
    rows: list[int] = []
    quoted = False
    for found in _CSV_SIGN.finditer(text, *span):
        if found[0] == '"':
            quoted = not quoted
        elif not quoted and found.end() < span[1]:
            rows.append(found.end())
    return rows

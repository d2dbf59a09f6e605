"""A document in, chunks that follow the tree of its headings out: for pages with many small parts.

A part of the page (a heading with all below it) that fits is one chunk; small parts beside each
other are joined, parts of different parents are not. Reads the marks that the loader keeps.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import Limits, pack
from ragstack.chunking.sections import inner_levels
from ragstack.chunking.tokens import TokenTable, tabulate
from ragstack.protocols import TokenCounter
from ragstack.types import Chunk, Document, Span

__all__ = ["HtmlChunker"]

# As many as HTML has; marks of deeper headings count as the last.
_DEPTHS = 6


class HtmlChunker:
    """Keeps together what stands under one heading, as high up in the tree as it fits."""

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 200,
        overlap: int = 0,
        least: int = 32,
        context: str = "headings",
    ) -> None:
        """Choose how long chunks are.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of a chunk, at most; its context is not counted.
            overlap: Tokens of whole paragraphs or sentences that a chunk repeats of the one before
                in its part, at most.
            least: Fewer tokens before a part that is cut (a heading without text) go with it.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``.

        Raises:
            ConfigError: One of them cannot be used.
        """
        self._counter = counter
        self._limits = checked_limits(size, overlap)
        self._least = min(least, size // 2)
        self._context = checked_context(context)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start."""
        text = document.text
        if not text.strip():
            return []
        table = tabulate(text, self._counter)
        levels = inner_levels(document, table, self._limits.size)
        tree = _Tree(_headings(document), levels, table, self._limits, self._least)
        return assemble(document, tree.cut((0, len(text)), 1), context=self._context)


def _headings(document: Document) -> list[list[int]]:
    """Return where headings of each depth stand; index 0 is empty."""
    depths: list[list[int]] = [[] for _ in range(_DEPTHS + 1)]
    for mark in document.marks:
        if mark.kind == "heading" and 0 < mark.start < len(document.text):
            depths[min(max(mark.level, 1), _DEPTHS)].append(mark.start)
    return [sorted(set(starts)) for starts in depths]


@dataclass(frozen=True, slots=True)
class _Tree:
    headings: list[list[int]]
    levels: list[list[int]]
    table: TokenTable
    limits: Limits
    least: int

    def cut(self, span: Span, depth: int) -> list[Span]:
        """Return the chunks of a part whose headings of smaller depth are dealt with."""
        if self.table.tokens(span) <= self.limits.size:
            return [span]
        edges: list[int] = []
        while depth <= _DEPTHS and not edges:
            starts = self.headings[depth]
            edges = starts[bisect_left(starts, span[0] + 1) : bisect_left(starts, span[1])]
            depth += 1
        if not edges:
            return pack(span, self.levels, self.table, self.limits)
        spans: list[Span] = []
        start = span[0]
        ends = [*edges, span[1]]
        for end, following in zip(ends, [*ends[1:], span[1]], strict=True):
            # One more part is taken in as long as all of them fit.
            if end < span[1] and self._small((start, end), (start, following)):
                continue
            spans += self.cut((start, end), depth)
            start = end
        return spans

    def _small(self, held: Span, more: Span) -> bool:
        fits = self.table.tokens(more) <= self.limits.size
        return fits or self.table.tokens(held) < self.least

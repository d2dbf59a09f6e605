"""A document in, chunks that never cross a page out: a citation then has one page."""

from __future__ import annotations

from itertools import pairwise

from ragstack.chunking import layout
from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import pack
from ragstack.chunking.sections import inner_levels
from ragstack.chunking.tokens import tabulate
from ragstack.protocols import TokenCounter
from ragstack.types import Chunk, Document, Span

__all__ = ["PageChunker"]


class PageChunker:
    """One chunk for a page (slide, sheet); a page that does not fit is cut inside.

    A document without pages is cut as one page.
    """

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
            size: Tokens of a chunk, at most; its context is not counted.
            overlap: Tokens of whole paragraphs, lines or sentences that a chunk repeats of the one
                before on its page, at most.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``.

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
        levels = [layout.sections(document), *inner_levels(document, table, self._limits.size)]
        starts = {mark.start for mark in document.marks if mark.kind == "page"}
        edges = [0, *sorted(start for start in starts if 0 < start < len(text)), len(text)]
        spans: list[Span] = []
        for page in pairwise(edges):
            spans += pack(page, levels, table, self._limits)
        return assemble(document, spans, context=self._context)

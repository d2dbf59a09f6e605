"""A document in, chunks cut at paragraphs, else lines, sentences, words out. Knows no headings."""

from __future__ import annotations

from ragstack.chunking import layout
from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import pack
from ragstack.chunking.tokens import tabulate
from ragstack.protocols import TokenCounter
from ragstack.types import Chunk, Document

__all__ = ["RecursiveChunker"]


class RecursiveChunker:
    """Keeps together what the text keeps together, as far as it fits."""

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
            overlap: Tokens of whole paragraphs, lines or sentences that a chunk repeats, at most.
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
        levels = (layout.paragraphs(text), layout.lines(text), layout.sentence_starts(document))
        table = tabulate(text, self._counter)
        spans = pack((0, len(text)), levels, table, self._limits)
        return assemble(document, spans, context=self._context)

"""A document in, chunks of whole sentences out. Knows English and French, and no headings."""

from __future__ import annotations

from ragstack.chunking import layout
from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import pack
from ragstack.chunking.tokens import tabulate
from ragstack.protocols import TokenCounter
from ragstack.types import Chunk, Document

__all__ = ["SentenceChunker"]


class SentenceChunker:
    """Fills chunks with sentences, and begins each with the last sentences of the one before."""

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 200,
        overlap: int = 40,
        context: str = "headings",
    ) -> None:
        """Choose how long chunks are.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of a chunk, at most; its context is not counted.
            overlap: Tokens of whole sentences that a chunk repeats of the one before, at most.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``.

        Raises:
            ConfigError: One of them cannot be used.
        """
        self._counter = counter
        self._limits = checked_limits(size, overlap)
        self._context = checked_context(context)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start."""
        if not document.text.strip():
            return []
        table = tabulate(document.text, self._counter)
        levels = (layout.sentence_starts(document),)
        spans = pack((0, len(document.text)), levels, table, self._limits)
        return assemble(document, spans, context=self._context)

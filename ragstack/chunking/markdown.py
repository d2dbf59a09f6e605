"""A document in, chunks that follow its headings out. Reads headings of any kind of document.

Sections come from the marks of kind ``heading``, so a PDF or an e-mail with headings is cut as a
Markdown file is. A table or a piece of code that fits is never cut.
"""

from __future__ import annotations

from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.sections import section_spans
from ragstack.chunking.tokens import tabulate
from ragstack.protocols import TokenCounter
from ragstack.types import Chunk, Document

__all__ = ["MarkdownChunker"]


class MarkdownChunker:
    """Keeps to sections: a chunk holds one, a part of one, or a small one and the next."""

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
                in its section, at most.
            least: A section of fewer tokens (a heading without text) joins the next one.
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
        spans = section_spans(document, table, self._limits, least=self._least)
        return assemble(document, spans, context=self._context)

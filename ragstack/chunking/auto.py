"""A document in, the chunks of the chunker that suits its type out."""

from __future__ import annotations

from ragstack.chunking.assemble import checked_context
from ragstack.chunking.code import CodeChunker
from ragstack.chunking.data import JsonChunker
from ragstack.chunking.html import HtmlChunker
from ragstack.chunking.markdown import MarkdownChunker
from ragstack.chunking.options import checked_limits
from ragstack.chunking.table import TableChunker
from ragstack.protocols import Chunker, TokenCounter
from ragstack.types import Chunk, Document

__all__ = ["AutoChunker"]

_BY_TYPE = {
    "json": JsonChunker,
    "jsonl": JsonChunker,
    "html": HtmlChunker,
    "epub": HtmlChunker,
    "csv": TableChunker,
    "tsv": TableChunker,
    "xlsx": TableChunker,
    "xls": TableChunker,
    "ods": TableChunker,
}


class AutoChunker:
    """Code, data, pages and tables each their own way, everything else as ``markdown``."""

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 200,
        overlap: int = 0,
        context: str = "headings",
    ) -> None:
        """Choose how long chunks are, whatever the document.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of a chunk, at most; its context is not counted.
            overlap: Tokens that a chunk repeats of the one before, at most.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``.

        Raises:
            ConfigError: One of them cannot be used.
        """
        checked_limits(size, overlap)
        shared = {"size": size, "overlap": overlap}
        known = checked_context(context)
        self._other: Chunker = MarkdownChunker(counter=counter, context=known, **shared)
        self._by_type: dict[str, Chunker] = {
            kind: make(counter=counter, context=known, **shared) for kind, make in _BY_TYPE.items()
        }
        self._by_type["code"] = CodeChunker(counter=counter, context=known, fallback=True, **shared)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start."""
        kind = document.meta.get("type")
        chosen = self._by_type.get(kind) if isinstance(kind, str) else None
        return (chosen or self._other).chunk(document)

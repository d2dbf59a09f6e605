"""Source code in, chunks of whole functions and classes out, cut at statements where they must be.

A language without a grammar here is cut at the definitions that the loader marked.
"""

from __future__ import annotations

from ragstack.chunking import layout
from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.grammars import installed
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import pack
from ragstack.chunking.sections import section_spans
from ragstack.chunking.syntax import Syntax, read_syntax
from ragstack.chunking.tokens import TokenTable, tabulate
from ragstack.errors import MissingExtra
from ragstack.protocols import TokenCounter
from ragstack.types import Chunk, Document, Span

__all__ = ["CodeChunker"]


class CodeChunker:
    """Cuts code between definitions, else between members, else between statements."""

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 200,
        overlap: int = 0,
        context: str = "headings",
        fallback: bool = False,
    ) -> None:
        """Choose how long chunks are.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of a chunk, at most; its context is not counted.
            overlap: Tokens of whole statements that a chunk repeats of the one before, at most.
            context: ``headings`` and ``both`` are the title and the signatures of the definitions
                that a chunk lies in; ``title``; ``none``.
            fallback: Where tree-sitter is not installed, cut as in a language without a grammar.

        Raises:
            ConfigError: One of them cannot be used.
            MissingExtra: tree-sitter is not installed.
        """
        if not fallback and not installed():
            raise MissingExtra("tree_sitter", extra="code")
        self._counter = counter
        self._limits = checked_limits(size, overlap)
        self._context = checked_context(context)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start."""
        text = document.text
        if not text.strip():
            return []
        table = tabulate(text, self._counter)
        language = document.meta.get("code_language")
        syntax = read_syntax(text, language) if isinstance(language, str) else None
        if syntax is None:
            spans = section_spans(document, table, self._limits, least=self._limits.size // 2)
            return assemble(document, spans, context=self._context)
        wanted = self._context in ("headings", "both")
        title = "none" if self._context == "none" else "title"
        return assemble(
            document,
            self._spans(text, syntax, table),
            context=checked_context(title),
            note=lambda start, _end: " > ".join(syntax.around(start)) if wanted else "",
        )

    def _spans(self, text: str, syntax: Syntax, table: TokenTable) -> list[Span]:
        return pack((0, len(text)), [*syntax.levels, layout.lines(text)], table, self._limits)

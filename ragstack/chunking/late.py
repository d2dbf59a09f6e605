"""A document in, chunks to be embedded with the text around them out. Embeds nothing itself.

The chunks are those of ``markdown``; what is special is their vectors, which the pipeline has made
from the whole document: see ``ragstack.embedding.late``.
"""

from __future__ import annotations

from ragstack.chunking.markdown import MarkdownChunker
from ragstack.errors import ConfigError
from ragstack.protocols import TokenCounter

__all__ = ["LateChunker"]


class LateChunker(MarkdownChunker):
    """``markdown``'s chunks; each vector is pooled from a longer text.

    Attributes:
        late_window: Tokens embedded together.
    """

    def __init__(
        self,
        *,
        counter: TokenCounter,
        size: int = 128,
        overlap: int = 0,
        least: int = 32,
        context: str = "headings",
        window: int = 254,
    ) -> None:
        """Choose how long chunks are, and how much around them their vectors know.

        Args:
            counter: Counts as the embedder does.
            size: Tokens of a chunk, at most; its context is not counted.
            overlap: Tokens of whole paragraphs or sentences that a chunk repeats, at most.
            least: A section of fewer tokens (a heading without text) joins the next one.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``; for the lexical
                index, since the vector has the text itself around it.
            window: Tokens embedded together: what the embedder reads at once, less its two signs.

        Raises:
            ConfigError: One of them cannot be used.
        """
        super().__init__(counter=counter, size=size, overlap=overlap, least=least, context=context)
        if window < size:
            raise ConfigError(f"window is at least the size ({size}), got {window!r}")
        self.late_window = window

"""A document in, chunks that end where the text changes its subject out, as an embedder sees it.

Each sentence is embedded with its neighbours; where the cosine distance from one to the next is
among the largest of the document, a chunk may end (Kamradt, "5 levels of text splitting", 2023).
"""

from __future__ import annotations

import numpy as np

from ragstack.chunking import layout, sentences
from ragstack.chunking.assemble import assemble, checked_context
from ragstack.chunking.options import checked_limits
from ragstack.chunking.packing import pack
from ragstack.chunking.tokens import TokenTable, tabulate
from ragstack.errors import ConfigError
from ragstack.protocols import Embedder, TokenCounter
from ragstack.types import Chunk, Document, Span

__all__ = ["SemanticChunker"]

# Sentences embedded at a time; a long document is not held as vectors.
_BATCH = 1_024


class SemanticChunker:
    """Cuts at the sharpest changes of subject; what lies between and is too long, at sentences.

    It embeds the whole text once more than the index does: ingesting takes about twice as long.
    """

    def __init__(  # noqa: PLR0913 (options are read off the signature)
        self,
        *,
        counter: TokenCounter,
        embedder: Embedder,
        size: int = 200,
        least: int = 32,
        percentile: float = 90.0,
        neighbours: int = 1,
        context: str = "headings",
    ) -> None:
        """Choose how long chunks are, and how sharp a change ends one.

        Args:
            counter: Counts as the embedder does.
            embedder: Tells how near sentences are.
            size: Tokens of a chunk, at most; its context is not counted.
            least: Fewer tokens between two changes are joined with what follows.
            percentile: Changes are the distances of the document from this percentile up.
            neighbours: Sentences on each side that are embedded with one.
            context: ``headings`` (else the title), ``title``, ``both`` or ``none``.

        Raises:
            ConfigError: One of them cannot be used.
        """
        if not 0 < percentile < 100:
            raise ConfigError(f"percentile is a number between 0 and 100, got {percentile!r}")
        if neighbours < 0:
            raise ConfigError(f"neighbours is a number of sentences from 0, got {neighbours!r}")
        self._counter = counter
        self._embedder = embedder
        self._limits = checked_limits(size, 0)
        self._least = min(least, size // 2)
        self._percentile = percentile
        self._neighbours = neighbours
        self._context = checked_context(context)

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks in order of start."""
        text = document.text
        if not text.strip():
            return []
        table = tabulate(text, self._counter)
        language = document.meta.get("language")
        found = sentences.split(text, language if isinstance(language, str) else "")
        levels = [layout.paragraphs(text), layout.lines(text), [start for start, _ in found]]
        spans: list[Span] = []
        for part in self._parts(text, found, table):
            spans += pack(part, levels, table, self._limits)
        return assemble(document, spans, context=self._context)

    def _parts(self, text: str, found: list[Span], table: TokenTable) -> list[Span]:
        """Return the spans between changes; together they are the text."""
        edges = [found[index][0] for index in self._changes(text, found)]
        parts: list[Span] = []
        start = 0
        for end in [*edges, len(text)]:
            if end == len(text) or table.tokens((start, end)) >= self._least:
                parts.append((start, end))
                start = end
        return parts

    def _changes(self, text: str, found: list[Span]) -> list[int]:
        """Return the sentences that begin something new."""
        if len(found) < 3:
            return []
        around = self._neighbours
        groups = [
            (found[max(0, index - around)][0], found[min(len(found) - 1, index + around)][1])
            for index in range(len(found))
        ]
        distances = np.empty(len(groups) - 1)
        last = None
        for start in range(0, len(groups), _BATCH):
            some = [self._shown(text, span) for span in groups[start : start + _BATCH]]
            vectors = self._embedder.embed_documents(some)
            held = vectors if last is None else np.concatenate([last, vectors])
            near = np.einsum("ij,ij->i", held[:-1], held[1:])
            first = start if last is None else start - 1
            distances[first : first + len(near)] = 1.0 - near
            last = vectors[-1:]
        sharp = distances >= np.percentile(distances, self._percentile)
        # Where all are alike, as in a list of equal lines, none is a change.
        return (np.flatnonzero(sharp & (distances > np.median(distances))) + 1).tolist()

    def _shown(self, text: str, span: Span) -> str:
        # A "sentence" of a megabyte tells no more by its millionth letter.
        return text[span[0] : min(span[1], span[0] + self._limits.size * 16)]

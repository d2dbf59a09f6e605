"""Chunks and the documents they are part of in, vectors that know the text around each chunk out.

Late chunking (Günther et al. 2024, arXiv:2409.04701): the long text is embedded token by token, and
a chunk's vector is the mean of the vectors of its tokens. Nothing is trained for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ragstack.embedding.inputs import checked, unit
from ragstack.errors import ConfigError
from ragstack.protocols import Embedder, TokenCounter, TokenEmbedder, Vectors
from ragstack.types import Chunk, Document, Span

__all__ = ["LateEmbedder"]


class _Inner(Embedder, TokenEmbedder, TokenCounter, Protocol):
    """What can be wrapped."""


class LateEmbedder:
    """An Embedder and ChunkEmbedder around one that shows the vectors of tokens.

    Stretches of ``window`` tokens, each beginning half a stretch after the one before, are embedded
    once; a chunk is pooled from the one in which it has the most text on both sides. Token vectors
    have length 1 before they are pooled, so a loud token counts no more than another.
    """

    def __init__(
        self, embedder: Embedder, document: Callable[[str], Document | None], *, window: int
    ) -> None:
        """Stand before an embedder, which stays the caller's to close.

        Args:
            document: Returns a document by its id.
            window: Tokens embedded together; at most what the model reads at once.

        Raises:
            ConfigError: The embedder shows no vectors of tokens.
        """
        if not all(hasattr(embedder, name) for name in ("embed_tokens", "offsets")):
            raise ConfigError(
                f"{embedder.fingerprint!r} shows no vectors of tokens, which late chunking needs",
                hint='use = "onnx" under [embed] does',
            )
        self._inner: _Inner = embedder  # type: ignore[assignment]  # looked at just now
        self._document = document
        self._window = window

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._inner.dimensions

    @property
    def fingerprint(self) -> str:
        """The embedder's own and the stretch."""
        return f"{self._inner.fingerprint}:late:{self._window}"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, which has nothing around it."""
        return self._inner.embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, as the embedder does."""
        return self._inner.embed_queries(texts)

    def embed_chunks(self, chunks: Sequence[Chunk]) -> Vectors:
        """Return one unit row for each chunk, in order.

        A chunk whose document has changed since is embedded by itself; its successor is on the way.
        """
        vectors = np.empty((len(chunks), self.dimensions), dtype=np.float32)
        rows: dict[str, list[int]] = {}
        for row, chunk in enumerate(chunks):
            rows.setdefault(chunk.document_id, []).append(row)
        alone: list[int] = []
        for document_id, some in rows.items():
            document = self._document(document_id)
            if document is None:
                alone += some
                continue
            fresh = [row for row in some if chunks[row].version == document.version]
            alone += [row for row in some if chunks[row].version != document.version]
            alone += self._pool(document.text, [(row, chunks[row]) for row in fresh], vectors)
        if alone:
            texts = checked([chunks[row].indexed_text for row in alone])
            vectors[alone] = self._inner.embed_documents(texts)
        return vectors

    def _pool(self, text: str, rows: Sequence[tuple[int, Chunk]], vectors: Vectors) -> list[int]:
        """Fill the rows of one document's chunks; return those that have no token."""
        offsets = self._inner.offsets(text)
        starts = [start for start, _ in offsets]
        stretches: dict[Span, list[tuple[int, Chunk]]] = {}
        empty: list[int] = []
        for row, chunk in rows:
            first = bisect_left(starts, chunk.start)
            last = bisect_left(starts, chunk.end)
            if first == last:
                empty.append(row)
                continue
            begin, end = self._stretch(first, last, len(starts))
            stretches.setdefault((starts[begin], offsets[end - 1][1]), []).append((row, chunk))
        for (begin, end), some in stretches.items():
            found = self._inner.embed_tokens([text[begin:end]])[0]
            places = [begin + start for start, _ in found.spans]
            for row, chunk in some:
                own = found.vectors[
                    bisect_left(places, chunk.start) : bisect_left(places, chunk.end)
                ]
                if len(own):
                    vectors[row] = unit(own.mean(axis=0, keepdims=True))[0]
                else:
                    empty.append(row)
        return empty

    def _stretch(self, first: int, last: int, count: int) -> Span:
        """Return the tokens to embed for a chunk's tokens: a stretch that others share, if any."""
        half = max(1, self._window // 2)
        best: Span | None = None
        room = -1
        for number in range(max(0, last - self._window) // half, first // half + 1):
            begin, end = number * half, min(number * half + self._window, count)
            # At the edges of the document there is nothing more to see.
            before = first - begin if begin else self._window
            after = end - last if end < count else self._window
            if begin <= first and last <= end and min(before, after) > room:
                best, room = (begin, end), min(before, after)
        if best is not None:
            return best
        spare = max(0, self._window - (last - first)) // 2
        return max(0, first - spare), min(count, last + spare)

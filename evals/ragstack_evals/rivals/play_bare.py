"""The parts by hand: bm25s, one matrix, reciprocal ranks."""

from __future__ import annotations

from collections.abc import Sequence

from ragstack_evals.baseline import HandMade
from ragstack_evals.rivals.system import DEPTH, PeerEmbedder, System

__all__ = ["open_system"]


class _ByHand:
    def __init__(self, embedder: PeerEmbedder) -> None:
        self._embedder = embedder

    def ingest(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self._made = HandMade(
            ids,
            texts,
            self._embedder.embed_documents(texts),
            embed_query=lambda query: self._embedder.embed_queries([query])[0],
        )

    def search(self, query: str, k: int) -> list[str]:
        return self._made.hybrid(query, k=k, depth=DEPTH)

    def close(self) -> None:
        pass  # all of it is memory


def open_system(embedder: PeerEmbedder) -> System:
    """Return the system."""
    return _ByHand(embedder)

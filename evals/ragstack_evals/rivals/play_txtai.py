"""txtai: one hybrid Embeddings index, its vectors from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from txtai.embeddings import Embeddings

from ragstack_evals.rivals.system import SharedEmbedder, System

__all__ = ["open_system"]


class _Txtai:
    def __init__(self, embedder: SharedEmbedder) -> None:
        self._embedder = embedder
        self._index: Any = Embeddings(
            {
                "method": "external",
                "transform": lambda texts: embedder.embed_documents(list(texts)),
                "hybrid": True,
                "content": False,
            }
        )

    def ingest(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self._index.index(zip(ids, texts, strict=True))

    def search(self, query: str, k: int) -> list[str]:
        return [str(found) for found, _ in self._index.search(query, k)]

    def close(self) -> None:
        self._index.close()


def open_system(embedder: SharedEmbedder) -> System:
    """Return the system."""
    return _Txtai(embedder)

"""Haystack: its in-memory store, both retrievers, and a joiner by ranks, in one pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import (
    InMemoryBM25Retriever,
    InMemoryEmbeddingRetriever,
)
from haystack.document_stores.in_memory import InMemoryDocumentStore

from ragstack_evals.rivals.system import DEPTH, SharedEmbedder, System

__all__ = ["open_system"]


class _Haystack:
    def __init__(self, embedder: SharedEmbedder) -> None:
        self._embedder = embedder
        self._store = InMemoryDocumentStore(embedding_similarity_function="cosine")
        self._pipeline: Any = Pipeline()
        lexical = InMemoryBM25Retriever(self._store, top_k=DEPTH)
        vector = InMemoryEmbeddingRetriever(self._store, top_k=DEPTH)
        joiner = DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=DEPTH)
        self._pipeline.add_component("lexical", lexical)
        self._pipeline.add_component("vector", vector)
        self._pipeline.add_component("joiner", joiner)
        self._pipeline.connect("lexical", "joiner")
        self._pipeline.connect("vector", "joiner")

    def ingest(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        rows = self._embedder.lists(texts)
        self._store.write_documents(
            [
                Document(id=i, content=text, embedding=row)
                for i, text, row in zip(ids, texts, rows, strict=True)
            ]
        )

    def search(self, query: str, k: int) -> list[str]:
        row = self._embedder.embed_queries([query])[0].tolist()
        given = {"lexical": {"query": query}, "vector": {"query_embedding": row}}
        found = self._pipeline.run(given)["joiner"]["documents"]
        return [str(document.id) for document in found[:k]]

    def close(self) -> None:
        pass  # all of it is memory


def open_system(embedder: SharedEmbedder) -> System:
    """Return the system."""
    return _Haystack(embedder)

"""LangChain: EnsembleRetriever over BM25Retriever (rank_bm25) and FAISS, as its docs show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_core.embeddings import Embeddings

from ragstack_evals.rivals.system import DEPTH, PeerEmbedder, System

__all__ = ["open_system"]


class _Adapter(Embeddings):
    def __init__(self, embedder: PeerEmbedder) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.lists(texts)

    def embed_query(self, text: str) -> list[float]:
        row: list[float] = self._embedder.embed_queries([text])[0].tolist()
        return row


class _LangChain:
    def __init__(self, embedder: PeerEmbedder) -> None:
        self._embedder = embedder
        self._retriever: Any = None

    def ingest(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        marks = [{"id": document_id} for document_id in ids]
        lexical = BM25Retriever.from_texts(list(texts), metadatas=marks, k=DEPTH)
        store = FAISS.from_texts(list(texts), _Adapter(self._embedder), metadatas=marks)
        vector = store.as_retriever(search_kwargs={"k": DEPTH})
        self._retriever = EnsembleRetriever(retrievers=[lexical, vector], weights=[0.5, 0.5])

    def search(self, query: str, k: int) -> list[str]:
        return [str(found.metadata["id"]) for found in self._retriever.invoke(query)[:k]]

    def close(self) -> None:
        pass  # all of it is memory


def open_system(embedder: PeerEmbedder) -> System:
    """Return the system."""
    return _LangChain(embedder)

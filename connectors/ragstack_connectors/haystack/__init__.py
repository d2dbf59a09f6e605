"""ragstack in Haystack: a document store over a base, and retrievers as components."""

from __future__ import annotations

from ragstack_connectors.haystack.retriever import RagstackPassageRetriever, RagstackRetriever
from ragstack_connectors.haystack.store import RagstackDocumentStore

__all__ = ["RagstackDocumentStore", "RagstackPassageRetriever", "RagstackRetriever"]

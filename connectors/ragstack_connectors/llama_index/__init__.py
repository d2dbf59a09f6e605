"""ragstack in LlamaIndex (retriever, vector store), and LlamaIndex in ragstack (reader, parser)."""

from __future__ import annotations

from ragstack_connectors.llama_index.parts import LlamaIndexChunker, LlamaIndexConnector
from ragstack_connectors.llama_index.retriever import RagstackRetriever
from ragstack_connectors.llama_index.store import RagstackVectorStore

__all__ = [
    "LlamaIndexChunker",
    "LlamaIndexConnector",
    "RagstackRetriever",
    "RagstackVectorStore",
]

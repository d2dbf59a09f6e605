"""LangChain and ragstack, each usable where the other's parts are expected.

Imports only ragstack's front door, protocols, types and errors, and ``langchain-core``.
"""

from __future__ import annotations

from ragstack_connectors.langchain.chat import RagstackChatModel
from ragstack_connectors.langchain.embeddings import LangchainEmbedder, RagstackEmbeddings
from ragstack_connectors.langchain.generator import LangchainGenerator
from ragstack_connectors.langchain.live import LangchainLive
from ragstack_connectors.langchain.loading import LangchainConnector, RagstackLoader
from ragstack_connectors.langchain.retriever import RagstackRetriever
from ragstack_connectors.langchain.splitting import LangchainChunker, RagstackSplitter
from ragstack_connectors.langchain.store import RagstackVectorStore

__all__ = [
    "LangchainChunker",
    "LangchainConnector",
    "LangchainEmbedder",
    "LangchainGenerator",
    "LangchainLive",
    "RagstackChatModel",
    "RagstackEmbeddings",
    "RagstackLoader",
    "RagstackRetriever",
    "RagstackSplitter",
    "RagstackVectorStore",
]

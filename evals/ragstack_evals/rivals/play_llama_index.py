"""LlamaIndex: QueryFusionRetriever over its BM25Retriever and a VectorStoreIndex in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import Stemmer
from llama_index.core import VectorStoreIndex
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import TextNode
from llama_index.retrievers.bm25 import BM25Retriever

from ragstack_evals.rivals.system import DEPTH, SharedEmbedder, System

__all__ = ["open_system"]


class _Adapter(BaseEmbedding):
    _embedder: Any = PrivateAttr()

    def __init__(self, embedder: SharedEmbedder) -> None:
        # Its default batch of 10 would leave the shared embedder nothing to sort and spread.
        super().__init__(model_name="shared", embed_batch_size=1024)
        self._embedder = embedder

    def _get_query_embedding(self, query: str) -> list[float]:
        row: list[float] = self._embedder.embed_queries([query])[0].tolist()
        return row

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._embedder.lists(texts)
        return rows


class _LlamaIndex:
    def __init__(self, embedder: SharedEmbedder) -> None:
        self._embedder = embedder
        self._retriever: Any = None

    def ingest(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        nodes = [TextNode(id_=i, text=text) for i, text in zip(ids, texts, strict=True)]
        store = VectorStoreIndex(nodes, embed_model=_Adapter(self._embedder))
        lexical = BM25Retriever.from_defaults(
            nodes=nodes,
            similarity_top_k=min(DEPTH, len(nodes)),
            stemmer=Stemmer.Stemmer("english"),
            language="english",
        )
        self._retriever = QueryFusionRetriever(
            [store.as_retriever(similarity_top_k=DEPTH), lexical],
            llm=MockLLM(),  # asked for nothing: one query stays one query
            num_queries=1,
            similarity_top_k=DEPTH,
            mode=FUSION_MODES.RECIPROCAL_RANK,
            use_async=False,
        )

    def search(self, query: str, k: int) -> list[str]:
        return [str(found.node.node_id) for found in self._retriever.retrieve(query)[:k]]

    def close(self) -> None:
        pass  # all of it is memory


def open_system(embedder: SharedEmbedder) -> System:
    """Return the system."""
    return _LlamaIndex(embedder)

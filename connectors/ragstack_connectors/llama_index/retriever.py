"""A ragstack base in, a LlamaIndex retriever out: passages become nodes."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import (
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)

from ragstack import Passage

__all__ = ["RagstackRetriever", "node_of"]


class RagstackRetriever(BaseRetriever):
    """Searches a base; a ``Stack`` or, over HTTP, a ``Client``.

    Args:
        k: Nodes wanted; None is as configured.
        search: What else ``search`` takes: ``where``, ``asker``, ``collection``, ``min_score``.
    """

    def __init__(self, stack: Any, k: int | None = None, **search: Any) -> None:
        self._stack = stack
        self._k = k
        self._search = search
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._stack.search(query_bundle.query_str, k=self._k, **self._search)
        return [NodeWithScore(node=node_of(passage), score=passage.score) for passage in found]


def node_of(passage: Passage) -> TextNode:
    """Return a passage as a node of its document; where it stands is in node and metadata."""
    chunk = passage.chunk
    meta = {**chunk.meta, "source": passage.source, "document_id": chunk.document_id}
    return TextNode(
        id_=chunk.id,
        text=chunk.text,
        metadata=meta,
        start_char_idx=chunk.start,
        end_char_idx=chunk.end,
        excluded_embed_metadata_keys=list(meta),
        excluded_llm_metadata_keys=[name for name in meta if name != "source"],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=chunk.document_id)},
    )

"""A collection of a ragstack base as a LlamaIndex vector store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import (
    build_metadata_filter_fn,
    metadata_dict_to_node,
    node_to_metadata_dict,
)
from pydantic import PrivateAttr

from ragstack import Stack
from ragstack.errors import InputError
from ragstack_connectors.kept import Item, Kept, Question, scalars

__all__ = ["RagstackVectorStore"]

_OPERATORS = {
    FilterOperator.EQ: "eq", FilterOperator.NE: "ne", FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte", FilterOperator.LT: "lt", FilterOperator.LTE: "lte",
    FilterOperator.IN: "in", FilterOperator.NIN: "nin",
}  # fmt: skip
_DOCUMENT = "ref_doc_id"


class RagstackVectorStore(BasePydanticVectorStore):
    """Nodes in a collection; found by words and meaning, as the base searches.

    What is added is a document of the base too: ``ragstack search`` and ``ask`` find and cite it.
    The base's own embedder is what a search goes by: a query's text counts, not its vector, and
    vectors of nodes are not kept. Give the index ``MockEmbedding(1)``, so that nothing is embedded
    twice.

    Args:
        collection: Best one of its own.
    """

    stores_text: bool = True
    is_embedding_query: bool = False

    _kept: Kept = PrivateAttr()

    def __init__(self, stack: Stack, collection: str = "llama_index") -> None:
        super().__init__(stores_text=True)
        self._kept = Kept(stack, "llama_index", collection)

    @classmethod
    def class_name(cls) -> str:
        """The name it is known by."""
        return "RagstackVectorStore"

    @property
    def client(self) -> Stack:
        """The base."""
        return self._kept.stack

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes in place of those of their ids, and return the ids."""
        self._kept.put([_item(node) for node in nodes])
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Forget the nodes of a document."""
        self._kept.delete(
            [b["id"] for b in self._kept.every() if b["meta"][_DOCUMENT] == ref_doc_id]
        )

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Forget these nodes, or of these the ones that match."""
        self._kept.delete([node.node_id for node in self.get_nodes(node_ids, filters)])

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return these nodes, or all of them; LlamaIndex's own meaning of filters, exactly."""
        bodies = self._kept.every() if node_ids is None else self._kept.get(node_ids)
        metas = {body["id"]: body["meta"] for body in bodies}
        matches = build_metadata_filter_fn(lambda one: metas[one], filters)
        return [_node(body) for body in bodies if matches(body["id"])]

    def clear(self) -> None:
        """Forget every node."""
        self._kept.delete(self._kept.ids())

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Return the best nodes with the base's own scores.

        Raises:
            InputError: A query without text, or with a filter that the base cannot use.
        """
        if not query.query_str:
            raise InputError("a query has a text; the base embeds it itself")
        conditions = [_where(query.filters) if query.filters else {}]
        if query.doc_ids:
            conditions.append({_DOCUMENT: list(query.doc_ids)})
        if query.node_ids:
            conditions.append({"node_id": list(query.node_ids)})
        where: dict[str, object] = {"$and": conditions}
        found = self._kept.search(Question(query.query_str, query.similarity_top_k, where))
        return VectorStoreQueryResult(
            nodes=[_node(body) for body, _ in found],
            similarities=[passage.score for _, passage in found],
            ids=[body["id"] for body, _ in found],
        )


def _item(node: BaseNode) -> Item:
    meta = {**node.metadata, _DOCUMENT: node.ref_doc_id or "", "node_id": node.node_id}
    content = node_to_metadata_dict(node, flat_metadata=False)
    body = {
        "id": node.node_id,
        "meta": meta,
        "node": {key: content[key] for key in ("_node_content", "_node_type")},
    }
    return Item(node.node_id, node.get_content(MetadataMode.NONE), scalars(meta), body)


def _node(body: Mapping[str, Any]) -> BaseNode:
    return metadata_dict_to_node(dict(body["node"]))


def _where(filters: MetadataFilters) -> dict[str, object]:
    parts: list[dict[str, object]] = []
    for each in filters.filters:
        if isinstance(each, MetadataFilters):
            parts.append(_where(each))
        elif each.operator is FilterOperator.IS_EMPTY:
            parts.append({each.key: {"exists": False}})
        elif each.operator in _OPERATORS:
            parts.append({each.key: {_OPERATORS[each.operator]: each.value}})
        else:
            known = ", ".join(operator.value for operator in _OPERATORS)
            raise InputError(
                f"the base cannot filter by {each.operator.value!r}; it can by: {known}"
            )
    match filters.condition:
        case FilterCondition.OR:
            return {"$or": parts}
        case FilterCondition.NOT:
            return {"$not": {"$or": parts}}
        case _:
            return {"$and": parts}

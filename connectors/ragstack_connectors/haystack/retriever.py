"""Retrievers of Haystack pipelines that search a ragstack base."""

from __future__ import annotations

from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from ragstack import Passage
from ragstack.errors import InputError
from ragstack_connectors.haystack.filters import where_of
from ragstack_connectors.haystack.store import RagstackDocumentStore

__all__ = ["RagstackPassageRetriever", "RagstackRetriever"]


@component
class RagstackRetriever:
    """Finds documents of a ``RagstackDocumentStore`` by words and meaning.

    Args:
        top_k: Documents wanted.
        filters: Where a run gives none.
    """

    def __init__(
        self,
        document_store: RagstackDocumentStore,
        top_k: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> None:
        _check(top_k)
        self.document_store = document_store
        self.top_k = top_k
        self.filters = filters

    def to_dict(self) -> dict[str, Any]:
        """Return what ``from_dict`` makes it of again."""
        data: dict[str, Any] = default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            top_k=self.top_k,
            filters=self.filters,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RagstackRetriever:
        """Return the component that ``to_dict`` described."""
        parameters = data["init_parameters"]
        store = parameters["document_store"]
        if isinstance(store, dict):
            parameters["document_store"] = RagstackDocumentStore.from_dict(store)
        made: RagstackRetriever = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the best documents."""
        k = self.top_k if top_k is None else top_k
        _check(k)
        found = self.document_store.search(query, k=k, filters=filters or self.filters)
        return {"documents": found}


@component
class RagstackPassageRetriever:
    """Finds passages of any collection of a base: a ``Stack`` or, over HTTP, a ``Client``.

    Args:
        top_k: Passages wanted.
        asker: The user who asks and their groups.
    """

    def __init__(
        self,
        stack: Any,
        top_k: int = 10,
        collection: str = "default",
        asker: tuple[str, ...] = (),
    ) -> None:
        _check(top_k)
        self._stack = stack
        self.top_k = top_k
        self.collection = collection
        self.asker = asker

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the best passages as documents; their metadata say where they stand."""
        k = self.top_k if top_k is None else top_k
        _check(k)
        found = self._stack.search(
            query,
            k=k,
            where=where_of(filters),
            asker=self.asker,
            collection=self.collection,
        )
        return {"documents": [_document(passage) for passage in found]}


def _document(passage: Passage) -> Document:
    chunk = passage.chunk
    meta = {
        **chunk.meta,
        "source": passage.source,
        "document_id": chunk.document_id,
        "start": chunk.start,
        "end": chunk.end,
    }
    return Document(id=chunk.id, content=chunk.text, meta=meta, score=passage.score)


def _check(top_k: int) -> None:
    if top_k < 1:
        raise InputError(f"top_k is how many to return, at least 1, got {top_k!r}")

"""A collection of a ragstack base as a Haystack document store."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from haystack import Document, default_from_dict, default_to_dict
from haystack.dataclasses import ByteStream
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from ragstack import Stack
from ragstack.errors import InputError
from ragstack_connectors.haystack.filters import where_of
from ragstack_connectors.kept import Item, Kept, Question, scalars

__all__ = ["RagstackDocumentStore"]


class RagstackDocumentStore:
    """Haystack documents in a collection; found by words and meaning, as the base searches.

    What is written is a document of the base too: ``ragstack search`` and ``ask`` find and cite it.
    Documents come back as they were given, embeddings among them; but it is the base's own embedder
    that a search goes by.

    Args:
        base: The base's folder; opened when it is needed.
        collection: Best one of its own.
        stack: An open base in place of a folder; then the store cannot be written to YAML.
    """

    def __init__(
        self, base: str = "", collection: str = "haystack", *, stack: Stack | None = None
    ) -> None:
        if bool(base) == (stack is not None):
            raise InputError("a store is made in a base", hint="give either base or stack=")
        self._base, self._collection = base, collection
        self._given = stack
        self._opened: Stack | None = None
        self._made: Kept | None = None

    @property
    def _kept(self) -> Kept:
        if self._made is None:
            if self._given is None:
                self._opened = Stack.open(self._base)
            self._made = Kept(self._given or self._opened, "haystack", self._collection)  # type: ignore[arg-type]
        return self._made

    def to_dict(self) -> dict[str, Any]:
        """Return what ``from_dict`` makes it of again.

        Raises:
            InputError: It was made with an open base, of which there is no text.
        """
        if self._given is not None:
            raise InputError(
                "a store made with an open base cannot be written down", hint="make it with base="
            )
        data: dict[str, Any] = default_to_dict(self, base=self._base, collection=self._collection)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RagstackDocumentStore:
        """Return the store that ``to_dict`` described."""
        made: RagstackDocumentStore = default_from_dict(cls, data)
        return made

    def count_documents(self) -> int:
        """Return how many documents there are."""
        return len(self._kept.ids())

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """Return how many documents match."""
        return len(self.filter_documents(filters))

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that match, by id: Haystack's own meaning of filters, exactly.

        Raises:
            FilterError: A filter that means nothing.
        """
        if filters and "operator" not in filters:
            raise FilterError(f"a filter has an operator, got {filters!r}")
        every = [_document(body) for body in self._kept.every()]
        return [d for d in every if not filters or document_matches_filter(filters, d)]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Store documents and return how many were written; without a policy, as with ``FAIL``.

        Raises:
            ValueError: What is no list of documents.
            DuplicateDocumentError: One is there already, and the policy is to fail; none is
                written.
        """
        if not isinstance(documents, list) or not all(isinstance(d, Document) for d in documents):
            raise InputError(f"documents is a list of Haystack documents, got {documents!r:.200}")
        there = set(self._kept.ids()) & {document.id for document in documents}
        if there and policy in (DuplicatePolicy.NONE, DuplicatePolicy.FAIL):
            raise DuplicateDocumentError(f"documents are there already: {sorted(there)[:5]}")
        if policy is DuplicatePolicy.SKIP:
            documents = [document for document in documents if document.id not in there]
        self._kept.put([_item(document) for document in documents])
        return len(documents)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Forget these; the unknown are ignored."""
        self._kept.delete(document_ids)

    def delete_all_documents(self) -> None:
        """Forget every document of the store."""
        self._kept.delete(self._kept.ids())

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Forget what matches; return how many that were."""
        return self._kept.delete([document.id for document in self.filter_documents(filters)])

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Lay metadata over those of the documents that match; return how many did."""
        found = self.filter_documents(filters)
        changed = [replace(document, meta={**document.meta, **meta}) for document in found]
        if changed:
            self._kept.put([_item(document) for document in changed])
        return len(changed)

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Return the type of each metadata field: keyword, int, float or boolean."""
        names: dict[type, str] = {bool: "boolean", int: "int", float: "float"}
        found: dict[str, dict[str, str]] = {}
        for document in self.filter_documents():
            for key, value in document.meta.items():
                if value is not None:
                    found.setdefault(key, {"type": names.get(type(value), "keyword")})
        return found

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Return the least and the greatest value of a field; None where there is none."""
        values = [
            value
            for value in self._values(metadata_field)
            if isinstance(value, (int, float, str)) and not isinstance(value, bool)
        ]
        return {"min": min(values, default=None), "max": max(values, default=None)}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """Return a page of a field's distinct values, and how many there are in all."""
        distinct = _distinct(self._values(metadata_field, filters))
        wanted = (search_term or "").lower()
        found = sorted(
            (value for value in distinct if wanted in str(value).lower()),
            key=lambda value: (str(value), type(value).__name__),
        )
        return found[from_ : from_ + size], len(found)

    def count_unique_metadata_by_filter(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """Return how many distinct values each field has among what matches."""
        return {
            name.removeprefix("meta."): len(_distinct(self._values(name, filters)))
            for name in metadata_fields
        }

    def search(
        self, query: str, *, k: int, filters: Mapping[str, Any] | None = None
    ) -> list[Document]:
        """Return the ``k`` best documents, each with the base's own score."""
        found = self._kept.search(Question(query, k, where_of(filters)))
        return [replace(_document(body), score=passage.score) for body, passage in found]

    def close(self) -> None:
        """Close the base if it was opened here. A second call does nothing."""
        if self._opened is not None:
            self._opened.close()
            self._opened = self._made = None

    def _values(self, name: str, filters: dict[str, Any] | None = None) -> list[Any]:
        key = name.removeprefix("meta.")
        found = [document.meta.get(key) for document in self.filter_documents(filters)]
        return [value for value in found if value is not None]


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Return values that differ in kind or content: 1, 1.0, True and "1" are four."""
    named = {(type(v).__name__, json.dumps(v, sort_keys=True, default=str)): v for v in values}
    return list(named.values())


def _item(document: Document) -> Item:
    body = document.to_dict(flatten=False)
    if document.blob is not None:
        body["blob"] = {
            "data": base64.b64encode(document.blob.data).decode("ascii"),
            "mime_type": document.blob.mime_type,
            "meta": document.blob.meta,
        }
    return Item(document.id, document.content or "", scalars(document.meta), body)


def _document(body: Mapping[str, Any]) -> Document:
    fields = dict(body)
    blob = fields.get("blob")
    if blob is not None:
        data = base64.b64decode(blob["data"])
        fields["blob"] = ByteStream(data, meta=blob["meta"], mime_type=blob["mime_type"]).to_dict()
    document: Document = Document.from_dict(fields)
    return document

"""Haystack's own document-store tests on the bridge, and its components in a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DocumentStore, DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing import document_store as published

from ragstack import Stack
from ragstack.errors import InputError
from ragstack_connectors.haystack import (
    RagstackDocumentStore,
    RagstackPassageRetriever,
    RagstackRetriever,
)
from ragstack_connectors.haystack.filters import where_of

OpenBase = Callable[..., Stack]


@pytest.fixture
def document_store(open_base: OpenBase) -> Iterator[RagstackDocumentStore]:
    store = RagstackDocumentStore(stack=open_base())
    yield store
    store.close()


class TestPublished(
    published.DocumentStoreBaseExtendedTests,
    published.CountDocumentsByFilterTest,
    published.CountUniqueMetadataByFilterTest,
    published.GetMetadataFieldsInfoTest,
    published.GetMetadataFieldMinMaxTest,
    published.GetMetadataFieldUniqueValuesTest,
):
    @pytest.fixture
    def document_store(self, open_base: OpenBase) -> DocumentStore:
        return RagstackDocumentStore(stack=open_base())

    # The one test that the suite itself asks to be written: what happens without a policy.
    def test_write_documents(self, document_store: DocumentStore) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document], DuplicatePolicy.NONE)
        assert document_store.filter_documents() == [document]


def test_a_document_comes_back_as_it_was(document_store: RagstackDocumentStore) -> None:
    whole = Document(
        content="The roof is red.",
        blob=ByteStream(b"\x00\x01", meta={"n": 1}, mime_type="image/png"),
        meta={"tags": ["a", {"b": None}], "page": 3},
        embedding=[0.25, 0.5],
    )
    empty = Document(content=None, meta={"only": "meta"})
    document_store.write_documents([whole, empty])
    found = {document.id: document for document in document_store.filter_documents()}
    assert found == {whole.id: whole, empty.id: empty}


def test_a_pipeline_finds_documents(document_store: RagstackDocumentStore) -> None:
    pages = [("The roof is red.", 1), ("The door is blue.", 2), ("The roof is new.", 3)]
    document_store.write_documents([Document(content=t, meta={"page": n}) for t, n in pages])
    pipeline = Pipeline()
    pipeline.add_component("find", RagstackRetriever(document_store, top_k=2))
    found = pipeline.run({"find": {"query": "roof"}})["find"]["documents"]
    assert {document.meta["page"] for document in found} == {1, 3}
    assert all(document.score is not None for document in found)
    late = {"field": "meta.page", "operator": ">", "value": 1}
    found = pipeline.run({"find": {"query": "roof", "filters": late}})["find"]["documents"]
    assert found[0].content == "The roof is new."


def test_a_pipeline_finds_passages_of_a_base(open_base: OpenBase, corpus_folder: Path) -> None:
    stack = open_base()
    stack.ingest(corpus_folder)
    found = RagstackPassageRetriever(stack, top_k=1).run("Who built the lighthouse?")["documents"]
    document = stack.document(found[0].meta["document_id"])
    assert document is not None
    assert document.text[found[0].meta["start"] : found[0].meta["end"]] == found[0].content


def test_a_store_of_a_folder_can_be_written_down(tmp_path: Path) -> None:
    store = RagstackDocumentStore(str(tmp_path / "kb"), "mine")
    retriever = RagstackRetriever(store, top_k=3)
    again = RagstackRetriever.from_dict(retriever.to_dict())
    assert again.to_dict() == retriever.to_dict()
    assert again.document_store.count_documents() == 0
    again.document_store.close()
    again.document_store.close()


def test_bad_input_is_refused(open_base: OpenBase, document_store: RagstackDocumentStore) -> None:
    with pytest.raises(InputError, match="base or stack="):
        RagstackDocumentStore()
    with pytest.raises(InputError, match="written down"):
        document_store.to_dict()
    with pytest.raises(InputError, match="top_k"):
        RagstackRetriever(document_store, top_k=0)
    with pytest.raises(FilterError):
        document_store.filter_documents({"field": "meta.page"})


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        (None, None),
        ({"field": "meta.n", "operator": ">=", "value": 2}, {"n": {"gte": 2}}),
        ({"field": "n", "operator": "not in", "value": [1]}, {"n": {"nin": [1]}}),
        (
            {
                "operator": "NOT",
                "conditions": [{"field": "meta.n", "operator": "==", "value": 1}],
            },
            {"$not": {"$and": [{"n": {"eq": 1}}]}},
        ),
    ],
)
def test_filters_are_conditions(filters: Any, where: Any) -> None:
    assert where_of(filters) == where


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "meta.n", "operator": "~", "value": 2},
        {"field": "content", "operator": "==", "value": "x"},
        {"operator": "=="},
    ],
)
def test_filters_that_mean_nothing_are_refused(filters: Any) -> None:
    with pytest.raises(InputError):
        where_of(filters)

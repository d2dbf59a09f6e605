"""LlamaIndex over a base, and LlamaIndex's splitters and readers in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter, TokenTextSplitter
from llama_index.core.schema import Document, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from ragstack import Stack
from ragstack.errors import ConfigError, InputError
from ragstack.protocols import Chunker, Connector
from ragstack.testing.chunkers import ChunkerSuite
from ragstack.testing.connectors import ConnectorSuite
from ragstack_connectors.llama_index import (
    LlamaIndexChunker,
    LlamaIndexConnector,
    RagstackRetriever,
    RagstackVectorStore,
)

OpenBase = Callable[..., Stack]


def _words(text: str) -> list[str]:
    """Cut as a tokenizer would; the one that LlamaIndex brings would be fetched."""
    return [text[place : place + 4] for place in range(0, len(text), 4)]


class TestSentenceSplitter(ChunkerSuite):
    def make(self) -> Chunker:
        return LlamaIndexChunker(SentenceSplitter(chunk_size=60, chunk_overlap=8, tokenizer=_words))


class TestTokenSplitter(ChunkerSuite):
    def make(self) -> Chunker:
        return LlamaIndexChunker(
            TokenTextSplitter(chunk_size=60, chunk_overlap=0, tokenizer=_words)
        )


class TestReader(ConnectorSuite):
    def make(self) -> Connector:
        return LlamaIndexConnector(
            [
                Document(text="The roof is red.", metadata={"file_path": "a.txt"}),
                Document(
                    text="The door is blue.",
                    metadata={"file_path": "a.txt", "last_modified_date": "2024-05-01"},
                ),
                Document(text="Nobody named this."),
            ]
        )


def _nodes() -> list[TextNode]:
    texts = ["The roof is red.", "The door is blue.", "The roof is new."]
    parent = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="house")}
    return [
        TextNode(id_=f"n{n}", text=text, metadata={"n": n, "tags": ["x"]}, relationships=parent)
        for n, text in enumerate(texts, 1)
    ]


@pytest.fixture
def store(open_base: OpenBase) -> RagstackVectorStore:
    made = RagstackVectorStore(open_base())
    made.add(_nodes())
    return made


def _asked(**more: Any) -> VectorStoreQuery:
    return VectorStoreQuery(query_str="roof", similarity_top_k=3, **more)


def test_nodes_come_back_as_they_were(store: RagstackVectorStore) -> None:
    assert store.get_nodes() == _nodes()
    assert [node.node_id for node in store.get_nodes(["n2", "gone"])] == ["n2"]
    found = store.query(_asked())
    assert found.nodes is not None and found.ids is not None and found.similarities is not None
    assert set(found.ids[:2]) == {"n1", "n3"}
    assert found.similarities == sorted(found.similarities, reverse=True)
    assert all(node in _nodes() for node in found.nodes)


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (MetadataFilters(filters=[MetadataFilter(key="n", value=3)]), {"n3"}),
        (
            MetadataFilters(
                filters=[
                    MetadataFilter(key="n", value=2, operator=FilterOperator.GTE),
                    MetadataFilters(filters=[MetadataFilter(key="n", value=1)]),
                ],
                condition=FilterCondition.OR,
            ),
            {"n1", "n2", "n3"},
        ),
        (
            MetadataFilters(
                filters=[MetadataFilter(key="n", value=[1, 2], operator=FilterOperator.IN)],
                condition=FilterCondition.NOT,
            ),
            {"n3"},
        ),
    ],
)
def test_filters_hold(store: RagstackVectorStore, filters: Any, ids: set[str]) -> None:
    assert set(store.query(_asked(filters=filters)).ids or ()) == ids


def test_some_nodes_or_documents_alone(store: RagstackVectorStore) -> None:
    assert store.query(_asked(node_ids=["n1"])).ids == ["n1"]
    assert store.query(_asked(doc_ids=["another"])).ids == []
    assert len(store.query(_asked(doc_ids=["house"])).ids or ()) == 3


def test_nodes_are_forgotten(store: RagstackVectorStore) -> None:
    store.delete_nodes(["n1"], MetadataFilters(filters=[MetadataFilter(key="n", value=9)]))
    assert len(store.get_nodes()) == 3
    store.delete_nodes(["n1"])
    assert len(store.get_nodes()) == 2
    store.delete("house")
    assert store.get_nodes() == []
    store.add(_nodes())
    store.clear()
    assert store.query(_asked()).ids == []


def test_what_the_base_cannot_do_is_refused(store: RagstackVectorStore) -> None:
    odd = MetadataFilter(key="n", value="x", operator=FilterOperator.TEXT_MATCH)
    with pytest.raises(InputError, match="text_match"):
        store.query(_asked(filters=MetadataFilters(filters=[odd])))
    with pytest.raises(InputError, match="has a text"):
        store.query(VectorStoreQuery(query_embedding=[1.0]))


def test_an_index_of_llama_index(open_base: OpenBase) -> None:
    store = RagstackVectorStore(open_base())
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(_nodes(), storage_context=context, embed_model=MockEmbedding(1))
    found = index.as_retriever(similarity_top_k=2).retrieve("roof")
    assert {each.node.node_id for each in found} == {"n1", "n3"}


def test_a_retriever_over_a_base(open_base: OpenBase, corpus_folder: Path) -> None:
    stack = open_base()
    stack.ingest(corpus_folder)
    (found,) = RagstackRetriever(stack, k=1).retrieve("Who built the lighthouse?")
    node = found.node
    assert isinstance(node, TextNode)
    document = stack.document(node.metadata["document_id"])
    assert document is not None
    assert document.text[node.start_char_idx : node.end_char_idx] == node.text


class _Broken:
    def load_data(self) -> list[Document]:
        raise OSError("the disk is gone")


def test_a_reader_that_fails_is_reported(open_base: OpenBase) -> None:
    report = open_base().ingest(LlamaIndexConnector(_Broken()))
    assert "the disk is gone" in report.failed[0].reason
    with pytest.raises(ConfigError):
        LlamaIndexConnector("a name")
    with pytest.raises(ConfigError):
        LlamaIndexChunker("a name")

"""LangChain's parts in ragstack's places: its own conformance suites, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_text_splitters import (
    CharacterTextSplitter,
    MarkdownHeaderTextSplitter,
    RecursiveCharacterTextSplitter,
)

from ragstack import Message, Sampling, Stack
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import (
    ConfigError,
    DocumentError,
    GenerationError,
    InputError,
    UnsupportedCapability,
)
from ragstack.generate.scripted import ScriptedGenerator
from ragstack.protocols import Chunker, Connector, Embedder, Generator
from ragstack.testing.chunkers import ChunkerSuite, check_chunks
from ragstack.testing.connectors import ConnectorSuite
from ragstack.testing.embedders import EmbedderSuite
from ragstack.testing.generators import GeneratorSuite
from ragstack.types import Document as RagDocument
from ragstack.types import Part, ToolCall, ToolSpec, document_id_of
from ragstack_connectors.files import FilesConnector
from ragstack_connectors.langchain import (
    LangchainChunker,
    LangchainConnector,
    LangchainEmbedder,
    LangchainGenerator,
    RagstackChatModel,
    RagstackEmbeddings,
    RagstackLoader,
    RagstackSplitter,
    RagstackVectorStore,
)
from ragstack_connectors.langchain.messages import from_langchain, to_langchain

OpenBase = Callable[..., Stack]


class TestEmbedder(EmbedderSuite):
    def make(self) -> Embedder:
        return LangchainEmbedder(RagstackEmbeddings(HashingEmbedder()))


class TestRecursiveSplitter(ChunkerSuite):
    def make(self) -> Chunker:
        return LangchainChunker(RecursiveCharacterTextSplitter(chunk_size=200, chunk_overlap=40))


class TestSplitterWithoutOverlap(ChunkerSuite):
    def make(self) -> Chunker:
        return LangchainChunker(RecursiveCharacterTextSplitter(chunk_size=200, chunk_overlap=0))


class _Scripted(GeneratorSuite):
    counts_exactly = False


class TestGenerator(_Scripted):
    """Both ways at once: a script as a chat model, and the chat model as a generator."""

    def make(self) -> Generator:
        said = "The Harbour Trust pays for the repairs to the roof, and the tenant for the gates."
        return LangchainGenerator(RagstackChatModel(generator=ScriptedGenerator(lambda _m: said)))


class _Pages(BaseLoader):
    """Loads two sources, the first of two pages."""

    def __init__(self, fail_after: int = 9) -> None:
        self.fail_after = fail_after

    def lazy_load(self) -> Iterator[Document]:
        pages = [
            Document("The roof is red.", metadata={"source": "a.pdf", "page": 1, "tags": ["x"]}),
            Document("The door is blue.", metadata={"source": "a.pdf", "page": 2}),
            Document(
                "The wall is white.",
                metadata={"source": "b.pdf", "modified": "2024-05-01T10:00:00"},
            ),
            Document("Nobody named this one."),
        ]
        for place, page in enumerate(pages):
            if place == self.fail_after:
                raise OSError("the disk is gone")
            yield page


class TestLoader(ConnectorSuite):
    def make(self) -> Connector:
        return LangchainConnector(_Pages())


def _documents(text: str) -> RagDocument:
    return RagDocument(document_id_of("x.md"), text, "x.md")


def test_the_fingerprint_tells_one_model_from_another() -> None:
    one, two = DeterministicFakeEmbedding(size=6), DeterministicFakeEmbedding(size=7)
    assert LangchainEmbedder(one).fingerprint != LangchainEmbedder(two).fingerprint
    assert LangchainEmbedder(one, name="mine").fingerprint == "langchain:mine"
    assert LangchainEmbedder(one).dimensions == 6


class _Broken(Embeddings):
    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return [1.0, 0.0]


@pytest.mark.parametrize(
    "rows", [[], [[1.0], [1.0, 2.0]], [[float("nan"), 1.0]], RuntimeError("no service")], ids=repr
)
def test_broken_embeddings_are_an_error_of_ours(rows: Any) -> None:
    with pytest.raises(GenerationError):
        LangchainEmbedder(_Broken(rows)).embed_documents(["a text"])


def test_a_row_of_zeros_gets_a_direction() -> None:
    rows = LangchainEmbedder(_Broken([[0.0, 0.0]])).embed_documents(["a text"])
    assert float((rows**2).sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    "make", [LangchainEmbedder, LangchainChunker, LangchainConnector, LangchainGenerator]
)
def test_a_name_in_place_of_an_object_is_refused(make: Callable[[Any], object]) -> None:
    with pytest.raises(ConfigError, match="was expected"):
        make("module:attribute")


def test_a_base_embeds_and_cuts_with_langchain(open_base: OpenBase, tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("One line of words.\n\n" * 60)

    def opened() -> Stack:
        splitter = RecursiveCharacterTextSplitter(chunk_size=100, chunk_overlap=0)
        return open_base(
            embed={"use": "langchain", "embeddings": DeterministicFakeEmbedding(size=8)},
            chunk={"use": "langchain", "splitter": splitter},
        )

    stack = opened()
    assert stack.ingest(page).chunks > 10
    assert stack.search("One line of words.", k=3)
    stack.close()
    # Other objects of the same settings are the same parts: nothing is cut or embedded anew.
    assert opened().ingest(page).unchanged


def test_another_splitter_cuts_anew(open_base: OpenBase, tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("One line of words.\n\n" * 60)
    for size in (100, 200):
        splitter = RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=0)
        stack = open_base(chunk={"use": "langchain", "splitter": splitter})
        assert not stack.ingest(page).unchanged
        stack.close()


def test_separators_a_splitter_drops_are_kept() -> None:
    text = "one---two---three---four"
    splitter = CharacterTextSplitter(separator="---", chunk_size=4, chunk_overlap=0)
    document = _documents(text)
    chunks = LangchainChunker(splitter).chunk(document)
    check_chunks(document, chunks)
    assert [chunk.text for chunk in chunks] == ["one---", "two---", "three---", "four"]


def test_headings_a_splitter_takes_away_are_kept() -> None:
    document = _documents("# Roof\n\nIt is red.\n\n# Door\n\nIt is blue.\n")
    splitter = MarkdownHeaderTextSplitter([("#", "title")])
    chunks = LangchainChunker(splitter).chunk(document)
    check_chunks(document, chunks)
    assert chunks[0].text.startswith("# Roof\n\nIt is red.")


class _Shouting(CharacterTextSplitter):
    def split_text(self, text: str) -> list[str]:
        return [text.upper()]


def test_a_splitter_that_writes_is_refused() -> None:
    with pytest.raises(DocumentError, match="not in its text"):
        LangchainChunker(_Shouting()).chunk(_documents("some words"))


def test_our_chunker_as_a_splitter(open_base: OpenBase) -> None:
    splitter = RagstackSplitter(open_base().parts.chunker)
    text = "A sentence of some length stands here. " * 200
    found = splitter.split_documents([Document(text, metadata={"source": "a", "n": 1})])
    assert len(found) > 1
    for piece in found:
        start, end = piece.metadata["start_index"], piece.metadata["end_index"]
        assert text[start:end] == piece.page_content
        assert piece.metadata["n"] == 1
    assert splitter.split_text(text) == [piece.page_content for piece in found]
    assert splitter.transform_documents([Document("")]) == []


def test_pages_of_one_source_have_addresses_of_their_own() -> None:
    connector = LangchainConnector(_Pages(), prefix="mine/")
    found = list(connector.fetch())
    assert [source.uri for source in found][:3] == ["mine/a.pdf", "mine/a.pdf#2", "mine/b.pdf"]
    assert found[0].meta == {"source": "a.pdf", "page": 1}
    assert found[2].modified == datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_a_loader_that_fails_is_reported(open_base: OpenBase) -> None:
    stack = open_base()
    connector = LangchainConnector(_Pages(fail_after=2))
    report = stack.ingest(connector)
    assert connector.present is None  # what was not loaded has not gone
    assert len(report.added) == 2
    assert "the disk is gone" in report.failed[0].reason


def test_a_connector_as_a_loader(open_base: OpenBase, corpus_folder: Path) -> None:
    (corpus_folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    loader = RagstackLoader(FilesConnector([corpus_folder]), open_base().parts.load)
    found = loader.load()
    assert len(found) == 8
    assert {"title", "language", "source"} <= set(found[0].metadata)
    assert "broken.pdf" in loader.failures[0].source


def test_a_stores_documents_come_back_as_they_were(open_base: OpenBase) -> None:
    store = RagstackVectorStore(open_base())
    texts = ['{"a": [1, 2]}', "<html><body>a page</body></html>", "", "  two  spaces  "]
    metas: list[dict[str, Any]] = [{"n": [1, {"deep": None}]}, {"date": "soon"}, {}, {"x": 1.5}]
    ids = store.add_texts(texts, metas)
    assert [d.page_content for d in store.get_by_ids(ids)] == texts
    assert [d.metadata for d in store.get_by_ids(ids)] == metas
    assert store.similarity_search("a page", k=1)[0].page_content == texts[1]
    assert len(store.similarity_search("a page", k=10)) == 3  # a blank text is found by id alone


def test_a_store_filters_and_counts_items_not_chunks(open_base: OpenBase) -> None:
    store = RagstackVectorStore(open_base())
    long = "The harbour wall was mended again this year by the trust. " * 300
    store.add_texts([long, "A harbour.", "Another harbour."], [{"n": 1}, {"n": 2}, {"n": 3}])
    assert len(store.similarity_search("harbour wall", k=3)) == 3
    only = store.similarity_search("harbour", k=3, filter={"n": {"gte": 2}})
    assert sorted(document.metadata["n"] for document in only) == [2, 3]
    assert store.similarity_search("harbour", k=0) == []
    scored = store.similarity_search_with_relevance_scores("A harbour.", k=2)
    assert all(0 <= score <= 1 for _, score in scored)
    assert len(store.max_marginal_relevance_search("harbour", k=2)) == 2


def test_a_store_refuses_what_it_cannot_keep(open_base: OpenBase) -> None:
    store = RagstackVectorStore(open_base())
    with pytest.raises(InputError, match="JSON"):
        store.add_texts(["a"], [{"when": object()}])
    with pytest.raises(InputError, match="2 texts, 1 metadatas"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(InputError, match=r"Stack\.open"):
        RagstackVectorStore("kb")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="stack= or base="):
        RagstackVectorStore.from_texts(["a"], DeterministicFakeEmbedding(size=4))


def test_a_store_from_texts_has_a_base_of_its_own(tmp_path: Path) -> None:
    embedding = DeterministicFakeEmbedding(size=4)
    store = RagstackVectorStore.from_texts(["a", "b"], embedding, base=tmp_path / "kb")
    assert store.similarity_search("b", k=1)[0].page_content == "b"
    store.delete()
    assert store.similarity_search("b", k=1) == []
    store.close()
    store.close()


def test_messages_come_back_as_they_went() -> None:
    messages = [
        Message("system", "Be brief."),
        Message("user", (Part("What is this?", "text/plain"), Part(b"\x89PNG", "image/png"))),
        Message("assistant", "", tool_calls=(ToolCall("c1", "look", {"x": 1}),)),
        Message("tool", "a mill", tool_call_id="c1"),
        Message("assistant", "A mill."),
    ]
    assert from_langchain(to_langchain(messages)) == messages


def test_neighbours_of_one_role_become_one_message() -> None:
    found = from_langchain([HumanMessage("a"), HumanMessage("b"), AIMessage("c")])
    assert [message.text for message in found] == ["a\n\nb", "c"]
    failed = ToolMessage("no", tool_call_id="1", status="error")
    assert from_langchain([failed])[0].text == "error: no"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image", "base64": "***", "mime_type": "image/png"},
        {"type": "video", "url": "https://example.org/a.mp4"},
    ],
    ids=lambda block: str(block["type"]),
)
def test_what_cannot_be_read_in_a_message_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        from_langchain([HumanMessage([block])])


def test_a_call_cut_short_is_an_error() -> None:
    model = RagstackChatModel(generator=ScriptedGenerator(['{"name": "look", "argu']))
    tool = {"name": "look", "description": "", "parameters": {"type": "object", "properties": {}}}
    with pytest.raises(GenerationError, match="max_tokens"):
        model.bind_tools([tool], tool_choice="look").invoke("look")
    with pytest.raises(InputError, match="no tool is named"):
        model.bind_tools([tool], tool_choice="see").invoke("look")
    with pytest.raises(InputError, match="was asked for"):
        model.invoke("look", model="another")


def test_a_model_without_tools_says_so() -> None:
    generator = LangchainGenerator(GenericFakeChatModel(messages=iter([AIMessage("Yes it is.")])))
    asked = [Message("user", "Is it?")]
    spec = ToolSpec("look", "", {"type": "object", "properties": {}})
    with pytest.raises(UnsupportedCapability):
        next(generator.stream(asked, sampling=Sampling(), tools=[spec]))
    deltas = list(generator.stream(asked, sampling=Sampling()))
    assert "".join(delta.text for delta in deltas) == "Yes it is."
    assert deltas[-1].finish == "stop"
    with pytest.raises(GenerationError):
        list(generator.stream(asked, sampling=Sampling()))


def test_a_base_answers_with_a_chat_model_of_langchain(tmp_path: Path, corpus_folder: Path) -> None:
    said = AIMessage("Agnes Murray built the lighthouse.")
    model = GenericFakeChatModel(messages=iter([said] * 3))
    overrides = {"embed": {"use": "hashing"}, "generate": {"use": "langchain", "model": model}}
    with Stack.open(tmp_path / "kb", overrides=overrides) as stack:
        stack.ingest(corpus_folder)
        answer = stack.ask("Who built the lighthouse?")
    assert "Agnes Murray" in answer.text
    assert answer.citations

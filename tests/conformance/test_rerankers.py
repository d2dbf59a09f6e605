from __future__ import annotations

import pytest

from ragstack import models
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.embedding.onnx import OnnxEmbedder
from ragstack.generate.local import LocalGenerator
from ragstack.rerank.late_interaction import LateInteractionReranker
from ragstack.rerank.llm import LlmReranker
from ragstack.rerank.mmr import MmrReranker
from ragstack.testing.rerankers import RerankerSuite


class TestMmr(RerankerSuite):
    def make(self) -> MmrReranker:
        return MmrReranker(embedder=HashingEmbedder())


class TestLateInteraction(RerankerSuite):
    def make(self) -> LateInteractionReranker:
        return LateInteractionReranker(token_embedder=HashingEmbedder())


@pytest.mark.integration
class TestLlmSmol(RerankerSuite):
    tolerance = 0.5  # steps of another shape move logits by 0.2 to 0.4

    def make(self) -> LlmReranker:
        models.path("smollm2-135m-instruct", pull=True)
        return LlmReranker(generator=LocalGenerator(model="smollm2-135m-instruct"))


@pytest.mark.integration
class TestMmrOnnx(RerankerSuite):
    def make(self) -> MmrReranker:
        return MmrReranker(embedder=OnnxEmbedder())


@pytest.mark.integration
class TestLateInteractionOnnx(RerankerSuite):
    def make(self) -> LateInteractionReranker:
        return LateInteractionReranker(token_embedder=OnnxEmbedder())

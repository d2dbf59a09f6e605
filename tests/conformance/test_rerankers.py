from __future__ import annotations

import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.embedding.onnx import OnnxEmbedder
from ragstack.rerank.late_interaction import LateInteractionReranker
from ragstack.rerank.mmr import MmrReranker
from ragstack.testing.rerankers import RerankerSuite


class TestMmr(RerankerSuite):
    def make(self) -> MmrReranker:
        return MmrReranker(embedder=HashingEmbedder())


class TestLateInteraction(RerankerSuite):
    def make(self) -> LateInteractionReranker:
        return LateInteractionReranker(token_embedder=HashingEmbedder())


@pytest.mark.integration
class TestMmrOnnx(RerankerSuite):
    def make(self) -> MmrReranker:
        return MmrReranker(embedder=OnnxEmbedder())


@pytest.mark.integration
class TestLateInteractionOnnx(RerankerSuite):
    def make(self) -> LateInteractionReranker:
        return LateInteractionReranker(token_embedder=OnnxEmbedder())

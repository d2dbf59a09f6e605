from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.index import faiss as faiss_module
from ragstack.index import late_interaction
from ragstack.index.bm25.by_bm25s import Bm25sIndex
from ragstack.index.bm25.by_rank_bm25 import RankBm25Index
from ragstack.index.bm25.index import Bm25Index
from ragstack.index.faiss import FaissIndex
from ragstack.index.late_interaction import LateInteractionIndex
from ragstack.index.sparse import SparseIndex
from ragstack.index.tantivy import TantivyIndex
from ragstack.protocols import TokenVectors, Vectors
from ragstack.testing.indexes import IndexSuite
from ragstack.testing.sparse import WordWeights
from ragstack.testing.upkeep import IndexUpkeepSuite


class TestBm25(IndexSuite):
    def make(self, folder: Path) -> Bm25Index:
        return Bm25Index(folder)


class TestBm25s(IndexSuite):
    def make(self, folder: Path) -> Bm25sIndex:
        return Bm25sIndex(folder)


class TestRankBm25(IndexSuite):
    def make(self, folder: Path) -> RankBm25Index:
        return RankBm25Index(folder)


class TestTantivy(IndexSuite):
    def make(self, folder: Path) -> TantivyIndex:
        return TantivyIndex(folder)


class TestFaiss(IndexSuite):
    def make(self, folder: Path) -> FaissIndex:
        return FaissIndex(folder, embedder=HashingEmbedder(dimensions=64))


class TestTantivyUpkeep(IndexUpkeepSuite):
    def make(self, folder: Path) -> TantivyIndex:
        return TantivyIndex(folder)


class TestFaissUpkeep(IndexUpkeepSuite):
    def make(self, folder: Path) -> FaissIndex:
        return FaissIndex(folder, embedder=HashingEmbedder(dimensions=64))


class TestBm25Upkeep(IndexUpkeepSuite):
    def make(self, folder: Path) -> Bm25Index:
        return Bm25Index(folder)


class Structured(IndexSuite):
    """With a structure built, extended and asked at sizes where all would be compared."""

    kind = "binary"
    build = "commit"

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (("_NAMED", 8), ("_TAIL", 4), ("_FEW", 0)):
            monkeypatch.setattr(faiss_module, name, value)

    def make(self, folder: Path) -> FaissIndex:
        embedder = HashingEmbedder(dimensions=64)
        return FaissIndex(folder, embedder=embedder, kind=self.kind, recall=1.0, build=self.build)


class TestFaissBinary(Structured): ...


class TestFaissBackground(Structured):
    build = "background"


class TestFaissSq8(Structured):
    kind = "flat_sq8"


class TestFaissFp16(Structured):
    kind = "flat_fp16"


class TestFaissHnsw(Structured):
    kind = "hnsw"


class TestFaissHnswSq8(Structured):
    kind = "hnsw_sq8"


class TestFaissIvf(Structured):
    kind = "ivf"


class TestFaissIvfSq8(Structured):
    kind = "ivf_sq8"


class TestFaissIvfPq(Structured):
    kind = "ivf_pq"


class TestSparse(IndexSuite):
    def make(self, folder: Path) -> SparseIndex:
        return SparseIndex(folder, sparse_embedder=WordWeights())


class WholeWords:
    """A TokenEmbedder: a word is a token, whatever its length. Pieces of words can be shuffled."""

    def __init__(self) -> None:
        self.dense = HashingEmbedder(dimensions=64)
        self.known: dict[str, Vectors] = {}

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        found = []
        for text in texts:
            spans = [match.span() for match in re.finditer(r"\w+", text)]
            rows = [np.zeros((0, 64), dtype=np.float32), *(self.one(text[a:b]) for a, b in spans)]
            found.append(TokenVectors(np.concatenate(rows), tuple(spans)))
        return found

    def one(self, word: str) -> Vectors:
        if word not in self.known:
            self.known[word] = self.dense.embed_documents([word])
        return self.known[word]


WORDS = WholeWords()


def late_interaction_of_words(folder: Path) -> LateInteractionIndex:
    return LateInteractionIndex(folder, embedder=WORDS.dense, token_embedder=WORDS)


class TestLateInteraction(IndexSuite):
    def make(self, folder: Path) -> LateInteractionIndex:
        return late_interaction_of_words(folder)


class TestLateInteractionCentroids(IndexSuite):
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(late_interaction, "_FROM", 40)

    def make(self, folder: Path) -> LateInteractionIndex:
        return late_interaction_of_words(folder)

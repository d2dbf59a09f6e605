from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.index import faiss as faiss_module
from ragstack.index.faiss import FaissIndex
from ragstack.index.sparse import SparseIndex
from ragstack.index.tantivy import TantivyIndex
from ragstack.testing.indexes import IndexSuite
from ragstack.testing.sparse import WordWeights


class TestTantivy(IndexSuite):
    def make(self, folder: Path) -> TantivyIndex:
        return TantivyIndex(folder)


class TestFaiss(IndexSuite):
    def make(self, folder: Path) -> FaissIndex:
        return FaissIndex(folder, embedder=HashingEmbedder(dimensions=64))


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

from __future__ import annotations

from pathlib import Path

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.index.faiss import FaissIndex
from ragstack.index.tantivy import TantivyIndex
from ragstack.testing.indexes import IndexSuite
from ragstack.testing.upkeep import IndexUpkeepSuite


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

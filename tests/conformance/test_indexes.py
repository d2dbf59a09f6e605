from __future__ import annotations

from pathlib import Path

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.index.bm25.by_bm25s import Bm25sIndex
from ragstack.index.bm25.by_rank_bm25 import RankBm25Index
from ragstack.index.bm25.index import Bm25Index
from ragstack.index.faiss import FaissIndex
from ragstack.index.tantivy import TantivyIndex
from ragstack.testing.indexes import IndexSuite
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

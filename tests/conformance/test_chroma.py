"""The promises of an index, kept by Chroma: in the process, and as a server that really runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.testing.indexes import IndexSuite

pytest.importorskip("chromadb", reason='pip install "ragstack[chroma]"')
chroma = pytest.importorskip("ragstack.index.chroma")


class TestChroma(IndexSuite):
    def make(self, folder: Path):
        return chroma.ChromaIndex(folder, embedder=HashingEmbedder(dimensions=64))


class TestChromaSearched(IndexSuite):
    """With Chroma's own search at sizes where all would be compared."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chroma, "_FEW", 0)

    def make(self, folder: Path):
        return chroma.ChromaIndex(folder, embedder=HashingEmbedder(dimensions=64))

"""The vector index against numpy, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragstack.filters import Compare, Eq, Filter, Not, matches
from ragstack.index.faiss import FaissIndex
from ragstack.protocols import Vectors
from ragstack.testing.indexes import chunk_of
from ragstack.types import Hit


class Numbered:
    """The vector of "7" is row 7 of a table; every tenth stands there twice."""

    fingerprint = "numbered"

    def __init__(self, count: int, dimensions: int) -> None:
        self.dimensions = dimensions
        table = np.random.default_rng(dimensions).standard_normal((count, dimensions))
        table[1::10] = table[::10]
        self.table = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.table[[int(text) for text in texts]]

    embed_queries = embed_documents


@pytest.mark.parametrize("dimensions", [1, 3, 17, 384])
@pytest.mark.parametrize("queries", [1, 5, 40])  # FAISS takes another way from 20 on
def test_hits_are_those_of_numpy(tmp_path: Path, dimensions: int, queries: int) -> None:
    count = 400
    embedder = Numbered(count, dimensions)
    chunks = [chunk_of(f"d{n:03}", str(n), meta={"n": n}) for n in range(count)]
    index = FaissIndex(tmp_path, embedder=embedder)
    index.add(chunks)
    index.delete([chunk.id for chunk in chunks[5::9]])
    asked = [str(n) for n in range(0, queries * 7, 7)]
    wheres: list[Filter | None] = [None, Compare("n", "lt", 50), Eq("n", 3), Not(Eq("n", 3))]
    for where in wheres:
        held = [
            chunk for n, chunk in enumerate(chunks) if n % 9 != 5 and matches(where, chunk.meta, ())
        ]
        rows = embedder.embed_documents([chunk.text for chunk in held]).astype(np.float64)
        for k in (1, 10, 399):
            found = index.search(asked, k=k, where=where)
            for query, hits in zip(embedder.embed_documents(asked), found, strict=True):
                scores = (rows * query).sum(axis=1)
                right = [Hit(c.id, float(s)) for c, s in zip(held, scores, strict=True)]
                assert hits == sorted(right, key=lambda hit: (-hit.score, hit.chunk_id))[:k]
    index.close()

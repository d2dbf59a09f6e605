from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import ConfigError, InputError
from ragstack.filters import Exists
from ragstack.index.faiss import FaissIndex
from ragstack.index.fusion import reciprocal_rank, weighted_scores
from ragstack.index.hybrid import HybridIndex
from ragstack.index.tantivy import TantivyIndex
from ragstack.protocols import Index
from ragstack.testing.indexes import random_chunks

Parts = dict[str, Index]
QUERIES = ["rose lily", "common fern", ""]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    found: Parts = {
        "lexical": TantivyIndex(tmp_path / "lexical"),
        "vector": FaissIndex(tmp_path / "vector", embedder=HashingEmbedder(dimensions=64)),
    }
    for index in found.values():
        index.add(random_chunks(80, seed=1))
    yield found
    for index in found.values():
        index.close()


def test_fuses_what_its_parts_find(parts: Parts) -> None:
    alone = {name: index.search(QUERIES, k=50) for name, index in parts.items()}
    for hybrid, fuse in (
        (HybridIndex(parts, fusion="rrf", constant=10), lambda r: reciprocal_rank(r, constant=10)),
        (
            HybridIndex(parts),
            lambda r: weighted_scores(r, weights={"vector": 2}, normalise={"vector": "spread"}),
        ),
        (
            HybridIndex(parts, weights={"lexical": 3}, normalise={"vector": "minmax"}),
            lambda r: weighted_scores(r, weights={"lexical": 3}, normalise={"vector": "minmax"}),
        ),
    ):
        found = hybrid.search(QUERIES, k=7, depth=50)
        for place, hits in enumerate(found):
            assert hits == fuse({name: alone[name][place] for name in parts})[:7]


def test_trail_holds_the_score_of_each_part(parts: Parts) -> None:
    alone = {
        name: {hit.chunk_id: hit.score for hit in index.search(QUERIES[:1], k=5)[0]}
        for name, index in parts.items()
    }
    (found,) = HybridIndex(parts).search_with_trail(QUERIES[:1], k=5, depth=5)
    assert {hit.chunk_id for hit, _ in found} <= alone["lexical"].keys() | alone["vector"].keys()
    for hit, trail in found:
        expected = {
            name: scores[hit.chunk_id] for name, scores in alone.items() if hit.chunk_id in scores
        }
        if hit.chunk_id in alone["vector"]:
            lowest = min(alone["vector"].values())
            expected["vector.spread"] = alone["vector"][hit.chunk_id] - lowest
        assert trail == {**expected, "weighted": hit.score}
        assert list(trail)[-1] == "weighted"


def test_where_and_k_reach_every_part(parts: Parts) -> None:
    where = Exists("one")
    right = {chunk.id for chunk in random_chunks(80, seed=1) if chunk.meta.get("one") is not None}
    hybrid = HybridIndex(parts)
    (hits,) = hybrid.search(["common"], k=80, where=where, depth=1)
    assert {hit.chunk_id for hit in hits} == right != set()
    assert len(hybrid.search(["common"], k=60, depth=1)[0]) == 60
    assert hybrid.search(["common"], k=0) == [[]]
    assert hybrid.search([], k=3) == []


def test_many_queries_are_as_few(parts: Parts) -> None:
    hybrid = HybridIndex(parts)
    (expected,) = hybrid.search(["rose"], k=4)
    assert hybrid.search(["rose"] * 600, k=4) == [expected] * 600


def test_one_part_is_itself(parts: Parts) -> None:
    hybrid = HybridIndex({"lexical": parts["lexical"]})
    assert hybrid.search(QUERIES, k=5) == parts["lexical"].search(QUERIES, k=5)
    (found,) = hybrid.search_with_trail(["rose"], k=1)
    assert list(found[0][1]) == ["lexical"]
    assert HybridIndex({}).search(["rose"], k=3) == [[]]


def test_wrong_options(parts: Parts) -> None:
    with pytest.raises(ConfigError, match="known: weighted, rrf, calibrated"):
        HybridIndex(parts, fusion="best")
    for fusion in ("rrf", "weighted"):
        with pytest.raises(ConfigError, match="'graph'"):
            HybridIndex(parts, fusion=fusion, weights={"graph": 1})
    with pytest.raises(ConfigError, match="'best'"):
        HybridIndex(parts, normalise={"vector": "best"})
    with pytest.raises(ConfigError, match="the constant"):
        HybridIndex(parts, fusion="rrf", constant=-1)
    with pytest.raises(InputError):
        HybridIndex(parts).search("rose", k=3)

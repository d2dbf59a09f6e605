from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from ragstack.errors import EmbedderMismatch, IndexStateError, InputError
from ragstack.filters import Eq
from ragstack.index.sparse import SparseIndex
from ragstack.testing.indexes import chunk_of, random_chunks
from ragstack.testing.sparse import SparseEmbedderSuite, WordWeights
from ragstack.types import Hit


class TestWordWeights(SparseEmbedderSuite):
    def make(self) -> WordWeights:
        return WordWeights()


class Given:
    """Weights as told, by text."""

    fingerprint = "given"

    def __init__(self, weights: Mapping[str, Mapping[int, float]]) -> None:
        self.weights = weights

    def embed_documents(self, texts: Sequence[str]) -> list[Mapping[int, float]]:
        return [self.weights[text] for text in texts]

    embed_queries = embed_documents


def test_scores_are_those_of_numpy(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    table = dice.random((500, 90), dtype=np.float32) * (dice.random((500, 90)) < 0.1)
    weights = {str(n): {t: float(w) for t, w in enumerate(row)} for n, row in enumerate(table)}
    index = SparseIndex(tmp_path, sparse_embedder=Given(weights))
    chunks = [chunk_of(f"d{n:03}", str(n), meta={"even": n % 2 == 0}) for n in range(500)]
    for start in range(0, 500, 60):  # several segments, joined now and then
        index.add(chunks[start : start + 60])
        index.commit(start)
    index.delete([chunk.id for chunk in chunks[::7]])
    for where, kept in ((None, range(500)), (Eq("even", True), range(0, 500, 2))):
        found = index.search(["3", "77", "499"], k=10, where=where)
        for query, hits in zip((3, 77, 499), found, strict=True):
            scores = table.astype(np.float64) @ table[query].astype(np.float64)
            right = [Hit(chunks[n].id, float(scores[n])) for n in kept if n % 7 and scores[n] > 0]
            right = sorted(right, key=lambda hit: (-hit.score, hit.chunk_id))[:10]
            assert [hit.chunk_id for hit in hits] == [hit.chunk_id for hit in right]
            assert [h.score for h in hits] == pytest.approx([h.score for h in right], rel=1e-12)
    index.close()


def test_segments_stay_few(tmp_path: Path) -> None:
    index = SparseIndex(tmp_path, sparse_embedder=WordWeights())
    for number in range(60):
        index.add(random_chunks(60, seed=1)[number : number + 1])
        index.commit(number)
    assert len(list(tmp_path.glob("terms-*"))) <= 7
    index.close()


def test_dead_rows_are_given_back(tmp_path: Path) -> None:
    index = SparseIndex(tmp_path, sparse_embedder=WordWeights())
    chunks = random_chunks(800, seed=2)
    index.add(chunks)
    index.commit(1)
    index.delete([chunk.id for chunk in chunks[:400]])
    before = index.search(["common rose"], k=500)
    index.commit(2)
    (path,) = tmp_path.glob("terms-*")
    assert path.name.startswith("terms-2-")
    assert index.search(["common rose"], k=500) == before
    index.close()


@pytest.mark.parametrize("bad", [{-1: 1.0}, {2**32: 1.0}, {1: float("nan")}, {1: float("inf")}])
def test_what_cannot_be_kept_changes_nothing(tmp_path: Path, bad: Mapping[int, float]) -> None:
    index = SparseIndex(tmp_path, sparse_embedder=Given({"a": {1: 1.0}, "b": bad}))
    index.add([chunk_of("a", "a")])
    with pytest.raises(InputError):
        index.add([chunk_of("b", "b")])
    assert len(index) == 1
    index.close()


def test_weights_that_are_nothing_are_left_out(tmp_path: Path) -> None:
    index = SparseIndex(tmp_path, sparse_embedder=Given({"a": {1: 0.0, 2: -1.0}, "b": {1: 1.0}}))
    index.add([chunk_of("a", "a"), chunk_of("b", "b")])
    assert [hit.chunk_id[0] for hit in index.search(["b"], k=5)[0]] == ["b"]
    assert index.search(["a"], k=5) == [[]]
    index.close()


@pytest.mark.parametrize("how", ["cut", "gone", "noise"])
def test_damage_is_seen(tmp_path: Path, how: str) -> None:
    index = SparseIndex(tmp_path, sparse_embedder=WordWeights())
    index.add(random_chunks(40, seed=3))
    index.commit(1)
    index.close()
    (path,) = tmp_path.glob("terms-*")
    data = path.read_bytes()
    path.unlink()
    if how != "gone":
        path.write_bytes(data[:-4] if how == "cut" else data[:99] + b"\xff" + data[100:])
    with pytest.raises(IndexStateError, match="cannot be used"):
        SparseIndex(tmp_path, sparse_embedder=WordWeights())


def test_another_embedder_is_refused(tmp_path: Path) -> None:
    index = SparseIndex(tmp_path, sparse_embedder=WordWeights())
    index.add(random_chunks(4, seed=3))
    index.commit(1)
    index.close()
    with pytest.raises(EmbedderMismatch):
        SparseIndex(tmp_path, sparse_embedder=WordWeights(salt="other"))

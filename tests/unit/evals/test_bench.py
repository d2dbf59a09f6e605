from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ragstack.embedding.cache import CachedEmbedder
from ragstack.embedding.hashing import HashingEmbedder
from ragstack.errors import RagstackError
from ragstack_evals import bench_parts
from ragstack_evals.bench_corpus import bench_corpus
from ragstack_evals.bench_parts import (
    PretendEmbedder,
    Timing,
    cold_start,
    fill_cache,
    hand_made,
    time_queries,
)


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAGSTACK_DATA", str(tmp_path / "nowhere"))


@pytest.mark.usefixtures("no_data")
def test_without_data_texts_are_made_up_and_that_is_said() -> None:
    corpus = bench_corpus(documents=30, queries=7, seed=1)
    assert "made-up" in corpus.origin
    texts = [document.text for document in corpus.collection.documents]
    assert len(set(texts)) == 30
    assert {len(text.split()) for text in texts} == {180}
    assert len(corpus.queries) == 7
    assert corpus == bench_corpus(documents=30, queries=7, seed=1)
    assert corpus != bench_corpus(documents=30, queries=7, seed=2)
    assert corpus.first(4).collection.documents == corpus.collection.documents[:4]


@pytest.mark.usefixtures("no_data")
def test_pretended_vectors_are_unit_rows_of_their_text() -> None:
    real = HashingEmbedder(dimensions=16)
    pretend = PretendEmbedder(real)
    found = pretend.embed_documents(["a", "b", "a"])
    assert found.dtype == np.float32
    assert found.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(pretend.embed_queries(["x"]), real.embed_queries(["x"]))
    assert pretend.fingerprint == real.fingerprint


@pytest.mark.usefixtures("no_data")
def test_the_cache_gives_the_pretended_vectors(tmp_path: Path) -> None:
    class Refusing(HashingEmbedder):
        def embed_documents(self, texts: object) -> object:  # type: ignore[override]
            raise AssertionError("a text was embedded for real")

    corpus = bench_corpus(documents=5, queries=1, seed=1)
    fill_cache(corpus, tmp_path, HashingEmbedder(dimensions=16))
    cache = CachedEmbedder(Refusing(dimensions=16), tmp_path / "embeddings.sqlite")
    found = cache.embed_documents([item.text for item in corpus.collection.documents])
    cache.close()
    assert found.shape == (5, 16)


@pytest.mark.usefixtures("no_data")
def test_the_hand_made_stack_finds_a_text_by_its_words() -> None:
    corpus = bench_corpus(documents=20, queries=1, seed=1)
    embedder = HashingEmbedder(dimensions=64)
    texts = [document.text for document in corpus.collection.documents]
    made = hand_made(corpus, embedder.embed_documents(texts), embedder)
    wanted = corpus.collection.documents[7]
    assert made.hybrid(wanted.text, k=1) == [wanted.id]


def test_systems_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_parts, "_TURN", 3)
    called: list[str] = []

    def searching(name: str) -> object:
        return lambda query, k: called.append(f"{name}{query}{k}")

    found = time_queries(
        {"a": searching("a"), "b": searching("b")},  # type: ignore[dict-item]
        ["1", "2", "3", "4"],
    )
    warm = ["1", "2", "3"]
    turns = [("a", "123"), ("b", "123"), ("a", "4"), ("b", "4")]
    assert called == [f"{name}{query}10" for name, some in turns for query in [*warm, *some]]
    assert (found["a"].n, found["b"].n) == (4, 4)


def test_quantiles_worked_example() -> None:
    assert Timing.of([float(n) for n in range(101)]) == Timing(50.0, 95.0, 101)


def test_a_cold_start_is_timed_and_a_failing_one_is_an_error() -> None:
    found = cold_start(["-c", "pass"])
    assert found.wall.p50 > 0.0
    assert found.cpu.p50 > 0.0
    with pytest.raises(RagstackError, match="ended with 3: it broke"):
        cold_start(["-c", "import sys; sys.stderr.write('it broke'); sys.exit(3)"])
    assert sys.executable

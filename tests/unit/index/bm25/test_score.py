from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ragstack.filters import Compare, Eq
from ragstack.index.bm25 import score
from ragstack.index.bm25.index import Bm25Index
from ragstack.index.bm25.sums import Sums
from ragstack.testing.indexes import chunk_of
from ragstack.types import Chunk, Hit

WORDS = [f"word{number}" for number in range(400)]


def corpus(count: int, seed: int = 1) -> list[Chunk]:
    """Words as in a language: a few in nearly every text, most in hardly any."""
    dice = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(len(WORDS))]
    return [
        chunk_of(
            f"d{n:04}",
            " ".join(dice.choices(WORDS, weights, k=dice.randrange(5, 60))),
            meta={"n": n},
        )
        for n in range(count)
    ]


@pytest.fixture(autouse=True, params=[0, 2_000, 1 << 15])
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many postings are scored in one go: none, those of small segments, all there are."""
    monkeypatch.setattr(score, "_SHORT", request.param)
    found: int = request.param
    return found


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Bm25Index:
    index = Bm25Index(tmp_path_factory.mktemp("index"))
    chunks = corpus(4_000)
    for number, start in enumerate((0, 3_000, 3_800)):
        index.add(chunks[start : (3_000, 3_800, 4_000)[number]])
        index.commit(number)
    index.delete([chunk.id for chunk in chunks[::11]])
    return index


def ranking(index: Bm25Index, query: str) -> list[Hit]:
    return index.search([query], k=10_000)[0]


@pytest.mark.parametrize("k", [1, 3, 10, 100])
@pytest.mark.parametrize("seed", range(6))
def test_stopping_early_changes_nothing(index: Bm25Index, k: int, seed: int) -> None:
    dice = random.Random(seed)
    for size in (1, 2, 4, 9):
        query = " ".join([*dice.choices(WORDS[:12], k=size), *dice.choices(WORDS, k=size)])
        assert index.search([query], k=k)[0] == ranking(index, query)[:k]


def test_one_road_or_the_other(index: Bm25Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once or word by word: the same scores to the last bit, several forms of words too."""
    query = "word0 word3 words word77 maisons maison house houses"
    found = []
    index.add([chunk_of(f"x{n}", f"maisons maison houses {n}") for n in range(30)])
    index.add([chunk_of("fr", "maisons maison houses", meta={"language": "fr"})])
    for short in (0, 1 << 15):
        monkeypatch.setattr(score, "_SHORT", short)
        found.append(ranking(index, query))
    assert found[0] == found[1]
    index.delete([hit.chunk_id for hit in found[0] if hit.chunk_id[0] in "xf"])


def test_look_ups_happen(index: Bm25Index, monkeypatch: pytest.MonkeyPatch, short: int) -> None:
    """A rare word beside frequent ones: those are never scored for all of their chunks."""
    if short:
        return
    looked, scanned = list[int](), list[int]()
    inner = score._Search._looked_up
    added = Sums.add
    monkeypatch.setattr(
        score._Search,
        "_looked_up",
        lambda self, word, rows: looked.append(len(rows)) or inner(self, word, rows),
    )
    monkeypatch.setattr(
        Sums,
        "add",
        lambda self, rows, values: scanned.append(len(rows)) or added(self, rows, values),
    )
    query = "word390 word391 word0 word1 word2"
    hits = index.search([query], k=2)[0]
    assert looked and max(scanned) < 1_000
    monkeypatch.undo()
    assert hits == ranking(index, query)[:2]


@pytest.mark.parametrize("below", [0, 3, 40, 900, 3_999])
@pytest.mark.parametrize("query", ["word0 word1", "word3 word90 word200", "word0 word399"])
def test_where_leaves_scores_as_they_are(index: Bm25Index, below: int, query: str) -> None:
    where = Compare("n", "lt", below)
    expected = [hit for hit in ranking(index, query) if int(hit.chunk_id[1:5]) < below]
    for k in (1, 10, 5_000):
        assert index.search([query], k=k, where=where)[0] == expected[:k]
    assert index.search([query], k=3, where=Eq("n", "none")) == [[]]


@pytest.mark.parametrize("passing", [None, np.arange(1_000) % 3 > 0])
@pytest.mark.parametrize("each", [0, 30, 200, 900])
def test_sums_of_few_rows_and_of_many(passing: np.ndarray | None, each: int) -> None:
    dice = np.random.default_rng(1)
    sums, plain = Sums(1_000, passing), np.zeros(1_000)
    for _ in range(4):
        rows = np.sort(dice.choice(1_000, each, replace=False)).astype(np.uint16)
        values = dice.random(each).astype(np.float32)
        values[:: max(1, each // 5)] = 0.0
        sums.add(rows, values)
        plain[rows] += values if passing is None else values * passing[rows]
        having = np.count_nonzero(plain)
        for k in (1, 3, 7, 50, 2_000):
            rows, scores = sums.best(k)
            assert len(set(rows.tolist())) == len(rows) == min(k, having)
            assert scores == pytest.approx(plain[rows], rel=1e-5)
            if len(rows):
                kth = np.sort(plain)[-len(rows)]
                found, scores = sums.at_least(kth * (1 - 1e-6))
                assert found.tolist() == np.flatnonzero(plain >= kth * (1 - 1e-6)).tolist()
                assert scores == pytest.approx(plain[found], rel=1e-5)
        assert len(sums.at_least(0.0)[0]) == having


def test_what_is_remembered_of_terms_may_be_forgotten(
    index: Bm25Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches on several threads share it; one of them may clear it at any moment."""
    monkeypatch.setattr(score, "_KNOWN", 1)
    queries = [f"word{n} word{n + 1} word0" for n in range(30)]
    expected = [ranking(index, query)[:5] for query in queries]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda query: index.search([query], k=5)[0], queries))
    assert found == expected

"""The bm25 index against bm25s, rank_bm25 and the bare formulas, after any history of changes."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import bm25s
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rank_bm25 import BM25Okapi, BM25Plus

from ragstack.index.analysis import Analysis
from ragstack.index.bm25 import merge, score, store
from ragstack.index.bm25.index import Bm25Index
from ragstack.index.bm25.variants import VARIANTS, Scoring
from ragstack.testing.indexes import chunk_of
from ragstack.types import Chunk

ANALYSIS = Analysis(("en",))
WORDS = ["river", "stone", "market", "winter", "letter", "garden", "engine", "doctor", "school"]
# Words of letters alone: one with a number in it is found by its parts too, and so is longer.
FILLERS = [f"{first}{second}ox" for first in "bcdfghjkmn" for second in "abcdefghijklmnopqrst"]
QUERIES = ["doctors in the winter garden", "river", "stone river stone", "engine unknown school"]
K1, B = 1.2, 0.75


def terms(text: str) -> list[str]:
    return ANALYSIS.terms(text, "en")


def words_of(query: str) -> list[str]:
    return [term for forms in ANALYSIS.words(query, ["en"]) for term in forms]


def by_bm25s(chunks: list[Chunk], query: str, variant: str) -> dict[str, float]:
    """Its scores less the share that it gives to words a chunk does not have; float64 inside."""
    texts = {chunk.id: terms(chunk.indexed_text) for chunk in chunks}
    other = bm25s.BM25(method=variant, k1=K1, b=B, delta=VARIANTS[variant].delta, dtype="float64")
    other.index(list(texts.values()), show_progress=False)
    known = [word for word in words_of(query) if any(word in text for text in texts.values())]
    if not known:
        return {}
    scores = other.get_scores(known)
    scoring = Scoring(variant, k1=K1, b=B)
    absent = {
        word: scoring.idf(len(texts), sum(word in text for text in texts.values()))
        * float(scoring.gain(np.zeros(1), np.ones(1))[0])
        for word in known
    }
    found = {}
    for (each, text), whole in zip(texts.items(), scores.tolist(), strict=True):
        less = sum(absent[word] for word in known if word not in text)
        if set(known) & set(text) and whole - less > 1e-9:
            found[each] = whole - less
    return found


def by_index(index: Bm25Index, query: str) -> dict[str, float]:
    (hits,) = index.search([query], k=1_000)
    return {hit.chunk_id: hit.score for hit in hits}


def corpus(seed: int, count: int = 150) -> list[Chunk]:
    dice = random.Random(seed)
    words = [*WORDS, *FILLERS]
    weights = [*(20 / rank for rank in range(3, len(WORDS) + 3)), *[1.0] * 200]
    return [
        chunk_of(f"d{n:03}", " ".join(dice.choices(words, weights, k=dice.randrange(3, 200))))
        for n in range(count)
    ]


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_scores_are_those_of_bm25s(tmp_path: Path, variant: str) -> None:
    index = Bm25Index(tmp_path, languages=["en"], scoring={"variant": variant})
    chunks = corpus(1)
    for start in range(0, len(chunks), 40):
        index.add(chunks[start : start + 40])
        index.search(["river"], k=1)
    index.delete([chunk.id for chunk in chunks[::9]])
    rest = [chunk for number, chunk in enumerate(chunks) if number % 9]
    for query in QUERIES:
        assert by_index(index, query) == pytest.approx(by_bm25s(rest, query, variant), rel=1e-5)
    index.close()


def test_scores_are_those_of_rank_bm25(tmp_path: Path) -> None:
    """Okapi there is Robertson's idf and ATIRE's gain, with a floor under negative idfs only."""
    chunks = corpus(2)
    texts = [terms(chunk.text) for chunk in chunks]
    okapi, plus = BM25Okapi(texts, k1=K1, b=B), BM25Plus(texts, k1=K1, b=B)
    robertson = Bm25Index(
        tmp_path / "r", languages=["en"], scoring={"variant": "robertson", "k1": K1}
    )
    bm25_plus = Bm25Index(tmp_path / "p", languages=["en"], scoring={"variant": "bm25+"})
    robertson.add(chunks)
    bm25_plus.add(chunks)
    seen = 0
    for word in [*WORDS, FILLERS[3], FILLERS[77]]:
        (term,) = terms(word)
        if 2 * sum(term in text for text in texts) >= len(texts):
            continue
        seen += 1
        scores = okapi.get_scores([term]).tolist()
        expected = {c.id: s for c, s in zip(chunks, scores, strict=True) if s}
        found = {each: (K1 + 1) * score for each, score in by_index(robertson, word).items()}
        assert found == pytest.approx(expected, rel=1e-5)
        scores = plus.get_scores([term]).tolist()
        expected = {
            c.id: s for c, s, text in zip(chunks, scores, texts, strict=True) if term in text
        }
        assert by_index(bm25_plus, word) == pytest.approx(expected, rel=1e-5)
    assert seen >= 4
    robertson.close()
    bm25_plus.close()


def test_weighted_fields_are_text_repeated(tmp_path: Path) -> None:
    """Weight 3 counts as if the field stood there three times; a fraction as its ratio."""
    chunks = [
        replace(chunk, context=f"winter {WORDS[n % 5]}", meta={"title": "river letter"})
        for n, chunk in enumerate(corpus(3, 60))
    ]
    repeated = [
        replace(
            chunk, context=" ".join([chunk.context] * 3 + ["river letter"] * 2), text=chunk.text
        )
        for chunk in chunks
    ]
    index = Bm25Index(tmp_path / "a", languages=["en"], weights={"context": 3, "title": 2})
    fractions = Bm25Index(
        tmp_path / "b",
        languages=["en"],
        weights={"context": 1.5, "title": 1, "text": 0.5},
        scoring={"k1": K1 / 2},
    )
    index.add(chunks)
    fractions.add(chunks)
    for query in QUERIES:
        expected = by_bm25s(repeated, query, "lucene")
        assert by_index(index, query) == pytest.approx(expected, rel=1e-5)
        # Half the frequencies with half of k1 are the same gains.
        assert by_index(fractions, query) == pytest.approx(expected, rel=1e-5)
    index.close()
    fractions.close()


class History(RuleBasedStateMachine):
    """Adds, deletes, replacements, merges, closings-up and reopenings, then the scores."""

    @initialize(variant=st.sampled_from(sorted(VARIANTS)))
    def begin(self, variant: str) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.variant = variant
        self.there: dict[str, Chunk] = {}
        self.kept: dict[str, Chunk] = {}
        self.position = 0
        self.open()

    def open(self) -> None:
        self.index = Bm25Index(
            self.folder,
            languages=["en"],
            scoring={"variant": self.variant},
            weights={"context": 1},
        )

    @rule(numbers=st.lists(st.integers(0, 30), min_size=1, max_size=12), seed=st.integers(0, 5))
    def add(self, numbers: list[int], seed: int) -> None:
        dice = random.Random(seed)
        chunks = [
            chunk_of(f"d{n}", "common", context=" ".join(dice.choices(WORDS, k=n + 1)))
            for n in numbers
        ]
        self.index.add(chunks)
        self.there = {**self.there, **{chunk.id: chunk for chunk in chunks}}

    @rule(numbers=st.lists(st.integers(0, 30), max_size=8))
    def delete(self, numbers: list[int]) -> None:
        gone = {chunk_of(f"d{n}", "common").id for n in numbers}
        self.index.delete(sorted(gone))
        self.there = {each: c for each, c in self.there.items() if each not in gone}

    @rule()
    def commit(self) -> None:
        self.position += 1
        self.index.commit(self.position)
        self.kept = dict(self.there)

    @precondition(lambda self: self.position)
    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.open()
        self.there = dict(self.kept)

    @rule(query=st.sampled_from([*QUERIES, "common winter"]), k=st.integers(1, 12))
    def search(self, query: str, k: int) -> None:
        expected = by_bm25s(list(self.there.values()), query, self.variant) if self.there else {}
        found = by_index(self.index, query)
        assert found == pytest.approx(expected, rel=1e-5)
        (hits,) = self.index.search([query], k=k)
        order = sorted(found, key=lambda each: (-found[each], each))
        assert [hit.chunk_id for hit in hits] == order[:k]

    @invariant()
    def statistics_are_exact(self) -> None:
        if hasattr(self, "index"):
            there = self.index._store.snapshot()
            texts = [terms(chunk.indexed_text) for chunk in self.there.values()]
            assert there.chunks == len(texts)
            assert sum(part.length for part in there.parts) == sum(map(len, texts))
            having = Counter(word for text in texts for word in set(text))
            for word in WORDS:
                (term,) = terms(word)
                assert having[term] == sum(
                    part.having(number)
                    for part in there.parts
                    if (number := part.segment.find(term.encode())) >= 0
                )

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.index.close()
            shutil.rmtree(self.folder)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few chunks are merged, left alone and closed up as millions are."""
    monkeypatch.setattr(store, "_DEAD_COUNT", 6)
    monkeypatch.setattr(store, "_GATHERED", 60)
    monkeypatch.setattr(merge, "_LARGEST", 400)
    monkeypatch.setattr(score, "_SHORT", 60)


TestHistory = History.TestCase
TestHistory.settings = hypothesis.settings(max_examples=20, stateful_step_count=20)

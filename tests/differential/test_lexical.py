"""The lexical index against rank_bm25 and against the formula, on the same analysed terms."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest
from rank_bm25 import BM25Okapi

from ragstack.index.analysis import Analysis
from ragstack.index.tantivy import TantivyIndex
from ragstack.testing.indexes import chunk_of
from ragstack.types import Chunk

ANALYSIS = Analysis(("en", "fr"))
WORDS = ["river", "stone", "market", "winter", "letter", "garden", "engine", "doctor", "school"]
# Words of letters alone: one with a number in it is found by its parts too, and so is longer.
FILLERS = [f"{first}{second}ox" for first in "bcdfghjkmn" for second in "abcdefghijklmnopqrst"]
K1, B = 1.2, 0.75


def corpus(seed: int, *, longest: int) -> list[Chunk]:
    """Texts no longer than 40 words are stored by tantivy with their exact length."""
    dice = random.Random(seed)
    words = [*WORDS, *FILLERS]
    weights = [*(20 / rank for rank in range(3, len(WORDS) + 3)), *[1.0] * 200]
    return [
        chunk_of(f"d{n:03}", " ".join(dice.choices(words, weights, k=dice.randrange(3, longest))))
        for n in range(120)
    ]


def terms(text: str) -> list[str]:
    return ANALYSIS.terms(text, "en")


def ranked(folder: Path, chunks: list[Chunk], query: str) -> dict[str, float]:
    index = TantivyIndex(folder)
    for start in range(0, len(chunks), 30):
        index.add(chunks[start : start + 30])
        index.search([query], k=1)
    (hits,) = index.search([query], k=len(chunks))
    index.close()
    return {hit.chunk_id: hit.score for hit in hits}


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_formula(tmp_path: Path, seed: int) -> None:
    """Robertson and Zaragoza 2009, with Lucene's idf: ln(1 + (N - n + 0.5) / (n + 0.5))."""
    chunks, query = corpus(seed, longest=40), "doctors in the winter garden"
    texts = {chunk.id: terms(chunk.text) for chunk in chunks}
    mean = sum(map(len, texts.values())) / len(texts)
    expected: Counter[str] = Counter()
    for term in terms("doctors winter garden"):
        count = sum(term in words for words in texts.values())
        idf = math.log(1 + (len(texts) - count + 0.5) / (count + 0.5))
        for chunk_id, words in texts.items():
            if tf := words.count(term):
                length = K1 * (1 - B + B * len(words) / mean)
                expected[chunk_id] += idf * tf * (K1 + 1) / (tf + length)
    found = ranked(tmp_path, chunks, query)
    assert found == pytest.approx(dict(expected), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("longest", [40, 300])
def test_ranking_is_that_of_rank_bm25(tmp_path: Path, seed: int, longest: int) -> None:
    """Its idf differs, so scores do; with one word each, the order may not."""
    chunks = corpus(seed, longest=longest)
    other = BM25Okapi([terms(chunk.text) for chunk in chunks], k1=K1, b=B)
    for word in WORDS[3:]:
        found = ranked(tmp_path / word, chunks, word)
        scores = dict(zip((c.id for c in chunks), other.get_scores(terms(word)), strict=True))
        assert found.keys() == {each for each, score in scores.items() if score}
        pairs = agree = 0
        for left in found:
            for right in found:
                apart = 0.02 * scores[left]  # lengths over 40 are rounded
                if scores[left] - scores[right] > (1e-6 if longest == 40 else apart):
                    pairs += 1
                    agree += found[left] > found[right]
        assert agree >= (1 if longest == 40 else 0.99) * pairs > 0


def test_best_of_several_words_is_that_of_rank_bm25(tmp_path: Path) -> None:
    """Where its best stands clearly apart."""
    chunks, apart = corpus(7, longest=40), 0
    other = BM25Okapi([terms(chunk.text) for chunk in chunks], k1=K1, b=B)
    for number in range(12):
        query = " ".join(random.Random(number).sample(WORDS[3:], 2))
        scores = dict(zip((c.id for c in chunks), other.get_scores(terms(query)), strict=True))
        first, second = sorted(scores.values(), reverse=True)[:2]
        if first > 1.1 * second:
            apart += 1
            found = ranked(tmp_path / str(number), chunks, query)
            assert max(found, key=found.__getitem__) == max(scores, key=scores.__getitem__)
    assert apart >= 3

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ragstack.index.analysis import Analysis
from ragstack.index.bm25.index import Bm25Index
from ragstack.index.bm25.phrases import REACH
from ragstack.testing.indexes import chunk_of
from ragstack.types import Chunk

WORDS = ["river", "stone", "market", "winter", "letter", "garden"]
SHARE = 0.7


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Bm25Index]:
    index = Bm25Index(tmp_path, adjacency=SHARE)
    yield index
    index.close()


def test_order_and_distance(index: Bm25Index) -> None:
    texts = {
        "next": "a green lion and a red house here today",
        "apart": "a red lion and a green house here today",
        "turned": "a house red lion and a green here today",
        "near": "a red and green house lion a here today",
    }
    index.add([chunk_of(name, text) for name, text in texts.items()])
    (hits,) = index.search(["the red house"], k=9)
    scores = {hit.chunk_id.partition(".")[0]: hit.score for hit in hits}
    assert scores["next"] == scores["near"] > scores["apart"] == scores["turned"]


def test_neighbours_of_other_chunks_do_not_count(index: Bm25Index) -> None:
    index.add([chunk_of("a", "house red"), chunk_of("b", "house red"), chunk_of("c", "green")])
    (hits,) = index.search(["red house"], k=9)
    plain = Bm25Index(index._store._folder.path.parent / "plain")
    plain.add([chunk_of("a", "house red"), chunk_of("b", "house red"), chunk_of("c", "green")])
    assert hits == plain.search(["red house"], k=9)[0]
    plain.close()


@pytest.mark.parametrize("seed", range(4))
def test_exact_for_every_k(index: Bm25Index, seed: int, tmp_path: Path) -> None:
    """The best k by the formula, though pairs are only counted where they can matter."""
    dice = random.Random(seed)
    words = [*WORDS, *(f"filler{n}" for n in range(40))]
    weights = [*[8.0] * len(WORDS), *[1.0] * 40]
    chunks = [
        chunk_of(f"d{n:03}", " ".join(dice.choices(words, weights, k=dice.randrange(3, 40))))
        for n in range(600)
    ]
    plain = Bm25Index(tmp_path / "plain")
    for start in (0, 400, 550):
        some = chunks[start : {0: 400, 400: 550, 550: 600}[start]]
        for one in (index, plain):
            one.add(some)
            one.commit(start)
    analysis = Analysis(("en", "fr"))
    texts = {chunk.id: analysis.terms(chunk.text, "en") for chunk in chunks}
    mean = sum(map(len, texts.values())) / len(texts)
    for size in (2, 3, 5):
        asked = dice.choices(WORDS, k=size)
        stems = [analysis.terms(word, "en")[0] for word in asked]
        corpus = plain._corpus_of(plain._store.snapshot())
        idf = {
            stem: corpus.scoring.idf(600, sum(stem in text for text in texts.values()))
            for stem in stems
        }
        expected = {hit.chunk_id: hit.score for hit in plain.search([" ".join(asked)], k=999)[0]}
        pairs = {(a, b) for a, b in pairwise(stems) if a != b}
        for each, text in texts.items():
            norm = 0.25 + 0.75 * len(text) / mean
            for a, b in pairs:
                tf = sum(
                    word == b and a in text[max(0, place - REACH) : place]
                    for place, word in enumerate(text)
                )
                if tf:
                    lesser = min(idf[a] * stems.count(a), idf[b] * stems.count(b))
                    expected[each] += SHARE * lesser * tf / (tf + 1.2 * norm)
        order = sorted(expected, key=lambda each: (-round(expected[each], 9), each))
        for k in (1, 5, 40, 999):
            (hits,) = index.search([" ".join(asked)], k=k)
            assert [hit.score for hit in hits] == pytest.approx(
                [expected[each] for each in order[:k]]
            )
            assert [hit.chunk_id for hit in hits] == order[:k]
    plain.close()


def test_single_word_has_no_pairs(index: Bm25Index) -> None:
    index.add([chunk_of("a", "rose rose"), chunk_of("b", "lily")])
    assert len(index.search(["rose rose roses"], k=3)[0]) == 1


@pytest.mark.parametrize(
    ("text", "language", "query", "expected"),
    [
        ("The houses near the mill", "en", "house milling", ["houses", "mill"]),
        ("Les élèves n’ont qu’un collège", "fr", "eleve COLLEGE", ["élèves", "collège"]),
        ("L'e\u0301le\u0300ve attend", "fr", "élève", ["e\u0301le\u0300ve"]),
        ("def loadIndex(file_name):", "en", "index filename", ["Index", "file_name"]),
        ("東京タワーの高さ", "ja", "東京の高さ", ["東京", "の高さ"]),
        ("The THE the", "en", "the", ["The", "THE", "the"]),
        ("nothing of that", "en", "house", []),
        ("house", "en", "", []),
        ("", "en", "house", []),
        ("Häuser am Fluss", "de", "hauser", ["Häuser"]),
    ],
)
def test_highlights(
    index: Bm25Index, text: str, language: str, query: str, expected: list[str]
) -> None:
    chunk: Chunk = chunk_of("a", text, meta={"language": language})
    spans = index.highlight(query, chunk)
    assert [text[start:end] for start, end in spans] == expected

"""Texts for a bench: about 240 tokens each, cut from real collections where there are any."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ragstack.errors import InputError
from ragstack_evals.datasets import (
    Collection,
    JudgedDocument,
    data_root,
    find_collection,
    read_collection,
)

__all__ = ["Corpus", "bench_corpus"]

_WORDS = 180  # about 240 tokens of MiniLM's vocabulary in English prose
_SOURCES = ("scifact_train", "medquad", "cisi", "cacm", "musique_small", "hotpotqa_small")
_VOCABULARY = 30_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts and queries.

    Attributes:
        origin: What they are made of, for whoever reads the numbers.
    """

    collection: Collection
    queries: tuple[str, ...]
    origin: str

    def first(self, size: int) -> Corpus:
        """Return a corpus of the first texts, with the same queries."""
        few = replace(self.collection, documents=self.collection.documents[:size])
        return replace(self, collection=few)


def bench_corpus(*, documents: int, queries: int, seed: int) -> Corpus:
    """Return texts cut from the collections of ``RAGSTACK_DATA``, or made-up words without them."""
    dice = random.Random(seed)
    try:
        data_root()
        found = [read_collection(find_collection(name)) for name in _SOURCES]
    except InputError:
        return _made_up(documents, queries, dice)
    windows = list(itertools.islice(_windows(found), documents))
    real = len(windows)
    while len(windows) < documents:  # sentences of the real ones, mixed anew
        words = " ".join(dice.sample(windows[:real], 3)).split()
        start = dice.randrange(len(words) - _WORDS)
        windows.append(" ".join(words[start : start + _WORDS]))
    asked = [text for collection in found for text in collection.queries.values()]
    dice.shuffle(asked)
    origin = f"{real} texts cut from {', '.join(_SOURCES)}"
    if real < documents:
        origin += f", {documents - real} mixed from them"
    return Corpus(_collected(windows), tuple(asked[:queries]), origin)


def _windows(collections: list[Collection]) -> Iterator[str]:
    """Yield every stretch of so many words, short documents joined, in a fixed order."""
    words: list[str] = []
    for collection in collections:
        for document in collection.documents:
            words += f"{document.title} {document.text}".split()
            while len(words) >= _WORDS:
                yield " ".join(words[:_WORDS])
                words = words[_WORDS:]


def _made_up(documents: int, queries: int, dice: random.Random) -> Corpus:
    letters = "etaoinshrdlu"
    vocabulary = ["".join(dice.choices(letters, k=dice.randint(2, 9))) for _ in range(_VOCABULARY)]
    # Zipf's law with exponent 1, as words of a language are spread.
    weights = list(itertools.accumulate(1.0 / rank for rank in range(1, _VOCABULARY + 1)))
    texts = [
        " ".join(dice.choices(vocabulary, cum_weights=weights, k=_WORDS)) for _ in range(documents)
    ]
    asked = [
        " ".join(dice.sample(dice.choice(texts).split(), dice.randint(3, 9)))
        for _ in range(queries)
    ]
    origin = f"{documents} made-up texts (no data folder: real words cost more tokens and matches)"
    return Corpus(_collected(texts), tuple(asked), origin)


def _collected(texts: list[str]) -> Collection:
    found = tuple(JudgedDocument(f"{n:06d}", "", text) for n, text in enumerate(texts))
    return Collection("bench", found, {}, {})

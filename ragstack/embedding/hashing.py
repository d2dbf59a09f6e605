"""Texts in, unit vectors out by hashing words and their letters: no model, for tests and doubles.

The hashing trick (Weinberger et al. 2009, arXiv:0902.2206) on words and on the letter trigrams in
them, so that texts which share words, or forms of words, are near. It knows no meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from ragstack.embedding.inputs import checked, unit
from ragstack.embedding.words import WordCounter
from ragstack.errors import ConfigError
from ragstack.protocols import TokenVectors, Vectors
from ragstack.types import Span

__all__ = ["HashingEmbedder"]

_WORD = re.compile(r"\w+")
_WORD_WEIGHT = 1.0
_TRIGRAM_WEIGHT = 1.0
# Words of one to three letters are mostly grammar, in English and in French.
_SHORT, _SHORT_WEIGHT = 3, 0.2


class HashingEmbedder:
    """An Embedder, TokenCounter and TokenEmbedder: deterministic, everywhere the same."""

    def __init__(self, *, dimensions: int = 256) -> None:
        """Choose the length of a vector.

        Raises:
            ConfigError: It is under 8.
        """
        if dimensions < 8:
            raise ConfigError(f"dimensions is 8 or more, got {dimensions!r}")
        self._dimensions = dimensions
        self._words = WordCounter()

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def fingerprint(self) -> str:
        """The method and the length."""
        return f"hashing:1:{self._dimensions}"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text, in order."""
        rows = np.zeros((len(checked(texts)), self._dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word, times in Counter(_WORD.findall(_folded(text))).items():
                # A word said ten times is not ten times as much of the text's subject.
                self._add(row, word, float(np.sqrt(times)))
        return unit(rows)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question, in order."""
        return self.embed_documents(texts)

    def embed_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return a vector for each word and sign, that of the word alone."""
        found = []
        for text in checked(texts):
            spans = self.offsets(text)
            vectors = self.embed_documents([text[start:end] for start, end in spans])
            found.append(TokenVectors(vectors, tuple(spans)))
        return found

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        return self._words.count(text)

    def offsets(self, text: str) -> list[Span]:
        """Return each token's characters, in order."""
        return self._words.offsets(text)

    def _add(self, row: Vectors, word: str, times: float) -> None:
        weight = times * (_SHORT_WEIGHT if len(word) <= _SHORT else 1.0)
        for feature, share in _features(word):
            row[feature % self._dimensions] += weight * share


@lru_cache(maxsize=65_536)
def _features(word: str) -> tuple[tuple[int, float], ...]:
    """Return a number and a signed weight for the word and for each trigram in it."""
    padded = f" {word} "
    trigrams = [padded[index : index + 3] for index in range(len(padded) - 2)]
    named = [(f"w:{word}", _WORD_WEIGHT)]
    if len(word) > _SHORT:
        share = _TRIGRAM_WEIGHT / np.sqrt(len(trigrams))
        named += [(f"t:{trigram}", float(share)) for trigram in trigrams]
    features = []
    for name, weight in named:
        number = int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest())
        features.append((number >> 1, weight if number & 1 else -weight))
    return tuple(features)


def _folded(text: str) -> str:
    """Return the text without case and accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))

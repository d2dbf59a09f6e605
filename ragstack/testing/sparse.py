"""Texts in, weights of words out with no model: a SparseEmbedder for tests of what is built on one.

Also the promises of every sparse embedder, as tests.
"""

from __future__ import annotations

import math
import re
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ragstack.errors import InputError
from ragstack.protocols import SparseEmbedder

__all__ = ["SparseEmbedderSuite", "WordWeights"]

_WORD = re.compile(r"\w+")


class WordWeights:
    """A SparseEmbedder: each word is a term of its own, its weight grows with how often it stands.

    Args:
        salt: Part of its fingerprint, to make two that differ.
    """

    def __init__(self, *, salt: str = "") -> None:
        self.fingerprint = f"word-weights:1:{salt}"

    def embed_documents(self, texts: Sequence[str]) -> list[Mapping[int, float]]:
        """Return log(1 + times) for each word."""
        if isinstance(texts, str):
            raise InputError(f"texts is a sequence of strings, got the text {texts!r}")
        return [_weights(text) for text in texts]

    def embed_queries(self, texts: Sequence[str]) -> list[Mapping[int, float]]:
        """Return the same for questions."""
        return self.embed_documents(texts)


class SparseEmbedderSuite(ABC):
    """What every sparse embedder promises."""

    @abstractmethod
    def make(self) -> SparseEmbedder:
        """Return a sparse embedder."""

    def test_terms_and_weights(self) -> None:
        """Whole numbers from 0 up, weights above 0; the same text, the same weights."""
        made = self.make()
        texts = ["The tenant pays for the damage.", "a rose is a rose", ""]
        for embed in (made.embed_documents, made.embed_queries):
            found = embed(texts)
            assert len(found) == 3
            assert found[0]
            for vector in found:
                assert all(isinstance(term, int) and 0 <= term < 2**32 for term in vector)
                assert all(weight > 0 and math.isfinite(weight) for weight in vector.values())
            again = embed([texts[0]])[0]
            assert dict(again) == pytest.approx(dict(found[0]), rel=1e-4, abs=1e-4)

    def test_empty_in_empty_out(self) -> None:
        """No texts, no answers."""
        made = self.make()
        assert made.embed_documents([]) == []
        assert made.embed_queries([]) == []

    def test_a_lone_text_is_refused(self) -> None:
        """A str is a sequence of str."""
        lone: Any = "a lone text"
        with pytest.raises(InputError):
            self.make().embed_documents(lone)


def _weights(text: str) -> Mapping[int, float]:
    words = Counter(_WORD.findall(text.casefold()))
    return {
        zlib.crc32(word.encode("utf-8", "surrogatepass")): math.log1p(times)
        for word, times in words.items()
    }

"""Counts in, weights of words out: one function a formula. Knows nothing of indexes.

A word's score in a chunk is ``idf(N, n) * gain(tf, norm)``: N chunks, n of them with the word, tf
times in this one, ``norm = 1 - b + b * length / mean length``. Each gain grows with tf, falls with
norm, and is concave in tf / norm; the search's bounds rest on that. Every formula sums over the
words that a chunk has: rank_bm25 and bm25s add a share for absent words to BM25L and BM25+.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import ConfigError

__all__ = ["VARIANTS", "Scoring", "Variant"]

Numbers = NDArray[np.floating[Any]]
Gain = Callable[[Numbers, Numbers, float, float], Numbers]
"""From tf, norm, k1 and delta."""


def saturated(tf: Numbers, norm: Numbers, k1: float, _delta: float) -> Numbers:
    """Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, without (k1 + 1)."""
    return tf / (tf + k1 * norm)


def atire(tf: Numbers, norm: Numbers, k1: float, _delta: float) -> Numbers:
    """Trotman, Jia and Crane, Towards an Efficient and Effective Search Engine, 2012."""
    return (k1 + 1.0) * tf / (tf + k1 * norm)


def bm25l(tf: Numbers, norm: Numbers, k1: float, delta: float) -> Numbers:
    """Lv and Zhai, When Documents Are Very Long, BM25 Fails!, SIGIR 2011."""
    shifted = tf / norm + delta
    return (k1 + 1.0) * shifted / (k1 + shifted)


def bm25_plus(tf: Numbers, norm: Numbers, k1: float, delta: float) -> Numbers:
    """Lv and Zhai, Lower-Bounding Term Frequency Normalization, CIKM 2011."""
    return (k1 + 1.0) * tf / (tf + k1 * norm) + delta


def idf_lucene(chunks: int, having: int) -> float:
    """Lucene's BM25Similarity: never negative, because of the 1."""
    return math.log(1.0 + (chunks - having + 0.5) / (having + 0.5))


def idf_robertson(chunks: int, having: int) -> float:
    """Robertson and Spärck Jones, 1976; a word in more than half of the chunks weighs nothing."""
    return math.log(max(1.0, (chunks - having + 0.5) / (having + 0.5)))


def idf_atire(chunks: int, having: int) -> float:
    """Trotman, Jia and Crane, 2012."""
    return math.log(chunks / having)


def idf_bm25l(chunks: int, having: int) -> float:
    """Lv and Zhai, SIGIR 2011."""
    return math.log((chunks + 1.0) / (having + 0.5))


def idf_bm25_plus(chunks: int, having: int) -> float:
    """Lv and Zhai, CIKM 2011."""
    return math.log((chunks + 1.0) / having)


@dataclass(frozen=True, slots=True)
class Variant:
    """A formula by its two factors, and its authors' delta."""

    idf: Callable[[int, int], float]
    gain: Gain
    delta: float = 0.0


VARIANTS: Mapping[str, Variant] = {
    "lucene": Variant(idf_lucene, saturated),
    "robertson": Variant(idf_robertson, saturated),
    "atire": Variant(idf_atire, atire),
    "bm25l": Variant(idf_bm25l, bm25l, delta=0.5),
    "bm25+": Variant(idf_bm25_plus, bm25_plus, delta=1.0),
}


@dataclass(frozen=True, slots=True)
class Scoring:
    """A variant with its numbers.

    Raises:
        ConfigError: No such variant, or a number out of its range.
    """

    variant: str = "lucene"
    k1: float = 1.2
    b: float = 0.75
    delta: float | None = None

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ConfigError(
                f"no variant of BM25 is named {self.variant!r}; known: {', '.join(VARIANTS)}"
            )
        # k1 = 0 would divide 0 by 0 for BM25L; b = 1 is fine, an empty chunk has no words.
        for name, value, most in (
            ("k1", self.k1, 1e6),
            ("b", self.b, 1.0),
            ("delta", self.shift, 1e6),
        ):
            if isinstance(value, bool) or not 0.0 <= value <= most:
                raise ConfigError(f"{name} of BM25 is from 0 to {most:g}, got {value!r}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Scoring:
        """Return the scoring that a configuration describes."""
        known = [field.name for field in fields(cls)]
        for name, value in options.items():
            if name not in known:
                raise ConfigError(f"BM25 has no {name!r}; known: {', '.join(known)}")
            if name != "variant" and not isinstance(value, int | float):
                raise ConfigError(f"{name} of BM25 is a number, got {value!r}")
        return cls(**options)

    @property
    def shift(self) -> float:
        """The delta in force: the one given, else the variant's own."""
        return VARIANTS[self.variant].delta if self.delta is None else self.delta

    def idf(self, chunks: int, having: int) -> float:
        """Return the weight of a word by how many of the chunks have it."""
        return VARIANTS[self.variant].idf(chunks, having)

    def gain(self, tf: Numbers, norm: Numbers) -> Numbers:
        """Return what so many occurrences in chunks of such lengths are worth."""
        return VARIANTS[self.variant].gain(tf, norm, self.k1, self.shift)

"""Texts in, short signatures out whose agreement estimates how much of two texts is the same.

MinHash (Broder, "On the resemblance and containment of documents", 1997) over shingles of words;
likely pairs are found by bands of the signature (locality-sensitive hashing; Leskovec, Rajaraman
and Ullman, "Mining of Massive Datasets", chapter 3). Knows nothing of bases.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["BANDS", "Signature", "bands", "estimate", "shingles", "signature", "similarity"]

Signature = NDArray[np.uint32]
Shingles = NDArray[np.uint64]

# 1 - (1 - s**6)**20: a pair that shares 80 % of its shingles is met with 99.8 %, one that shares
# 50 % with 27 %, one that shares 30 % with 1.4 %.
BANDS, _ROWS = 20, 6
_SIZE = BANDS * _ROWS
_WORDS = 3  # of a shingle
_BLOCK = 4_096  # shingles hashed at once: 4 MB
_WORD = re.compile(r"\w+")


def shingles(text: str) -> Shingles:
    """Return the distinct runs of three words, letter case aside, as sorted 64-bit hashes.

    A text of fewer words is one shingle; one without words has none.
    """
    words = _WORD.findall(text.casefold())
    if not words:
        return np.zeros(0, dtype=np.uint64)
    numbers = {word: _hashed(word) for word in set(words)}
    each = np.array([numbers[word] for word in words], dtype=np.uint64)
    count = max(1, len(each) - _WORDS + 1)
    runs = np.zeros(count, dtype=np.uint64)
    for place in range(min(_WORDS, len(each))):
        # Multiplying by an odd number before adding makes the order of the words count.
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + each[place : place + count]
    runs ^= runs >> np.uint64(29)
    return np.unique(runs)


def signature(found: Shingles) -> Signature | None:
    """Return the least value of the shingles under each of 120 hash functions; None for none."""
    if not len(found):
        return None
    factors, offsets = _functions()
    least = np.full(_SIZE, np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(found), _BLOCK):
        some = found[start : start + _BLOCK, np.newaxis]
        # Multiply-shift (Dietzfelbinger et al., 1997): the high half of a product modulo 2**64.
        values = ((some * factors + offsets) >> np.uint64(32)).astype(np.uint32)
        least = np.minimum(least, values.min(axis=0))
    return least


def bands(made: Signature) -> list[int]:
    """Return one signed 64-bit number for each band; likely pairs have one in common."""
    return [
        int.from_bytes(
            hashlib.blake2b(
                made[band * _ROWS : (band + 1) * _ROWS].astype("<u4").tobytes(),
                digest_size=8,
                salt=band.to_bytes(2, "big"),
            ).digest(),
            "big",
            signed=True,
        )
        for band in range(BANDS)
    ]


def estimate(left: Signature, right: Signature) -> float:
    """Return the share of shingles that two texts have in common, within about 0.04."""
    return float(np.mean(left == right))


def similarity(left: Shingles, right: Shingles) -> float:
    """Return the share of shingles that two texts have in common (Jaccard), exactly."""
    common = len(np.intersect1d(left, right, assume_unique=True))
    together = len(left) + len(right) - common
    return common / together if together else 0.0


def _hashed(word: str) -> int:
    data = word.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


@lru_cache(maxsize=1)
def _functions() -> tuple[Shingles, Shingles]:
    dice = np.random.default_rng(20261121)  # fixed: signatures are kept
    factors = dice.integers(0, 2**64, size=_SIZE, dtype=np.uint64) | np.uint64(1)
    return factors, dice.integers(0, 2**64, size=_SIZE, dtype=np.uint64)

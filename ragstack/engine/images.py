"""Images among the tokens of a prompt: ids that no vocabulary has stand where they are read.

A tile of an image takes as many ids as positions, all its own: prompts that show the same image
begin alike, and prompts that show others do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "ids_of", "runs", "words"]

_FIRST = 1 << 40  # ids from here on are no words; a vocabulary has 300,000 at most
_PLACES = 16  # bits: a tile takes fewer positions than 65,536
_NAMED = 8  # bytes that tell one tile from all others


@dataclass(frozen=True, eq=False, slots=True)
class Image:
    """A tile of an image in a prompt, as the model reads it.

    Attributes:
        at: Where in the prompt its ids begin.
        ids: One for each position it takes.
        rows: What is read, in place of tokens: (cells, width), float32.
        places: Where each row stands in time, height, width and a fourth dimension, counted from
            the first: (4, cells), int32; None where rows follow each other, one a position.
        whole: The rows look at each other whatever their order: they are read in one step.
    """

    at: int
    ids: range
    rows: NDArray[np.float32]
    places: NDArray[np.int32] | None = None
    whole: bool = False

    @property
    def cells(self) -> int:
        """How many rows of the cache it fills: more than positions, where it has ``places``."""
        return len(self.rows)


def ids_of(digest: bytes, length: int) -> range:
    """Return the ids of a tile.

    Args:
        digest: Tells it from all other tiles.
        length: Positions that it takes.
    """
    name = hashlib.blake2b(digest, digest_size=_NAMED).digest()
    first = _FIRST + (int.from_bytes(name) << _PLACES)
    return range(first, first + length)


def words(tokens: Sequence[int]) -> list[int]:
    """Return the tokens of a prompt that stand for text."""
    return [token for token in tokens if token < _FIRST]


def runs(tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield where tiles begin in a prompt, and the first id of each."""
    expected = -1
    for at, token in enumerate(tokens):
        if token >= _FIRST and token != expected:
            yield at, token
        expected = token + 1

"""Weights of terms in some rows, kept by term: a file written once, mapped and never changed.

Four arrays follow one another: the terms (uint32, rising), where each one's postings begin (int64),
the rows that have it (int32, counted from the segment's first) and their weights (float32).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import IndexStateError, InputError
from ragstack.index.attributes import Rows
from ragstack.protocols import Vectors

__all__ = ["Postings", "joined", "read", "renumbered", "write"]

_TERMS = 1 << 32


@dataclass(frozen=True, slots=True)
class Postings:
    """What ``rows`` rows from ``first`` on hold.

    Attributes:
        terms: Rising, shape (t,).
        starts: Where each term's postings begin, and the end, shape (t + 1,).
        places: Rows, counted from ``first``, rising within a term.
        weights: One for each place.
    """

    first: int
    rows: int
    terms: NDArray[np.uint32]
    starts: NDArray[np.int64]
    places: NDArray[np.int32]
    weights: Vectors

    @classmethod
    def of(cls, first: int, vectors: Sequence[Mapping[int, float]]) -> Postings:
        """Return the postings of some rows' weights.

        Raises:
            InputError: A term that is no number of 32 bits, a weight that is no number.
        """
        sizes = [len(vector) for vector in vectors]
        terms = np.array([term for vector in vectors for term in vector], dtype=np.int64)
        weights = np.array([w for vector in vectors for w in vector.values()], dtype=np.float32)
        if len(terms) and not (0 <= terms.min() <= terms.max() < _TERMS):
            raise InputError(
                f"a term is a number from 0 to {_TERMS - 1}, "
                f"got {int(terms.min())!r} to {int(terms.max())!r}"
            )
        if not np.isfinite(weights).all():
            raise InputError("a sparse embedder returned a weight that is no finite number")
        places = np.repeat(np.arange(len(vectors), dtype=np.int32), sizes)
        kept = weights > 0
        return _sorted(first, len(vectors), terms[kept], places[kept], weights[kept])

    def add_to(self, scores: NDArray[np.float64], asked: Mapping[int, float]) -> None:
        """Add to each row's score the products of its weights with those of a question."""
        wanted = np.array(sorted(asked), dtype=np.int64)
        found = np.searchsorted(self.terms, wanted)
        for term, place in zip(wanted.tolist(), found.tolist(), strict=True):
            if place < len(self.terms) and self.terms[place] == term:
                some = slice(int(self.starts[place]), int(self.starts[place + 1]))
                # A row stands once in a term's postings, so nothing is lost in this addition.
                scores[self.places[some] + self.first] += asked[term] * self.weights[some].astype(
                    np.float64
                )

    def flat(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Vectors]:
        """Return the term, the row and the weight of every posting."""
        terms = np.repeat(self.terms.astype(np.int64), np.diff(self.starts))
        return terms, self.places.astype(np.int64) + self.first, np.asarray(self.weights)


def joined(left: Postings, right: Postings) -> Postings:
    """Return two neighbours as one."""
    one, two = left.flat(), right.flat()
    return _sorted(
        left.first,
        left.rows + right.rows,
        np.concatenate([one[0], two[0]]),
        np.concatenate([one[1], two[1]]) - left.first,
        np.concatenate([one[2], two[2]]),
    )


def renumbered(segments: Sequence[Postings], old: Rows) -> Postings:
    """Return the old rows' postings as those of rows 0, 1, 2 …; all others are left out."""
    size = max((segment.first + segment.rows for segment in segments), default=0)
    new = np.full(size, -1, dtype=np.int64)
    new[old] = np.arange(len(old))
    flats = [segment.flat() for segment in segments]
    if not flats:
        return Postings.of(0, [])
    terms, rows, weights = (np.concatenate(part) for part in zip(*flats, strict=True))
    kept = new[rows] >= 0
    return _sorted(0, len(old), terms[kept], new[rows[kept]], weights[kept])


def write(path: Path, postings: Postings) -> Mapping[str, Any]:
    """Write them to a new file; return what ``read`` needs to know of it."""
    crc = 0
    with open(path, "wb") as file:
        for array in (postings.terms, postings.starts, postings.places, postings.weights):
            data = np.ascontiguousarray(array).tobytes()
            crc = zlib.crc32(data, crc)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return {
        "name": path.name,
        "first": postings.first,
        "rows": postings.rows,
        "terms": len(postings.terms),
        "postings": len(postings.places),
        "crc": crc,
    }


def read(folder: Path, told: Mapping[str, Any]) -> Postings:
    """Return the postings in a file, mapped.

    Raises:
        IndexStateError: The file is not the one that was written.
    """
    path = folder / str(told["name"])
    terms, postings = int(told["terms"]), int(told["postings"])
    # The starts come second and would not lie on a multiple of 8 where terms are odd: copied.
    sizes = (4 * terms, 8 * (terms + 1), 4 * postings, 4 * postings)
    if path.stat().st_size != sum(sizes):
        raise IndexStateError(f"{path.name!r} is not as long as it was")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    if zlib.crc32(data) != told["crc"]:  # type: ignore[arg-type]
        raise IndexStateError(f"{path.name!r} is damaged: its checksum does not hold")
    ends = np.cumsum(sizes)
    parts = [data[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    return Postings(
        int(told["first"]),
        int(told["rows"]),
        parts[0].view(np.uint32),
        parts[1].copy().view(np.int64),
        parts[2].view(np.int32),
        parts[3].view(np.float32),
    )


def _sorted(
    first: int, rows: int, terms: NDArray[np.int64], places: NDArray[Any], weights: Vectors
) -> Postings:
    order = np.lexsort((places, terms))
    distinct, starts = np.unique(terms[order], return_index=True)
    return Postings(
        first,
        rows,
        distinct.astype(np.uint32),
        np.append(starts, len(terms)).astype(np.int64),
        places[order].astype(np.int32),
        weights[order],
    )

"""Unit vectors and a question's vector in, the nearest rows out: exactly, and the same every time.

FAISS's kernel finds candidates in the mapped file; their scores are then computed once more in
float64, so that neither the batch nor the place of a vector changes a hit. Knows no files.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import faiss as untyped_faiss
import numpy as np
from numpy.typing import NDArray

from ragstack.index.attributes import Bits, Rows
from ragstack.index.ranking import ranked
from ragstack.protocols import Vectors
from ragstack.types import Hit
from ragstack.vectors import products

__all__ = [
    "View",
    "best",
    "exact_search",
    "few_threads",
    "mapped",
    "packed",
    "threads",
    "write_at",
]

faiss: Any = untyped_faiss  # its stubs know the C++ signatures, not the Python ones

SPARE = 16  # candidates beyond k, so that ties at the end are seen
NOISE = 1e-5  # FAISS's float32 scores of unit vectors are nearer than this to the true ones
_ALONE = 1 << 27  # products of numbers: 350,000 vectors of 384 for one query


class View(NamedTuple):
    """What a search works on; nothing a writer does later changes it.

    Attributes:
        vectors: All rows, to be read from end to end.
        few: The same, to be read here and there.
    """

    vectors: Vectors
    few: Vectors
    ids: Sequence[str]
    passing: Bits


def exact_search(view: View, wanted: Vectors, k: int, count: int) -> list[list[Hit]]:
    """Return the best ``k`` of ``count`` passing rows for each vector, exactly."""
    bits = packed(view.passing, count)
    depth = min(count, k + SPARE)
    scores, rows = _candidates(view.vectors, wanted, depth, bits)
    found = []
    for place in range(len(wanted)):
        near, some, reach = scores[place], rows[place], depth
        # Only when the last candidate is clearly worse than the k-th can no tie stand behind it.
        while reach < count and near[k - 1] - near[-1] < NOISE:
            reach = min(count, 2 * reach)
            near, some = (
                each[0]
                for each in _candidates(view.vectors, wanted[place : place + 1], reach, bits)
            )
        found.append(best(view, wanted[place], some, k))
    return found


def best(view: View, wanted: Vectors, rows: Rows, k: int) -> list[Hit]:
    """Return hits of the best ``k`` of these rows, best first, ties by chunk id."""
    scores = (view.few[rows].astype(np.float64) * wanted).sum(axis=1)
    ids = [view.ids[row] for row in rows.tolist()]
    return ranked(zip(scores.tolist(), ids, strict=True), k)


def packed(passing: Bits, count: int) -> NDArray[np.uint8] | None:
    """Return the bits as FAISS's selector takes them; None where all ``count`` are set."""
    return None if count == len(passing) else np.packbits(passing, bitorder="little")


@contextmanager
def few_threads(products: int) -> Iterator[None]:
    """Search on one thread where it takes a few milliseconds at most.

    Threads that wait for one another cost 1.2 ms instead of 0.65 at 11,000 vectors on an idle
    machine, and 16 ms on a busy one.
    """
    with threads(None if products > _ALONE else 1):
        yield


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let FAISS use so many threads for what this thread asks of it; None changes nothing."""
    before = faiss.omp_get_max_threads()  # OpenMP keeps the number for each calling thread
    if count is not None:
        faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def mapped(path: Path, shape: tuple[int, int]) -> tuple[Vectors, Vectors]:
    """Return the rows in a file twice: to be read from end to end, and here and there.

    Where memory is short the system reads ahead of what is looked at. That is right for a walk over
    all; of rows here and there it threw out what the next query needed: with a million vectors in
    2 GB a search took 550 ms, and 40 without.
    """
    if not shape[0]:
        return np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    size = 4 * shape[0] * shape[1]
    with open(path, "rb") as file:
        maps = [mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) for _ in range(2)]
    maps[1].madvise(mmap.MADV_RANDOM)
    whole, few = (np.frombuffer(each, dtype=np.float32).reshape(shape) for each in maps)
    return whole, few


def write_at(file: int, values: NDArray[Any], *, at: int) -> None:
    """Write all bytes of an array at a place of a file."""
    data = memoryview(np.ascontiguousarray(values).view(np.uint8)).cast("B")  # type: ignore[arg-type]
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written


def _candidates(
    vectors: Vectors, wanted: Vectors, depth: int, bits: NDArray[np.uint8] | None
) -> tuple[Vectors, Rows]:
    """Return the ``depth`` nearest rows of each vector among those whose bit is set."""
    if len(wanted) == 1 and bits is None and vectors.size <= _ALONE:
        return _nearest(vectors, wanted[0], depth)
    scores = np.empty((len(wanted), depth), dtype=np.float32)
    rows = np.empty((len(wanted), depth), dtype=np.int64)
    with few_threads(len(wanted) * vectors.size):
        faiss.knn_inner_product(
            faiss.swig_ptr(wanted),
            faiss.cast_integer_to_float_ptr(vectors.ctypes.data),
            vectors.shape[1],
            len(wanted),
            len(vectors),
            depth,
            faiss.swig_ptr(scores),
            faiss.swig_ptr(rows),
            None if bits is None else faiss.IDSelectorBitmap(bits),
        )
    return scores, rows


def _nearest(vectors: Vectors, wanted: Vectors, depth: int) -> tuple[Vectors, Rows]:
    """Return the ``depth`` nearest rows of one vector."""
    scores = products(vectors, wanted)
    near = np.argpartition(scores, len(scores) - depth)[len(scores) - depth :]
    near = near[np.argsort(-scores[near])]
    return scores[near][np.newaxis], near[np.newaxis]

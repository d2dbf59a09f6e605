"""Unit vectors in, a structure out that names likely neighbours without looking at every vector.

It only proposes rows; who uses it computes their true scores. So it may be coarse (sign bits, 8-bit
numbers, product codes) or may not visit all rows (lists, graphs). Knows no chunks and no folders.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss as untyped_faiss
import numpy as np
from numpy.typing import NDArray

from ragstack.errors import IndexStateError
from ragstack.index.attributes import Rows
from ragstack.index.codes import Codes
from ragstack.index.exact import few_threads
from ragstack.protocols import Vectors
from ragstack.vectors import products

__all__ = ["RECIPES", "Measured", "Near", "Recipe", "build", "load", "measure"]

faiss: Any = untyped_faiss  # its stubs know the C++ signatures, not the Python ones

_BLOCK = 16_384  # rows added at once; between two the work can be called off
_TRAINING = 64  # vectors for each list; FAISS asks for 39 at least
_PQ_TRAINING = 65_536
_QUERIES = 64  # held vectors that are asked for when recall is measured
_SEED = 20_261_121
# From so many rows on, of so many numbers of a vector the sign is kept. FAISS has a loop of its own
# for 32 bytes: a million rows of 256 bits are walked in 5 ms, of 384 in 11. The 100 nearest may
# need twice the candidates, whose sifting takes 0.3 ms more.
_LARGE, _SIGNS = 50_000, 256
_AT = (10, 100)  # hits over which recall is measured; the second is what fusion asks for


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of structure.

    Attributes:
        factory: For ``faiss.index_factory``; ``{lists}`` and ``{codes}`` are filled in.
        visits: Its search looks at some of the rows only; a filter can starve it.
        row_bytes: Bytes it keeps for each row, by the length of a vector.
        efforts: What is tried, in order, until recall is reached: (lists or nodes visited,
            candidates for each hit).
        sifts: It proposes so many that eight-bit copies choose whose true vector is looked at.
    """

    factory: str
    visits: bool
    row_bytes: Mapping[str, float]
    efforts: tuple[tuple[int, int], ...]
    sifts: bool = False

    def memory(self, rows: int, dimensions: int) -> float:
        """Return the bytes it takes for so many vectors, at most."""
        return rows * (self.row_bytes.get("each", 0.0) + dimensions * self.row_bytes["number"])


_DEPTHS = ((0, 4), (0, 8), (0, 16), (0, 32), (0, 64))
_NODES = ((64, 4), (128, 4), (256, 4), (512, 4), (1024, 4))
_LISTS = ((8, 4), (16, 4), (32, 4), (64, 4), (128, 4), (256, 4))
_CODED = ((8, 8), (16, 16), (32, 16), (64, 32), (128, 32), (256, 64))

RECIPES: Mapping[str, Recipe] = {
    "flat_fp16": Recipe("SQfp16", False, {"number": 2}, _DEPTHS),
    "flat_sq8": Recipe("SQ8", False, {"number": 1}, _DEPTHS),
    "binary": Recipe("BFlat", False, {"number": 1 / 8}, _DEPTHS, sifts=True),
    "hnsw": Recipe("HNSW32,Flat", True, {"number": 4, "each": 272}, _NODES),
    "hnsw_sq8": Recipe("HNSW32,SQ8", True, {"number": 1, "each": 272}, _NODES),
    "ivf": Recipe("IVF{lists},Flat", True, {"number": 4, "each": 8}, _LISTS),
    "ivf_sq8": Recipe("IVF{lists},SQ8", True, {"number": 1, "each": 8}, _LISTS),
    "ivf_pq": Recipe(
        "IVF{lists},PQ{codes}np", True, {"number": 1 / 8, "each": 8}, _CODED, sifts=True
    ),
}
"""Every kind but the exact one. A flat PQ is none of them: FAISS filters nothing inside it.

``np`` is for no polysemous training: 14 s for 6,000 vectors, and nothing here uses it.
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out about a structure when it was built.

    Attributes:
        recall: Share of the true 10 nearest that it found with the chosen effort.
        recall_100: The same for 100.
        sample: Queries asked.
        reached: Whether both reached what was wanted.
    """

    recall: float
    recall_100: float
    sample: int
    reached: bool


@dataclass(frozen=True, slots=True)
class Near:
    """A structure over rows 0 … ``rows`` - 1. Safe to search from many threads.

    Attributes:
        codes: Eight-bit copies of all its rows, where its kind sifts by them.
    """

    kind: str
    index: Any
    effort: tuple[int, int]
    codes: Codes | None = None

    @property
    def rows(self) -> int:
        """How many rows it knows."""
        return int(self.index.ntotal)

    @property
    def whole(self) -> bool:
        """Whether it has the copies that its kind sifts by; those of older versions do not."""
        return self.codes is not None or not RECIPES[self.kind].sifts

    def depth(self, k: int) -> int:
        """Return how many candidates to ask for, to have the best ``k`` among them."""
        return max(25, k) * self.effort[1]

    def candidates(self, wanted: Vectors, depth: int, bits: NDArray[np.uint8] | None) -> Rows:
        """Return at most ``depth`` rows near one vector, of those whose bit is set."""
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        asked: Any = wanted[np.newaxis]
        if self.kind == "binary":
            asked = _signs(asked, self.index.d)
        with few_threads(0):
            _, rows = self.index.search(asked, depth, params=self._parameters(selector, depth))
        found: Rows = rows[0]
        return found[found >= 0]

    def sifted(self, wanted: Vectors, rows: Rows, k: int) -> Rows:
        """Return those of its candidates that can be among their best ``k``."""
        return rows if self.codes is None else self.codes.sifted(wanted, rows, k)

    def save(self, path: Path) -> None:
        """Write it to a file."""
        write = faiss.write_index_binary if self.kind == "binary" else faiss.write_index
        write(self.index, str(path))

    def _parameters(self, selector: Any, depth: int) -> Any:
        visited, _ = self.effort
        if self.kind.startswith("ivf"):
            return faiss.SearchParametersIVF(nprobe=visited, sel=selector)
        if self.kind.startswith("hnsw"):
            return faiss.SearchParametersHNSW(efSearch=max(visited, depth), sel=selector)
        return None if selector is None else faiss.SearchParameters(sel=selector)


def build(vectors: Vectors, kind: str, *, old: Near | None = None) -> Near:
    """Return a structure over all these vectors.

    Args:
        kind: A name in ``RECIPES``.
        old: One over the first of them, of the same kind, not mapped: it is added to.
    """
    recipe = RECIPES[kind]
    index = old.index if old else _empty(recipe, vectors)
    for start in range(int(index.ntotal), len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK])
        index.add(_signs(block, index.d) if kind == "binary" else block)
    return Near(kind, index, old.effort if old else recipe.efforts[0])


def load(path: Path, kind: str, effort: Sequence[int], *, mapped: bool = True) -> Near:
    """Return the structure in a file, its big arrays mapped where FAISS can.

    Raises:
        IndexStateError: The file cannot be read.
    """
    flags = faiss.IO_FLAG_MMAP_IFC if mapped and kind != "binary" else 0
    try:
        if kind == "binary":
            index = _counting(faiss.read_index_binary(str(path)))
        else:
            index = faiss.read_index(str(path), flags)
    except RuntimeError as error:  # the only one that FAISS raises
        raise IndexStateError(f"{path.name!r} cannot be read: {error}") from error
    visited, wider = effort
    return Near(kind, index, (int(visited), int(wider)))


def measure(
    near: Near, vectors: Vectors, alive: NDArray[np.bool_], *, target: float
) -> tuple[Near, Measured]:
    """Return the structure with the least effort that reaches a recall, and what it reaches.

    Asked are some of the vectors themselves, each without itself, and the truth is their exact
    neighbours among the living.
    """
    living = np.flatnonzero(alive[: near.rows])
    sample = np.random.default_rng(_SEED).permutation(living)[:_QUERIES]
    bits = None if len(living) == near.rows else np.packbits(alive[: near.rows], bitorder="little")
    at = [min(hits, max(len(living) - 1, 1)) for hits in _AT]
    truth = _truth(vectors[: near.rows], np.sort(sample), at[-1], bits)
    found = Measured(0.0, 0.0, 0, False)
    for effort in RECIPES[near.kind].efforts:
        near = replace(near, effort=effort)
        recalls = [_recall(near, vectors, truth, hits, bits) for hits in at]
        found = Measured(recalls[0], recalls[1], len(sample), min(recalls) >= target)
        if found.reached:
            break
    return near, found


def _empty(recipe: Recipe, vectors: Vectors) -> Any:
    rows, dimensions = vectors.shape
    if recipe.factory == "BFlat":
        bits = dimensions if rows < _LARGE else min(dimensions, _SIGNS)
        return _counting(faiss.IndexBinaryFlat(8 * math.ceil(bits / 8)))
    lists = _lists(rows)
    name = recipe.factory.format(lists=lists, codes=_codes(dimensions))
    index = faiss.index_factory(dimensions, name, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        enough = min(rows, max(_TRAINING * lists, _PQ_TRAINING))
        chosen = np.random.default_rng(_SEED).choice(rows, enough, replace=False)
        _quieten(index)
        index.train(np.ascontiguousarray(vectors[np.sort(chosen)]))
    return index


def _quieten(index: Any) -> None:
    """Keep FAISS from writing to stderr that a small base trains on few vectors."""
    for part in (index, *([index.pq] if hasattr(index, "pq") else [])):
        if hasattr(part, "cp"):
            part.cp.min_points_per_centroid = 1


def _lists(rows: int) -> int:
    """Return about 4 √n, a power of two, with enough vectors to train each (FAISS's advice)."""
    wanted = 4 * math.sqrt(max(rows, 1))
    return 1 << int(math.log2(max(1.0, min(wanted, rows / 39))))


def _codes(dimensions: int) -> int:
    """Return how many bytes a product code takes: the most that divide it, up to an eighth."""
    return max(n for n in range(1, max(1, dimensions // 8) + 1) if dimensions % n == 0)


def _counting(index: Any) -> Any:
    """Have FAISS sort candidates by counting: quicker, and of equals the first rows are taken."""
    index.use_heap = False
    return index


def _signs(vectors: Vectors, most: int) -> NDArray[np.uint8]:
    """Return a bit for each of the first ``most`` numbers: whether it is above 0."""
    return np.packbits(vectors[:, :most] > 0, axis=1)


def _truth(
    vectors: Vectors, sample: Rows, hits: int, bits: NDArray[np.uint8] | None
) -> Mapping[int, list[int]]:
    asked = np.ascontiguousarray(vectors[sample])
    scores = np.empty((len(sample), hits + 1), dtype=np.float32)
    rows = np.empty((len(sample), hits + 1), dtype=np.int64)
    if len(sample):
        faiss.knn_inner_product(
            faiss.swig_ptr(asked),
            faiss.cast_integer_to_float_ptr(vectors.ctypes.data),
            *(vectors.shape[1], len(sample), len(vectors), hits + 1),
            *(faiss.swig_ptr(scores), faiss.swig_ptr(rows)),
            None if bits is None else faiss.IDSelectorBitmap(bits),
        )
    return {
        int(own): [int(row) for row in some if row not in (own, -1)][:hits]
        for own, some in zip(sample, rows, strict=True)
    }


def _recall(
    near: Near,
    vectors: Vectors,
    truth: Mapping[int, list[int]],
    hits: int,
    bits: NDArray[np.uint8] | None,
) -> float:
    found = wanted = 0
    for own, right in truth.items():
        asked = np.asarray(vectors[own])
        rows = near.candidates(asked, min(near.depth(hits) + 1, near.rows), bits)
        rows = near.sifted(asked, rows[rows != own], hits)
        if not right or not len(rows):
            wanted += min(hits, len(right))
            continue
        # Equal vectors are as good as one another, so a place is won by its score.
        scores, worst = products(vectors[rows], asked), right[:hits][-1]
        least = float(products(vectors[worst : worst + 1], asked)[0]) - 1e-6
        found += min(hits, len(right), int(np.count_nonzero(scores >= least)))
        wanted += min(hits, len(right))
    return found / wanted if wanted else 1.0

"""Chunks in, nearest neighbours out: unit vectors in one flat file, and a structure over them.

The flat file is the truth. It is mapped into memory and not copied, so opening costs nothing and
readers share its pages. While it is small every vector is compared; above that a structure proposes
candidates, whose true scores then come from the file. Knows nothing of words.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragstack.errors import ConfigError, InputError
from ragstack.filters import Filter
from ragstack.index.attributes import Bits, Rows
from ragstack.index.builder import Goal, Published, Shelf
from ragstack.index.embedded import vectors_of
from ragstack.index.exact import (
    NOISE,
    SPARE,
    View,
    best,
    exact_search,
    mapped,
    packed,
    write_at,
)
from ragstack.index.folder import check_search
from ragstack.index.near import RECIPES, Near
from ragstack.index.rowed import RowedIndex
from ragstack.protocols import Embedder, Vectors
from ragstack.types import Chunk, Hit
from ragstack.vectors import products

__all__ = ["KINDS", "FaissIndex"]

_logger = logging.getLogger(__name__)

KINDS = ("auto", "flat", *RECIPES)
_BUILDS = ("background", "commit")
_BLOCK = 4_096  # rows copied at once
_APART = 1e-3  # of one number of a unit vector: more than a batch's rounding, less than a mistake

_AUTO = 5_000  # rows under which ``auto`` compares all; more take the encoder's place in the cache
_NAMED = 1_000  # rows under which a named kind builds nothing
_MANY = 3_000_000  # rows from which a walk over all sign bits takes longer than lists do
# New rows are compared one by one until the structure is brought up to date, which writes it anew:
# once they are more than these, and a share of all, or worth the bytes of an eighth of it.
_TAIL, _TAIL_SHARE, _TAIL_BYTES = 4_096, 0.02, 1 / 8
_FLOAT = 4  # bytes
_FEW = 2_000  # passing rows that are sooner compared than searched for
_DEEP = 8_192  # candidates from which on all are compared


class _Mapped(NamedTuple):
    """All rows of the file, twice: to be read from end to end, and here and there."""

    whole: Vectors
    few: Vectors


class FaissIndex(RowedIndex):
    """Implements ``protocols.Index`` over inner products of unit vectors: cosine, best 1.

    Args:
        folder: Where it keeps its files; made when first written to.
        embedder: Its fingerprint is recorded, and another one is refused.
        kind: ``flat`` compares every vector; ``binary``, ``flat_sq8``, ``flat_fp16`` look at a
            coarse copy of every vector first; ``ivf``, ``ivf_sq8``, ``ivf_pq``, ``hnsw`` and
            ``hnsw_sq8`` visit a part of them; ``auto`` chooses by size, memory and recall.
        recall: Share of the true 10 and 100 nearest that a structure is to find; when it is built
            it is given the least effort that finds so many.
        memory_mb: What ``auto`` may take for a structure, in 2**20 bytes.
        build: When a structure is built: in the ``background``, ``close`` waiting for it, or
            inside ``commit``.

    Raises:
        ConfigError: An option that cannot be used.
        EmbedderMismatch: The folder was built with another embedder.
        IndexStateError: Its files do not hold together; delete the folder, then build it anew.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        embedder: Embedder,
        kind: str = "auto",
        recall: float = 0.95,
        memory_mb: int = 1_024,
        build: str = "background",
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(f"no kind of vector index is {kind!r}; known: {', '.join(KINDS)}")
        if build not in _BUILDS:
            raise ConfigError(f"build is one of {', '.join(_BUILDS)}, got {build!r}")
        if not 0 < recall <= 1 or memory_mb < 1:
            raise ConfigError(
                f"recall lies above 0 and up to 1 and memory_mb is 1 or more, "
                f"got {recall!r} and {memory_mb!r}"
            )
        self._embedder = embedder
        self._kind, self._recall, self._memory, self._build = kind, recall, memory_mb << 20, build
        self._file: int | None = None
        self._shelf = Shelf(Path(folder))
        self._builder: threading.Thread | None = None
        super().__init__(folder, kind="faiss", fingerprint=embedder.fingerprint)

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Embed and index the chunks; one whose id is there is replaced."""
        fresh = list({chunk.id: chunk for chunk in chunks}.values())
        if not fresh:
            return
        vectors = self._checked(vectors_of(self._embedder, fresh), len(fresh))
        with self._guard:
            self._begin()
            if self._file is not None:
                write_at(self._file, vectors, at=self._rows.size * self._width)
            self._place(fresh)

    def search(
        self, queries: Sequence[str], *, k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return at most ``k`` hits for each query, best first, ties by chunk id."""
        check_search(queries, k)
        with self._guard:
            self._refresh()
            rows, near = self._mapped(), self._near()
            view = View(rows.whole, rows.few, self._rows.ids, self._rows.alive(where))
        count = int(np.count_nonzero(view.passing))
        if not queries or not k or not count:
            return [[] for _ in queries]
        wanted = self._checked(self._embedder.embed_queries(queries), len(queries))
        if near is None:
            return exact_search(view, wanted, min(k, count), count)
        return _near_search(view, near, wanted, min(k, count), count)

    def damaged(self, chunks: Sequence[Chunk]) -> list[str]:
        """Return those chunks whose vector here is not the one the embedder gives them."""
        with self._guard:
            self._refresh()
            held, vectors = dict(self._rows.held()), self._mapped().whole
        known = [chunk for chunk in chunks if chunk.id in held]
        if not known:
            return []
        right = self._checked(vectors_of(self._embedder, known), len(known))
        here = vectors[[held[chunk.id] for chunk in known]]
        apart = np.abs(here - right).max(axis=1)  # NaN, of damaged bytes, is apart too
        return [chunk.id for chunk, far in zip(known, apart, strict=True) if not far < _APART]

    def stats(self) -> Mapping[str, Any]:
        """Return what is there: rows, kind, and what the structure was measured to find."""
        with self._guard:
            self._refresh()
            found = self._published()
            told: dict[str, Any] = {
                "rows": len(self._rows),
                "kind": found.near.kind if found else "flat",
                "bytes": self._rows.size * self._width,
            }
            if found:
                told |= {
                    "covered": found.near.rows,
                    "effort": found.near.effort,
                    "recall@10": found.measured.recall,
                    "recall@100": found.measured.recall_100,
                    "build_seconds": found.seconds,
                }
            return told

    def settle(self) -> None:
        """Wait for the structure that is being built, if one is."""
        builder = self._builder
        if builder is not None and builder is not threading.current_thread():
            builder.join()

    def close(self) -> None:
        """Let go of files. What was not committed is lost; what is being built is waited for."""
        self.settle()
        super().close()

    @property
    def _width(self) -> int:
        return self._embedder.dimensions * 4

    @property
    def _data(self) -> Path:
        return self._data_of(self._generation)

    def _data_of(self, generation: int) -> Path:
        return self._folder.path / f"vectors-{generation}.f32"

    def _forget(self) -> None:
        self._vectors: _Mapped | None = None

    def _take(self, manifest: Mapping[str, Any]) -> None:
        if self._data.stat().st_size < int(manifest["rows"]) * int(manifest["dimensions"]) * 4:
            self._reset({})
            raise self._folder.broken("its file of vectors is too short")
        self._vectors = self._map()

    def _opened(self) -> None:
        self._file = os.open(self._data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, self._rows.size * self._width)

    def _stopped(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _flush(self) -> Mapping[str, Any]:
        if self._file is not None:
            os.fsync(self._file)
        return {"dimensions": self._embedder.dimensions}

    def _names(self) -> list[str]:
        return [self._data.name, *([] if self._kind == "flat" else self._shelf.names())]

    def _renumber(self, old: Rows, generation: int) -> None:
        vectors, path = self._mapped().whole, self._data_of(generation)
        path.unlink(missing_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        for start in range(0, len(old), _BLOCK):
            write_at(file, vectors[old[start : start + _BLOCK]], at=start * self._width)
        self._stopped()
        self._file, self._vectors = file, None

    def _mapped(self) -> _Mapped:
        if self._vectors is None or len(self._vectors.whole) != self._rows.size:
            self._vectors = self._map()
        return self._vectors

    def _map(self) -> _Mapped:
        return _Mapped(*mapped(self._data, (self._rows.size, self._embedder.dimensions)))

    def _checked(self, vectors: Vectors, count: int) -> Vectors:
        found = np.ascontiguousarray(vectors, dtype=np.float32)
        expected = (count, self._embedder.dimensions)
        if found.shape != expected or not np.isfinite(found).all():
            raise InputError(
                f"the embedder returned an array of shape {found.shape}, "
                f"expected finite numbers of shape {expected}"
            )
        return found

    def _published(self) -> Published | None:
        """Return the structure that covers the first rows as they are now, or None."""
        if self._kind == "flat":
            return None
        found = self._shelf.get()
        if (
            found is None
            or found.generation != self._generation
            or found.near.rows > self._rows.size
            or (self._kind != "auto" and found.near.kind != self._kind)
        ):
            return None
        return found

    def _near(self) -> Near | None:
        found = self._published()
        return found.near if found else None

    def _goal(self) -> Goal | None:
        """Return what is to be built now; None where what is there will do."""
        kinds = self._kinds(len(self._rows))
        if not kinds:
            return None
        found = self._published()
        if found is not None and found.wanted == kinds and found.near.whole:
            fresh = self._rows.size - found.near.rows
            if fresh <= max(_TAIL, self._many_new(found.near.kind)):
                return None
        return Goal(kinds, self._generation, self._recall)

    def _many_new(self, kind: str) -> float:
        """Return how many new rows are too many to be compared with every query."""
        rows, width = self._rows.size, self._embedder.dimensions
        written = RECIPES[kind].memory(rows, width)
        return min(_TAIL_SHARE * rows, _TAIL_BYTES * written / (width * _FLOAT))

    def _kinds(self, rows: int) -> tuple[str, ...]:
        if self._kind != "auto":
            return (self._kind,) if self._kind in RECIPES and rows >= _NAMED else ()
        if rows < _AUTO:
            return ()
        order = ("ivf_sq8", "ivf_pq", "binary") if rows >= _MANY else ("binary", "ivf_sq8")
        width = self._embedder.dimensions
        fit = tuple(k for k in order if RECIPES[k].memory(rows, width) <= self._memory)
        return fit or ("binary",)

    def _committed(self) -> None:
        if self._kind == "flat":
            return
        with self._guard:
            if self._builder is not None and self._builder.is_alive():
                return
            work = self._work()
            if work is None:
                return
            if self._build == "background":
                self._builder = threading.Thread(
                    target=self._construct, args=(work,), name="vectors", daemon=True
                )
                self._builder.start()
                return
        self._construct(work)

    def _work(self) -> tuple[Vectors, Bits, Goal] | None:
        """Return what is to be built of what is committed; None where there is nothing to do."""
        if self._closed:
            return None
        self._refresh()
        goal = None if self._folder.locked else self._goal()
        return None if goal is None else (self._mapped().whole, self._rows.alive(None), goal)

    def _construct(self, work: tuple[Vectors, Bits, Goal] | None) -> None:
        """Build until what is there will do; who searches and writes is not waited for."""
        while work is not None:
            try:
                if self._shelf.publish(*work) is None:
                    return
            except (OSError, MemoryError, RuntimeError) as error:
                # Derived: without it the search is exact, and slower.
                _logger.warning("no structure of vectors could be built: %s", error)
                return
            with self._guard:
                work = self._work()


def _near_search(view: View, near: Near, wanted: Vectors, k: int, count: int) -> list[list[Hit]]:
    """Return the best ``k`` of the candidates, and of the rows that came after the structure."""
    head, tail = view.passing[: near.rows], np.flatnonzero(view.passing[near.rows :]) + near.rows
    inside = count - len(tail)
    if inside <= max(_FEW, k) or len(tail) > inside:
        return exact_search(view, wanted, k, count)
    # A stretch of the file is multiplied where it lies; rows here and there are copied first.
    whole = len(tail) == len(view.vectors) - near.rows
    fresh = view.vectors[near.rows :] if whole else view.vectors[tail]
    bits = packed(head, inside)
    found = []
    for asked in wanted:  # one by one: what stands beside a query must not move its candidates
        proposed = _proposed(view, near, asked, (k, inside), bits)
        if proposed is None:
            (hits,) = exact_search(view, asked[np.newaxis], k, count)
        else:
            rows = np.concatenate([proposed.rows, tail])
            scores = np.concatenate([proposed.scores, products(fresh, asked)])
            hits = best(view, asked, _top(_Scored(rows, scores), k), k)
        found.append(hits)
    return found


class _Scored(NamedTuple):
    """Rows, and their scores by float32."""

    rows: Rows
    scores: Vectors


def _proposed(
    view: View, near: Near, asked: Vectors, sizes: tuple[int, int], bits: NDArray[np.uint8] | None
) -> _Scored | None:
    """Return candidates among the structure's rows; None where all must be compared.

    That is where fewer come back than were asked for though more would pass (a filter far from the
    query starves what visits a part only), and where equals fill the list to its end.
    """
    k, inside = sizes
    depth = near.depth(k)
    while depth < min(_DEEP, inside):
        rows = near.candidates(asked, depth, bits)
        if len(rows) < depth:
            return None
        some = near.sifted(asked, rows, k)
        scores = products(view.few[some], asked)
        # What was sifted out is worse than the k-th; else the worst must be, of all.
        if len(some) < len(rows) or np.partition(scores, -k)[-k] - scores.min() >= NOISE:
            return _Scored(some, scores)
        depth *= 4
    return None


def _top(among: _Scored, k: int) -> Rows:
    """Return the rows that can be among the best ``k``, equals at the end included."""
    rows, scores = among
    if len(rows) <= k + SPARE:
        return rows
    least = np.partition(scores, -k)[-k]
    found: Rows = rows[scores >= least - NOISE]
    return found

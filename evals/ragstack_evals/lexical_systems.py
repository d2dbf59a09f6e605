"""A lexical system in a process of its own: built, asked, changed, each timed there.

Texts are made up, the same for every system: words by Zipf's law with exponent 1 over 200,000, of
which a text of n words meets about as many as one of a language does; lengths are lognormal around
110 words. Queries are 2 to 7 words of one text, without the 100 most frequent words: those would be
stop words. Terms are cut by ragstack's own analysis for all, so that the indexes are compared.
"""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import bm25s
import numpy as np
import rank_bm25

from ragstack import registry
from ragstack.index.analysis import Analysis
from ragstack.types import Chunk

__all__ = ["SYSTEMS", "queries_of", "serve", "texts_of"]

SYSTEMS = ("bm25", "tantivy", "bm25s", "rank_bm25")

_VOCABULARY = 200_000
_FREQUENT = 100
_BATCH = 1_000
_COMMIT = 20_000  # chunks between two commits, as a large ingest does
_K = 10


def texts_of(count: int, seed: int) -> Iterator[list[Chunk]]:
    """Yield so many made-up chunks, in batches."""
    dice = np.random.default_rng(seed)
    words, heaped = _words(), _heaped()
    for start in range(0, count, _BATCH):
        few = min(_BATCH, count - start)
        lengths = np.clip(dice.lognormal(4.6, 0.45, few), 8, 600).astype(int)
        ranks = np.searchsorted(heaped, dice.random(int(lengths.sum())))
        drawn = iter([words[rank] for rank in ranks.tolist()])
        texts = [" ".join(itertools.islice(drawn, length)) for length in lengths.tolist()]
        yield [
            Chunk(f"{seed}-{start + n:08}", "00000000", 0, len(text), text)
            for n, text in enumerate(texts)
        ]


def queries_of(count: int, seed: int) -> list[str]:
    """Return so many questions."""
    dice = np.random.default_rng(seed + 1_000)
    frequent = set(_words()[:_FREQUENT])
    found: list[str] = []
    for chunk in itertools.chain.from_iterable(texts_of(2 * count, seed + 1_000)):
        rare = [word for word in dict.fromkeys(chunk.text.split()) if word not in frequent]
        if len(rare) >= 2 and len(found) < count:
            size = int(dice.integers(2, 8))
            found.append(" ".join(dice.permutation(rare)[:size].tolist()))
    return found


def serve(name: str, folder: Path, sizes: tuple[int, int], pipe: Connection) -> None:
    """Build a system, say how long that took, then do what is asked until nothing more is.

    Args:
        sizes: Chunks, and the seed that makes them.
        pipe: Takes ``(what, argument)``; gives seconds on the clock, seconds of work, and for a
            query the ids found.
    """
    system, count, (size, seed) = _made(name, folder), 0, sizes
    spent = worked = 0.0
    for chunks in texts_of(size, seed):
        begun, begun_work = time.perf_counter(), time.process_time()
        system.add(chunks)
        count += len(chunks)
        if count % _COMMIT == 0 or count == size:
            system.commit(count)
        spent += time.perf_counter() - begun
        worked += time.process_time() - begun_work
    begun, begun_work = time.perf_counter(), time.process_time()
    system.search(["warm"], k=1)
    spent += time.perf_counter() - begun
    pipe.send((spent, worked + time.process_time() - begun_work, []))
    more = list(itertools.chain.from_iterable(texts_of(100, seed + 1)))
    while (asked := pipe.recv()) is not None:
        what, argument = asked
        ids: list[str] = []
        begun, begun_work = time.perf_counter(), time.process_time()
        if what == "query":
            ids = [hit.chunk_id for hit in system.search([argument], k=_K)[0]]
        elif what == "memory":
            unit = 1 if sys.platform == "darwin" else 1_024
            pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, 0.0, []))
            continue
        else:
            count += 1
            if what == "add":
                system.add(more)
            else:
                system.delete([chunk.id for chunk in more])
            system.commit(count)
            system.search([argument], k=_K)  # what was changed is seen
        pipe.send((time.perf_counter() - begun, time.process_time() - begun_work, ids))
    system.close()


class _System(Protocol):
    def add(self, chunks: Sequence[Chunk]) -> None: ...
    def delete(self, chunk_ids: Sequence[str]) -> None: ...
    def commit(self, position: int) -> None: ...
    def search(self, queries: Sequence[str], *, k: int) -> list[list[Any]]: ...
    def close(self) -> None: ...


def _made(name: str, folder: Path) -> _System:
    if name in ("bm25", "tantivy"):
        found: _System = registry.create(
            "indexes", name, {"languages": ["en"]}, folder=folder / name
        )
        return found
    return _Rebuilt(name)


class _Found:
    def __init__(self, chunk_id: str) -> None:
        self.chunk_id = chunk_id


class _Rebuilt:
    """bm25s or rank_bm25 as their own pages use them: all terms in memory, built anew."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._analysis = Analysis(("en",))
        self._terms: dict[str, list[str]] = {}
        self._ids: list[str] = []
        self._made: Any = None

    def add(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._terms[chunk.id] = self._analysis.terms(chunk.text, "en")
        self._made = None

    def delete(self, chunk_ids: Sequence[str]) -> None:
        for chunk_id in chunk_ids:
            self._terms.pop(chunk_id, None)
        self._made = None

    def commit(self, position: int) -> None:
        """Nothing is kept."""

    def search(self, queries: Sequence[str], *, k: int) -> list[list[Any]]:
        if self._made is None:
            self._build()
        return [self._search(query, k) for query in queries]

    def close(self) -> None:
        self._made = None

    def _build(self) -> None:
        texts = list(self._terms.values())
        self._ids = list(self._terms)
        if self._name == "rank_bm25":
            self._made = rank_bm25.BM25Okapi(texts)
            return
        self._made = bm25s.BM25(k1=1.2, b=0.75, backend="numpy")
        self._made.index(texts, show_progress=False)

    def _search(self, query: str, k: int) -> list[_Found]:
        terms = [term for word in self._analysis.words(query, ["en"]) for term in word]
        if self._name == "rank_bm25":
            scores = self._made.get_scores(terms)
            near = np.argpartition(scores, -k)[-k:]
            return [_Found(self._ids[n]) for n in near[np.argsort(-scores[near])].tolist()]
        found, _ = self._made.retrieve([terms], k=k, show_progress=False)
        return [_Found(self._ids[n]) for n in found[0].tolist()]


@cache
def _words() -> list[str]:
    letters = "etaoinshrdlucmfwypvbgk"
    dice = np.random.default_rng(7)
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        drawn = "".join(letters[n] for n in dice.integers(0, len(letters), 60_000).tolist())
        sizes = dice.integers(3, 10, 6_000).tolist()
        words.update((drawn[10 * n : 10 * n + size], None) for n, size in enumerate(sizes))
    return list(words)[:_VOCABULARY]


@cache
def _heaped() -> np.ndarray[Any, Any]:
    shares = 1.0 / np.arange(1, _VOCABULARY + 1)
    heaped: np.ndarray[Any, Any] = np.cumsum(shares) / shares.sum()
    heaped[-1] = 1.0
    return heaped

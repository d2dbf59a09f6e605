"""What a bench times: ingest, one query at a time, cold starts, a stack by hand beside ours."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragstack import registry
from ragstack.embedding.cache import CachedEmbedder
from ragstack.errors import MissingExtra, ModelError, RagstackError
from ragstack.protocols import Embedder, Vectors
from ragstack_evals.baseline import HandMade
from ragstack_evals.bench_corpus import Corpus
from ragstack_evals.retrieval_base import build_base

__all__ = [
    "ColdStart",
    "PretendEmbedder",
    "Timing",
    "cold_start",
    "fill_cache",
    "hand_made",
    "ingest_by_hand",
    "ingest_rate",
    "time_queries",
    "torch_embedder",
]

_K = 10
_TURN = 25  # queries that a system answers in a row
_STARTS = 7


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of many runs."""

    p50: float
    p95: float
    n: int

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Timing:
        """Return the quantiles of some runs."""
        low, high = np.quantile(milliseconds, [0.5, 0.95])
        return cls(float(low), float(high), len(milliseconds))


@dataclass(frozen=True, slots=True)
class ColdStart:
    """New processes, start to exit.

    Attributes:
        wall: What a person waits.
        cpu: What they worked, all cores together: tells a slow start from a busy machine.
    """

    wall: Timing
    cpu: Timing


class PretendEmbedder:
    """Documents get random unit vectors, the same for the same text; queries get real ones.

    It goes by the real one's fingerprint, so that a base made with it opens as any other. The speed
    of a search does not depend on what vectors mean; quality does, so none is measured with it.
    """

    def __init__(self, real: Embedder) -> None:
        self._real = real

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._real.dimensions

    @property
    def fingerprint(self) -> str:
        """The real embedder's."""
        return self._real.fingerprint

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return a unit row for each text, drawn with the text's hash as the seed."""
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for number, text in enumerate(texts):
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
            random = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            rows[number] = random.standard_normal(self.dimensions, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the real vectors of the questions."""
        return self._real.embed_queries(texts)


def fill_cache(corpus: Corpus, folder: Path, embedder: Embedder) -> None:
    """Put pretended vectors of the texts where a base in this folder looks for real ones."""
    folder.mkdir(parents=True, exist_ok=True)
    cache = CachedEmbedder(PretendEmbedder(embedder), folder / "embeddings.sqlite")
    try:
        cache.embed_documents([document.text for document in corpus.collection.documents])
    finally:
        cache.close()


def ingest_rate(corpus: Corpus, folder: Path) -> float:
    """Return the documents a second that ragstack reads, cuts, stores, embeds and indexes."""
    base = build_base(corpus.collection, folder, form="document")
    base.stack.close()
    if base.failed:
        raise RagstackError(f"{len(base.failed)} documents failed, first: {base.failed[0]}")
    return len(corpus.collection.documents) / base.seconds


def ingest_by_hand(corpus: Corpus, embedder: Embedder) -> float:
    """Return the documents a second that the hand-made stack takes in: embedded, indexed."""
    texts = [document.text for document in corpus.collection.documents]
    begun = time.perf_counter()
    hand_made(corpus, embedder.embed_documents(texts), embedder)
    return len(texts) / (time.perf_counter() - begun)


def hand_made(corpus: Corpus, vectors: Vectors, embedder: Embedder) -> HandMade:
    """Return the hand-made stack over a corpus, its queries embedded by this embedder."""
    documents = corpus.collection.documents
    return HandMade(
        [document.id for document in documents],
        [document.text for document in documents],
        vectors,
        embed_query=lambda query: embedder.embed_queries([query])[0],
    )


def time_queries(
    systems: Mapping[str, Callable[[str, int], object]], queries: Sequence[str]
) -> dict[str, Timing]:
    """Return how long each system takes for one query, the systems in turns of some queries.

    In turns, because a machine that others use is not equally fast all the time: a slow minute then
    falls on all of them. Of some queries, because a system would pay for the one before it, whose
    OpenBLAS and OpenMP keep a core busy for a while, and which used the processor's cache. Three
    queries before each turn warm up and are not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in systems}
    for start in range(0, len(queries), _TURN):
        for name, search in systems.items():
            for query in queries[:3]:
                search(query, _K)
            for query in queries[start : start + _TURN]:
                begun = time.perf_counter()
                search(query, _K)
                times[name].append((time.perf_counter() - begun) * 1_000.0)
    return {name: Timing.of(found) for name, found in times.items()}


def cold_start(arguments: Sequence[str], *, settings: Mapping[str, str] | None = None) -> ColdStart:
    """Return how long a new Python takes for ``python ARGUMENTS``, start to exit.

    Raises:
        RagstackError: The program failed; the message has its last words.
    """
    wall, cpu = [], []
    environment = {**os.environ, **(settings or {})}
    for _ in range(_STARTS):
        begun, worked = time.perf_counter(), _worked()
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, env=environment, check=False
        )
        wall.append((time.perf_counter() - begun) * 1_000.0)
        cpu.append((_worked() - worked) * 1_000.0)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise RagstackError(f"{' '.join(arguments)!r} ended with {done.returncode}: {said}")
    return ColdStart(Timing.of(wall), Timing.of(cpu))


def torch_embedder(model: str) -> tuple[Embedder | None, str]:
    """Return the torch embedder, or None and why there is none."""
    try:
        options = {"model": model, "device": "cpu"}
        found: Embedder = registry.create("embedders", "sentence_transformers", options)
    except (MissingExtra, ModelError) as error:
        return None, error.message
    return found, ""


def _worked() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

"""Sizes in, what growing costs out: each size built in one process and searched in another.

Text is made up: words drawn by Zipf's law from a vocabulary that grows with the texts (Heaps' law),
and vectors lie in clusters, which ones says a hash of the text. So lists of postings are as long as
real ones, and nothing here says how well anything is found.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ragstack import registry
from ragstack.config import load
from ragstack.embedding.inputs import checked
from ragstack.errors import RagstackError
from ragstack.index.faiss import FaissIndex
from ragstack.index.hybrid import HybridIndex
from ragstack.protocols import Embedder, Index, Vectors
from ragstack.types import Chunk
from ragstack_evals.made_up import Clusters
from ragstack_evals.report import table
from ragstack_evals.rivals.player import peak_bytes

__all__ = [
    "SIZES",
    "HashedVectors",
    "ask_size",
    "build_size",
    "grow",
    "made_up_chunks",
    "show_growth",
]

SIZES = (10_000, 100_000, 1_000_000)
_WORDS = 60  # a chunk of made-up text; real ones have 100 to 250 words, many of them repeated
_VOCABULARY = 400_000
_BATCH = 5_000
_QUERIES = 200
_DIMENSIONS = 384
_LONGEST_S = 6 * 3600.0


class HashedVectors:
    """An Embedder of made-up vectors, the same for the same text.

    Attributes:
        reader: Embeds each question as well, for the time that a real one takes.
    """

    dimensions = _DIMENSIONS
    fingerprint = "hashed-vectors:2"

    def __init__(self) -> None:
        self._clusters = Clusters(_DIMENSIONS)
        self.reader: Embedder | None = None

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text."""
        digests = (hashlib.sha256(text.encode()).digest() for text in checked(texts))
        seeds = (int.from_bytes(digest[:8], "little") for digest in digests)
        rows = [self._clusters.drawn(np.random.default_rng(seed), 1) for seed in seeds]
        return np.concatenate(rows) if rows else np.empty((0, _DIMENSIONS), np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question."""
        if self.reader:
            self.reader.embed_queries(texts)
        return self.embed_documents(texts)


@dataclass(frozen=True, slots=True)
class _Words:
    """A vocabulary and how often each word of it comes."""

    words: Sequence[str]
    bounds: np.ndarray[Any, Any]

    def drawn(self, dice: np.random.Generator, count: int) -> list[str]:
        found = np.searchsorted(self.bounds, dice.random(count) * self.bounds[-1])
        return [self.words[number] for number in found]


def made_up_chunks(size: int, *, seed: int = 0) -> Iterator[list[Chunk]]:
    """Yield chunks in batches; the same seed gives the same ones, a larger size goes on."""
    dice, words = np.random.default_rng(seed), _vocabulary()
    for start in range(0, size, _BATCH):
        count = min(_BATCH, size - start)
        drawn = words.drawn(dice, count * _WORDS)
        yield [
            _chunk(start + n, " ".join(drawn[n * _WORDS : (n + 1) * _WORDS])) for n in range(count)
        ]


def grow(
    sizes: Sequence[int], folder: Path, say: Callable[[str], object]
) -> dict[str, dict[str, Any]]:
    """Return what each size costs, by size; a size that fails is told and left out.

    Args:
        folder: Indexes are built in here, and removed when they are measured.
    """
    found: dict[str, dict[str, Any]] = {}
    for size in sizes:
        say(f"growth: {size:,} chunks")
        place = folder / f"growth-{size}"
        shutil.rmtree(place, ignore_errors=True)  # what a run left that was broken off
        place.mkdir(parents=True)
        try:
            found[str(size)] = {
                **_in_process("build", size, place),
                **_in_process("ask", size, place),
            }
        except RagstackError as error:
            found[str(size)] = {"failed": error.message}
        shutil.rmtree(place, ignore_errors=True)
    return found


def _in_process(what: str, size: int, place: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "ragstack_evals.growth", what, str(size), str(place)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=_LONGEST_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RagstackError(done.stderr.strip()[-300:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def build_size(size: int, folder: Path) -> dict[str, Any]:
    """Return the seconds it takes to build each index, and the bytes; they are left in the folder.

    What indexes build behind their writers' backs is waited for, and counted.
    """
    indexes = _indexes(folder, HashedVectors())
    seconds = dict.fromkeys(indexes, 0.0)
    for number, chunks in enumerate(made_up_chunks(size), start=1):
        for slot, index in indexes.items():
            begun = time.perf_counter()
            index.add(chunks)
            index.commit(number)
            seconds[slot] += time.perf_counter() - begun
    for slot, index in indexes.items():
        begun = time.perf_counter()
        if isinstance(index, FaissIndex):
            index.settle()
        index.close()
        seconds[slot] += time.perf_counter() - begun
    return {
        "build_s": seconds,
        "build_peak": peak_bytes(),
        "bytes_on_disk": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    }


def ask_size(folder: Path, reader: Embedder | None = None) -> dict[str, Any]:
    """Return the milliseconds of questions to the indexes in a folder, and the memory they take.

    Args:
        reader: Embeds the questions in a last pass, so that the whole way of one is timed.
    """
    before = peak_bytes()
    vectors = HashedVectors()
    indexes = _indexes(folder, vectors)
    times = _timed(indexes, _queries())
    if reader:
        vectors.reader = reader
        times |= {"question": _asked(partial(HybridIndex(indexes).search, k=10), _queries())}
    found = {
        "bytes_before": before,
        "bytes_peak": peak_bytes(),
        "indexes": {slot: plugin.use for slot, plugin in load(folder).index.items()},
        "queries": {name: _quantiles(values) for name, values in times.items()},
    }
    for index in indexes.values():
        index.close()
    return found


def _indexes(folder: Path, embedder: Embedder) -> dict[str, Index]:
    return {
        slot: registry.create(
            "indexes", plugin.use, plugin.options, folder=folder / slot, embedder=embedder
        )
        for slot, plugin in load(folder).index.items()
    }


def show_growth(found: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Print one row for each size."""
    slots = next((list(row["indexes"]) for row in found.values() if "indexes" in row), [])
    columns = ["chunks", "build, chunks/s"]
    columns += [f"{slot} p50 ms" for slot in slots]
    columns += ["both p50 ms", "both p95 ms", "embedded too p50 ms"]
    columns += ["asking, peak MB", "building", "disk MB"]
    rows = []
    for size, row in found.items():
        if "failed" in row:
            console.print(f"  {size} chunks: {row['failed']}", markup=False, soft_wrap=True)
            continue
        times = row["queries"]
        cells = [f"{int(size):,}", f"{int(size) / sum(row['build_s'].values()):,.0f}"]
        cells += [f"{times[slot]['p50']:.1f}" for slot in slots]
        cells += [f"{times['both']['p50']:.1f}", f"{times['both']['p95']:.1f}"]
        cells.append(f"{times['question']['p50']:.1f}" if "question" in times else "")
        cells += [f"{row[key] / 1e6:,.0f}" for key in ("bytes_peak", "build_peak", "bytes_on_disk")]
        rows.append(cells)
    title = "growth: made-up text by Zipf's law, vectors in clusters; nothing on quality"
    console.print(table(title, columns, rows))


def _timed(indexes: Mapping[str, Index], queries: Sequence[str]) -> dict[str, list[float]]:
    ways: dict[str, Callable[..., object]] = {
        slot: partial(index.search, k=100) for slot, index in indexes.items()
    }
    ways["both"] = partial(HybridIndex(indexes).search, k=10)  # 100 of each, side by side, fused
    # A pass each: what was just asked is quicker.
    return {name: _asked(search, queries) for name, search in ways.items()}


def _asked(search: Callable[[Sequence[str]], object], queries: Sequence[str]) -> list[float]:
    times: list[float] = []
    for query in [*queries[:3], *queries]:  # the first three warm up
        begun = time.perf_counter()
        search([query])
        times.append((time.perf_counter() - begun) * 1_000.0)
    return times[3:]


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    low, high = np.quantile(values, [0.5, 0.95])
    return {"p50": float(low), "p95": float(high)}


def _queries() -> list[str]:
    dice, words = np.random.default_rng(1), _vocabulary()
    return [" ".join(words.drawn(dice, int(dice.integers(4, 12)))) for _ in range(_QUERIES)]


def _vocabulary() -> _Words:
    letters = np.array(list("etaoinshrdlucmfw"))
    dice = np.random.default_rng(2)
    lengths = dice.integers(3, 11, _VOCABULARY)
    drawn = "".join(letters[dice.integers(0, len(letters), int(lengths.sum()))])
    ends = np.cumsum(lengths)
    words = [drawn[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    # Zipf's law as Mandelbrot has it: the first words are not quite as frequent as 1/rank says.
    return _Words(words, np.cumsum(1.0 / (np.arange(_VOCABULARY) + 2.7)))


def _chunk(number: int, text: str) -> Chunk:
    name = f"d{number:07d}"
    return Chunk(document_id=name, version="00000000", start=0, end=len(text), text=text)


def main() -> None:
    """Build or ask one size, and print what it took as one line of JSON."""
    what, size, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    try:
        if what == "build":
            found = build_size(size, folder)
        else:
            found = ask_size(folder, registry.create("embedders", "onnx", {}))
    except RagstackError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

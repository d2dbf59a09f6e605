"""Sizes in, what growing costs out: each size built and searched in a process of its own.

Text is made up: words drawn by Zipf's law from a vocabulary that grows with the texts (Heaps' law),
and vectors are random unit vectors that hash from the text. So lists of postings are as long as
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
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ragstack import registry
from ragstack.config import Config, load
from ragstack.embedding.inputs import checked
from ragstack.errors import RagstackError
from ragstack.protocols import Index, Vectors
from ragstack.types import Chunk
from ragstack_evals.report import table
from ragstack_evals.rivals.player import peak_bytes

__all__ = ["SIZES", "HashedVectors", "grow", "made_up_chunks", "measure_size", "show_growth"]

SIZES = (10_000, 100_000, 1_000_000)
_WORDS = 60  # a chunk of made-up text; real ones have 100 to 250 words, many of them repeated
_VOCABULARY = 400_000
_BATCH = 5_000
_QUERIES = 200
_DIMENSIONS = 384
_LONGEST_S = 6 * 3600.0


class HashedVectors:
    """An Embedder of random unit vectors, the same for the same text."""

    dimensions = _DIMENSIONS
    fingerprint = "hashed-vectors"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each text."""
        texts = checked(texts)
        rows = np.empty((len(texts), _DIMENSIONS), dtype=np.float32)
        for number, text in enumerate(texts):
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
            rows[number] = np.random.default_rng(seed).standard_normal(_DIMENSIONS, np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row for each question."""
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
        command = [sys.executable, "-m", "ragstack_evals.growth", str(size), str(place)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_LONGEST_S, check=False,
        )  # fmt: skip
        shutil.rmtree(place, ignore_errors=True)
        if done.returncode:
            found[str(size)] = {"failed": done.stderr.strip()[-300:]}
            continue
        found[str(size)] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_size(size: int, folder: Path) -> dict[str, Any]:
    """Return what one size costs in this process: seconds, bytes and milliseconds by index."""
    config: Config = load(folder)
    before = peak_bytes()
    indexes: dict[str, Index] = {
        slot: registry.create(
            "indexes", plugin.use, plugin.options, folder=folder / slot, embedder=HashedVectors()
        )
        for slot, plugin in config.index.items()
    }
    seconds = dict.fromkeys(indexes, 0.0)
    for number, chunks in enumerate(made_up_chunks(size), start=1):
        for slot, index in indexes.items():
            begun = time.perf_counter()
            index.add(chunks)
            index.commit(number)
            seconds[slot] += time.perf_counter() - begun
    times = _timed(indexes, _queries())
    found = {
        "build_s": seconds,
        "bytes_before": before,
        "bytes_peak": peak_bytes(),
        "bytes_on_disk": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "indexes": {slot: plugin.use for slot, plugin in config.index.items()},
        "queries": {name: _quantiles(values) for name, values in times.items()},
    }
    for index in indexes.values():
        index.close()
    return found


def show_growth(found: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Print one row for each size."""
    slots = next((list(row["indexes"]) for row in found.values() if "indexes" in row), [])
    columns = ["chunks", "build, chunks/s"]
    columns += [f"{slot} p50 ms" for slot in slots]
    columns += ["both p50 ms", "both p95 ms", "peak MB", "disk MB"]
    rows = []
    for size, row in found.items():
        if "failed" in row:
            console.print(f"  {size} chunks: {row['failed']}", markup=False, soft_wrap=True)
            continue
        times = row["queries"]
        cells = [f"{int(size):,}", f"{int(size) / sum(row['build_s'].values()):,.0f}"]
        cells += [f"{times[slot]['p50']:.1f}" for slot in slots]
        cells += [f"{times['both']['p50']:.1f}", f"{times['both']['p95']:.1f}"]
        cells += [f"{row['bytes_peak'] / 1e6:,.0f}", f"{row['bytes_on_disk'] / 1e6:,.0f}"]
        rows.append(cells)
    title = "growth: made-up text by Zipf's law, random unit vectors; nothing on quality"
    console.print(table(title, columns, rows))


def _timed(indexes: Mapping[str, Index], queries: Sequence[str]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {slot: [] for slot in indexes}
    times["both"] = []
    for query in [*queries[:3], *queries]:  # the first three warm up
        both = 0.0
        for slot, index in indexes.items():
            begun = time.perf_counter()
            index.search([query], k=100)
            took = (time.perf_counter() - begun) * 1_000.0
            times[slot].append(took)
            both += took
        times["both"].append(both)
    return {name: values[3:] for name, values in times.items()}


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
    """Measure one size and print it as one line of JSON."""
    size, folder = int(sys.argv[1]), Path(sys.argv[2])
    try:
        found = measure_size(size, folder)
    except RagstackError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

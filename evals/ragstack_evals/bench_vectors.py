"""Kinds of vector index side by side: time to build, recall@10, milliseconds a query, megabytes.

``cpu``, ``filtered`` (one row in ten passes) and ``k=100`` are milliseconds of processor time,
which a busy machine does not change; ``p50`` and ``p95`` are what a clock says.

The vectors are made up (``made_up.Clusters``).
Run: ``python -m ragstack_evals.bench_vectors --rows 100000 flat binary ivf_sq8``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from ragstack.filters import Compare, Filter
from ragstack.index.faiss import KINDS, FaissIndex
from ragstack.protocols import Vectors
from ragstack.types import Chunk
from ragstack_evals.made_up import Clusters

__all__ = ["Clustered", "main", "truth_of"]

_BLOCK = 10_000  # vectors made at once; a block is always the same
_QUERIES = 100
_K = 10


class Clustered:
    """An embedder: the vector of "7" is the seventh of a made-up base, of "q7" one that no row has.

    Args:
        rows: How many there are.
        dimensions: Length of a vector.
    """

    def __init__(self, rows: int, dimensions: int = 384) -> None:
        self.rows, self.dimensions = rows, dimensions
        self.fingerprint = f"clustered:{dimensions}"
        self._clusters = Clusters(dimensions)

    def block(self, number: int) -> Vectors:
        """Return the vectors of one block, unit rows."""
        return self._clusters.drawn(np.random.default_rng([2, number]), _BLOCK)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return the rows of consecutive numbers within one block."""
        first = int(texts[0])
        start = first % _BLOCK
        return self.block(first // _BLOCK)[start : start + len(texts)]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return vectors of the same clusters that no row has, each by its number."""
        dice = (np.random.default_rng([3, int(text[1:])]) for text in texts)
        return np.concatenate([self._clusters.drawn(each, 1) for each in dice])


class _Given:
    """The same base, with the questions' vectors made beforehand: nothing else is timed."""

    def __init__(self, embedder: Clustered, asked: Sequence[str]) -> None:
        self.dimensions, self.fingerprint = embedder.dimensions, embedder.fingerprint
        self.embed_documents = embedder.embed_documents
        self._held = dict(zip(asked, embedder.embed_queries(asked), strict=True))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors made beforehand."""
        return np.stack([self._held[text] for text in texts])


def truth_of(embedder: Clustered, asked: Sequence[str], k: int) -> list[set[str]]:
    """Return the ids of the true nearest rows of each question, block by block."""
    wanted = embedder.embed_queries(asked)
    scores = np.full((len(asked), k), -2, dtype=np.float32)
    rows = np.zeros((len(asked), k), dtype=np.int64)
    for start in range(0, embedder.rows, _BLOCK):
        block = embedder.block(start // _BLOCK)[: embedder.rows - start]
        scores = np.concatenate([scores, wanted @ block.T], axis=1)
        rows = np.concatenate(
            [rows, np.broadcast_to(np.arange(start, start + len(block)), (len(asked), len(block)))],
            axis=1,
        )
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        scores, rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
    return [{_chunk(int(row)).id for row in some} for some in rows]


def main() -> None:
    """Run what the command line names; each kind is searched in a process of its own."""
    console = Console(highlight=False, soft_wrap=True)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["flat", "auto"], help=", ".join(KINDS))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep the base here, or use the one there")
    parser.add_argument("--search", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        sys.stdout.write(json.dumps(_searched(options.folder, options.search, options.rows)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "base"
        fill = _fill(folder, options.rows)
        console.print(f"{options.rows} vectors written in {fill:.1f} s")
        console.print(
            "kind | chosen | build s | recall@10 | p50 ms | p95 | cpu | filtered | k=100 | MB"
        )
        for kind in options.kinds:
            seconds = _build(folder, kind, options.rows)
            found = _in_a_process(folder, kind, options.rows)
            times = [found[name] for name in ("p50", "p95", "cpu", "filtered", "hundred")]
            console.print(
                f"{kind} | {found['chosen']} | {seconds:.1f} | {found['recall']:.3f} | "
                + " | ".join(f"{each:.2f}" for each in times)
                + f" | {found['megabytes']:.0f}"
            )


def _fill(folder: Path, rows: int) -> float:
    began = time.perf_counter()
    index = FaissIndex(folder, embedder=Clustered(rows), kind="flat")
    for start in range(len(index), rows, _BLOCK):
        index.add([_chunk(row) for row in range(start, min(start + _BLOCK, rows))])
    index.commit(1)
    index.close()
    return time.perf_counter() - began


def _build(folder: Path, kind: str, rows: int) -> float:
    began = time.perf_counter()
    index = FaissIndex(folder, embedder=Clustered(rows), kind=kind, build="commit")
    index.commit(1)
    index.close()
    return time.perf_counter() - began


def _in_a_process(folder: Path, kind: str, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", __spec__.name, "--search", kind]
    command += ["--folder", str(folder), "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _searched(folder: Path, kind: str, rows: int) -> dict[str, object]:
    asked = [f"q{number}" for number in range(_QUERIES)]
    clustered = Clustered(rows)
    index = FaissIndex(folder, embedder=_Given(clustered, asked), kind=kind)
    plain, busy = _timed(index, asked, k=_K, where=None)
    # The table of ids and the base's own modules are in it, as in any process that searches.
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    right = truth_of(clustered, asked, _K)
    found = [{hit.chunk_id for hit in index.search([each], k=_K)[0]} for each in asked]
    _, filtered = _timed(index, asked[:30], k=_K, where=Compare("n", "lt", rows // 10))
    _, hundred = _timed(index, asked[:30], k=100, where=None)
    chosen = index.stats()["kind"]
    index.close()
    return {
        "chosen": chosen,
        "recall": float(np.mean([len(a & b) / _K for a, b in zip(found, right, strict=True)])),
        "p50": float(np.quantile(plain, 0.5)),
        "p95": float(np.quantile(plain, 0.95)),
        "cpu": float(np.quantile(busy, 0.5)),
        "filtered": float(np.quantile(filtered, 0.5)),
        "hundred": float(np.quantile(hundred, 0.5)),
        "megabytes": megabytes,
    }


def _timed(
    index: FaissIndex, asked: Sequence[str], *, k: int, where: Filter | None
) -> tuple[list[float], list[float]]:
    """Return milliseconds of each query: by the clock, and of the processor."""
    index.search(asked[:3], k=k, where=where)
    clock, busy = [], []
    for each in asked:
        began, worked = time.perf_counter(), time.process_time()
        index.search([each], k=k, where=where)
        clock.append((time.perf_counter() - began) * 1_000)
        busy.append((time.process_time() - worked) * 1_000)
    return clock, busy


def _chunk(row: int) -> Chunk:
    return Chunk(f"d{row}", "00000000", 0, 1, str(row), meta={"n": row})


if __name__ == "__main__":
    main()

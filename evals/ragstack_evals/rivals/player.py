"""``python -m ragstack_evals.rivals.player NAME JOB RESULT``: one system, in this process alone.

A job is a JSON file of documents and queries; a result has what was found and how long it took.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragstack.embedding import onnx
from ragstack_evals.rivals.plan import SYSTEMS
from ragstack_evals.rivals.system import SharedEmbedder, System

__all__ = ["peak_bytes", "play"]

_K = 10
_WARM_UP = 5


def play(name: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return ingest and search of a job by the system of a name in ``plan.SYSTEMS``.

    The peak is the whole process's: interpreter, libraries, embedder, texts and index.
    """
    rival = SYSTEMS[name]
    if rival.torch:  # of the peer's own environment
        kind = _module("by_torch").TorchEmbedder
    else:
        # ragstack makes its embedder by name: let that name be the one that notes its time.
        kind = onnx.OnnxEmbedder = SharedEmbedder  # type: ignore[misc]
    embedder = kind()
    embedder.embed_queries(["loaded, and built if need be, before anything is timed"])
    system: System = _module(rival.module).open_system(embedder)
    before, kind.seconds = peak_bytes(), 0.0
    begun = time.perf_counter()
    system.ingest(job["ids"], job["texts"])
    ingest_s = time.perf_counter() - begun
    embed_s = kind.seconds
    queries: Mapping[str, str] = job["queries"]
    for text in list(queries.values())[:_WARM_UP]:
        system.search(text, _K)
    rankings, times = {}, []
    for query_id, text in queries.items():
        begun = time.perf_counter()
        rankings[query_id] = list(dict.fromkeys(system.search(text, _K)))
        times.append((time.perf_counter() - begun) * 1_000.0)
    found = {
        "ingest_s": ingest_s,
        "embed_s": embed_s,
        "milliseconds": times,
        "rankings": rankings,
        "bytes_before": before,
        "bytes_peak": peak_bytes(),
    }
    system.close()
    embedder.close()
    return found


def peak_bytes() -> int:
    """Return the most memory this process has had so far."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _module(name: str) -> Any:
    return importlib.import_module(f"ragstack_evals.rivals.{name}")


def main() -> None:
    """Play a job from the shell."""
    name, job, result = sys.argv[1:]
    found = play(name, json.loads(Path(job).read_text("utf-8")))
    Path(result).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()

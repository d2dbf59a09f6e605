"""``ragstack eval bench-lexical``: lexical indexes side by side, building, asking and changing."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import typer

from ragstack.errors import InputError, RagstackError
from ragstack_evals.bench_parts import Timing
from ragstack_evals.environment import working_folder
from ragstack_evals.lexical_systems import SYSTEMS, queries_of, serve
from ragstack_evals.report import circumstances, results_console, table, write_json

__all__ = ["bench_lexical"]

_COLUMNS = (
    *("system", "chunks/s in", "add 100", "delete 100", "p50", "p95", "work p50", "work p95"),
    *("peak memory", "same 10"),
)
_SLOW = 10_000  # chunks above which rank_bm25 takes seconds for a query
_CHANGES = 5


def bench_lexical(
    chunks: Annotated[list[int] | None, typer.Option(min=100, help="Sizes; several")] = None,
    queries: Annotated[int, typer.Option(min=10, help="Queries timed")] = 200,
    system: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(SYSTEMS)}; else all")
    ] = None,
    seed: Annotated[int, typer.Option(help="Makes texts and queries")] = 0,
    work: Annotated[Path | None, typer.Option(help="Folder; else a temporary one")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Time the lexical index beside tantivy, bm25s and rank_bm25, on made-up texts.

    Each is in a process of its own, and all are asked in turns, so that a slow minute of the
    machine falls on all of them. Work is processor time, all threads together, and so are the
    times of building and changing: on a busy machine those compare. rank_bm25 is left out above
    10,000 chunks.
    """
    chosen = system or list(SYSTEMS)
    unknown = [name for name in chosen if name not in SYSTEMS]
    if unknown:
        raise InputError(f"no system is named {unknown[0]!r}; known: {', '.join(SYSTEMS)}")
    console = results_console()
    results: dict[str, Any] = {}
    for size in chunks or [10_000, 100_000]:
        names = [name for name in chosen if name != "rank_bm25" or size <= _SLOW]
        with working_folder(work) as folder:
            found = _compared(names, folder / f"lexical-{time.time_ns()}", (size, seed), queries)
        results[str(size)] = found
        console.print(table(f"{size} chunks", _COLUMNS, [_row(n, r) for n, r in found.items()]))
    target = json_file or Path("bench-results") / f"lexical-{time.strftime('%Y%m%d-%H%M%S')}.json"
    write_json(target, {**circumstances(seed=seed), "queries": queries, "sizes": results})
    console.print(f"results: {target}", soft_wrap=True)


def _compared(
    names: list[str], folder: Path, sizes: tuple[int, int], queries: int
) -> dict[str, dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    asked = queries_of(queries + 5, sizes[1])
    found: dict[str, dict[str, Any]] = {}
    pipes: dict[str, Connection] = {}
    children = []
    try:
        for name in names:  # built one after the other, each with the machine to itself
            here, there = context.Pipe()
            child = context.Process(target=serve, args=(name, folder, sizes, there), daemon=True)
            child.start()
            there.close()
            children.append(child)
            pipes[name] = here
            _, worked, _ = _told(here)
            rate = sizes[0] / worked
            found[name] = {"chunks_per_s": rate, "ms": [], "work_ms": [], "ids": []}
        for number, query in enumerate(asked):
            for name, pipe in pipes.items():
                seconds, worked, ids = _ask(pipe, "query", query)
                if number >= 5:  # the first warm up
                    found[name]["ms"].append(seconds * 1_000.0)
                    found[name]["work_ms"].append(worked * 1_000.0)
                    found[name]["ids"].append(ids)
        for name, pipe in pipes.items():
            for what in ("add", "delete"):
                times = []
                for _ in range(_CHANGES):
                    times.append(_ask(pipe, what, asked[0])[1])
                found[name][what] = sorted(times)[_CHANGES // 2]
            found[name]["bytes"] = _ask(pipe, "memory", "")[0]
            pipe.send(None)
    finally:
        for pipe in pipes.values():
            pipe.close()
        for child in children:
            child.join(timeout=60)
            child.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return _summed(found, names[0])


def _ask(pipe: Connection, what: str, argument: str) -> tuple[float, float, list[str]]:
    pipe.send((what, argument))
    return _told(pipe)


def _told(pipe: Connection) -> tuple[float, float, list[str]]:
    try:
        seconds, worked, ids = pipe.recv()
    except EOFError as error:
        raise RagstackError("a system's process ended; its last words are above") from error
    return float(seconds), float(worked), list(ids)


def _summed(found: dict[str, dict[str, Any]], first: str) -> dict[str, dict[str, Any]]:
    """Turn times into quantiles, and rankings into their share in common with the first's."""
    mine = found[first]["ids"]
    for result in found.values():
        timing, work = Timing.of(result.pop("ms")), Timing.of(result.pop("work_ms"))
        shares = [
            len(set(left) & set(right)) / max(1, len(left))
            for left, right in zip(mine, result["ids"], strict=True)
        ]
        result.update(p50_ms=timing.p50, p95_ms=timing.p95, same=sum(shares) / len(shares))
        result.update(work_p50_ms=work.p50, work_p95_ms=work.p95)
    for result in found.values():
        del result["ids"]
    return found


def _row(name: str, result: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        f"{result['chunks_per_s']:.0f}",
        f"{result['add'] * 1_000:.0f} ms",
        f"{result['delete'] * 1_000:.0f} ms",
        f"{result['p50_ms']:.2f} ms",
        f"{result['p95_ms']:.2f} ms",
        f"{result['work_p50_ms']:.2f} ms",
        f"{result['work_p95_ms']:.2f} ms",
        f"{result['bytes'] / 1e6:.0f} MB",
        f"{result['same']:.2f}",
    )

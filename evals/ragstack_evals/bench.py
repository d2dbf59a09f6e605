"""``python -m ragstack_evals.bench``: ragstack beside a stack made by hand, as ratios."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ragstack import registry
from ragstack.errors import RagstackError
from ragstack.protocols import Embedder, Index
from ragstack_evals.bench_corpus import Corpus, bench_corpus
from ragstack_evals.bench_parts import (
    PretendEmbedder,
    cold_start,
    fill_cache,
    hand_made,
    ingest_by_hand,
    ingest_rate,
    time_queries,
    torch_embedder,
)
from ragstack_evals.environment import working_folder
from ragstack_evals.report import circumstances, results_console, table, write_json
from ragstack_evals.retrieval_base import build_base
from ragstack_evals.retrieval_run import searches_of

__all__ = ["bench"]

_DEPTH = 100  # candidates of an index, as configured by default
_TORCH_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def bench(  # noqa: PLR0913 (typer reads the options off the signature)
    documents: Annotated[
        int, typer.Option(min=100, help="Size of the base that is searched")
    ] = 11_000,
    embedded: Annotated[
        int, typer.Option(min=20, help="Documents of the ingest, really embedded")
    ] = 300,
    queries: Annotated[int, typer.Option(min=10, help="Queries timed")] = 200,
    torch_model: Annotated[
        str, typer.Option(help="For sentence-transformers, if installed")
    ] = _TORCH_MODEL,
    seed: Annotated[int, typer.Option(help="Chooses texts and queries")] = 0,
    work: Annotated[
        Path | None, typer.Option(help="Folder for bases; else a temporary one")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Time ingest, queries and cold starts of ragstack and of a stack made by hand."""
    console = results_console()
    corpus = bench_corpus(documents=documents, queries=queries, seed=seed)
    console.print(f"texts: {corpus.origin}", soft_wrap=True)
    console.print(
        "query latency: documents have random unit vectors (embedding them all takes minutes and "
        "changes no time measured here); queries are really embedded",
        soft_wrap=True,
    )
    onnx: Embedder = registry.create("embedders", "onnx", {})
    onnx.embed_queries(["the model is loaded and, if need be, built before anything is timed"])
    torch, why = torch_embedder(torch_model)
    if torch is None:
        console.print(f"no torch beside it: {why}", soft_wrap=True)
    by_hand = {"onnx": onnx, **({"torch": torch} if torch else {})}
    with working_folder(work) as folder:
        # A base of an earlier run would answer "unchanged"; what is timed is a first ingest.
        run = folder / f"bench-{time.time_ns()}"
        query, parts = _query(corpus, run / "query", by_hand)
        results = {
            "ingest": _ingest(corpus, embedded, run / "ingest", by_hand),
            "query": query,
            "parts": parts,
            "cold": _cold(run / "query", corpus.queries[0]),
        }
    _print(console, results, documents, embedded)
    target = json_file or Path("bench-results") / f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
    options = {"documents": documents, "embedded": embedded, "queries": queries}
    write_json(
        target, {**circumstances(seed=seed), "run": options, "texts": corpus.origin, **results}
    )
    console.print(f"results: {target}", soft_wrap=True)


def _ingest(
    corpus: Corpus, size: int, folder: Path, by_hand: dict[str, Embedder]
) -> dict[str, float]:
    """Return documents a second by system."""
    few = corpus.first(size)
    found = {"ragstack": ingest_rate(few, folder)}
    for name, embedder in by_hand.items():
        found[f"by hand, {name}"] = ingest_by_hand(few, embedder)
    return found


def _query(
    corpus: Corpus, folder: Path, by_hand: dict[str, Embedder]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return milliseconds for a query by system, and for some of its parts, all in turns."""
    pretend = PretendEmbedder(by_hand["onnx"])
    fill_cache(corpus, folder, by_hand["onnx"])
    base = build_base(corpus.collection, folder, form="document")
    vectors = pretend.embed_documents([item.text for item in corpus.collection.documents])
    with base.stack:
        systems: dict[str, Any] = {"ragstack": searches_of(base)["hybrid"]}
        for name, embedder in by_hand.items():
            made = hand_made(corpus, vectors, embedder)
            systems[f"by hand, {name}"] = lambda query, k, made=made: made.hybrid(query, k=k)
        parts = {f"encoding, {name}": _encoding(embedder) for name, embedder in by_hand.items()}
        for slot, index in base.stack.parts.indexes("default").items():
            parts[f"ragstack, {slot} index"] = _searching(index)
        times = time_queries({**systems, **parts}, corpus.queries)
        timed = {name: asdict(found) for name, found in times.items()}
        return {n: timed[n] for n in systems}, {n: timed[n] for n in parts}


def _encoding(embedder: Embedder) -> Callable[[str, int], object]:
    return lambda query, _k: embedder.embed_queries([query])


def _searching(index: Index) -> Callable[[str, int], object]:
    """Return the search of one index, as deep as ragstack asks; of vectors with the encoding."""
    return lambda query, _k: index.search([query], k=_DEPTH)


def _cold(folder: Path, query: str) -> dict[str, Any]:
    """Return milliseconds of new processes; the interpreter's own start is in all of them."""
    program = "from ragstack.cli import main; main()"
    return {
        "python": asdict(cold_start(["-c", "pass"])),
        "import ragstack": asdict(cold_start(["-c", "import ragstack"])),
        "ragstack search": asdict(
            cold_start(["-c", program, "search", query, "--base", str(folder)])
        ),
    }


def _print(console: Console, results: dict[str, Any], documents: int, embedded: int) -> None:
    rows = []
    ingest, query, cold = results["ingest"], results["query"], results["cold"]
    for system, rate in ingest.items():
        ratio = ingest["ragstack"] / rate
        rows.append(
            (f"ingest, {embedded} documents: {system}", f"{rate:.1f}/s", "", f"{ratio:.2f}")
        )
    for system, timing in query.items():
        ratio = query["ragstack"]["p50"] / timing["p50"]
        cells = (f"{timing['p50']:.1f} ms", f"{timing['p95']:.1f} ms", f"{ratio:.2f}")
        rows.append((f"query, {documents} documents: {system}", *cells))
    for part, timing in results["parts"].items():
        cells = (f"{timing['p50']:.1f} ms", f"{timing['p95']:.1f} ms", "")
        rows.append((f"part of a query: {part}", *cells))
    for name, start in cold.items():
        for kind, timing in start.items():
            cells = (f"{timing['p50']:.0f} ms", f"{timing['p95']:.0f} ms", "")
            rows.append((f"cold start, {kind}: {name}", *cells))
    console.print(table("bench", ("what", "p50", "p95", "ragstack / it"), rows))


def main() -> None:
    """Run the bench from the shell."""
    try:
        typer.run(bench)
    except RagstackError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()

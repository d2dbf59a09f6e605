"""``ragstack eval chunkers``: every chunker on texts with exact gold spans, in one table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ragstack import registry
from ragstack_evals.chunk_corpora import read_corpora
from ragstack_evals.chunk_run import ChunkRun, Row
from ragstack_evals.environment import working_folder
from ragstack_evals.report import circumstances, results_console, table, write_json

__all__ = ["chunkers"]

_SIZES = (128, 256, 400)
_COLUMNS = (
    "chunker", "size", "chunks", "tokens", "recall", "precision", "omega", "IoU",
    "in budget", "95 %", "by vectors", "s",
)  # fmt: skip


def chunkers(  # noqa: PLR0913 (typer reads the options off the signature)
    chunker: Annotated[
        list[str] | None, typer.Option(help="Registered name; none is all. Repeatable.")
    ] = None,
    size: Annotated[
        list[int] | None, typer.Option(min=16, help="Tokens of a chunk. Repeatable.")
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Passages that are scored")] = 5,
    budget: Annotated[
        int, typer.Option(min=50, help="Tokens of passages that a generator would read")
    ] = 1_000,
    characters: Annotated[int, typer.Option(min=0, help="Only so many of each text")] = 0,
    embedder: Annotated[str, typer.Option(help="Registered name of the embedder")] = "onnx",
    work: Annotated[
        Path | None, typer.Option(help="Folder that keeps the base; else a temporary one")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Compare chunkers by what a search finds of exact gold spans, counted in tokens."""
    corpora = read_corpora(characters=characters)
    names = chunker or list(registry.names("chunkers"))
    console = Console(stderr=True)
    rows: list[Row] = []
    target = json_file or Path("bench-results") / "chunkers.json"
    options = {"k": k, "budget": budget, "characters": characters, "embedder": embedder}
    with working_folder(work) as folder:
        run = ChunkRun(folder, corpora, embedder=embedder, k=k, budget=budget)
        for name in names:
            for wanted in size or _SIZES:
                rows.append(run.measure(name, wanted))
                console.print("  ".join(rows[-1].cells), soft_wrap=True, highlight=False)
                # After each row: a run of many may be broken off.
                found = [asdict(row) for row in rows]
                write_json(target, {**circumstances(seed=0), "run": options, "rows": found})
    title = (
        f"chunking: {len(corpora.documents)} texts, {len(corpora.questions)} questions, "
        f"k = {k}, budget {budget} tokens"
    )
    results_console().print(table(title, _COLUMNS, [row.cells for row in rows]))
    console.print(f"results: {target}", soft_wrap=True)

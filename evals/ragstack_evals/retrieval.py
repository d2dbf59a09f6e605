"""``ragstack eval retrieval``: judged queries searched by each index alone, by all, and by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from ragstack.errors import InputError
from ragstack.pipeline.ingest import Step
from ragstack_evals.baseline import HandMade
from ragstack_evals.datasets import (
    Collection,
    as_collection,
    find_collection,
    find_questions,
    read_collection,
    read_questions,
)
from ragstack_evals.environment import configured, parse_settings, working_folder
from ragstack_evals.metrics import mean_scores
from ragstack_evals.overview import overview
from ragstack_evals.report import (
    circumstances,
    interval_cells,
    results_console,
    table,
    write_json,
)
from ragstack_evals.resample import bootstrap_mean, compare_paired
from ragstack_evals.retrieval_base import FORMS, Base, Form, build_base
from ragstack_evals.retrieval_run import Measured, Search, measure, searches_by_hand, searches_of

__all__ = ["read_judged", "retrieval"]

_MAIN = "nDCG@10"
_COLUMNS = ("system", _MAIN, "95 %", "recall@100", "MRR", "hit@5", "p50 ms", "p95 ms")


def retrieval(  # noqa: PLR0913 (typer reads the options off the signature)
    data: Annotated[
        list[str], typer.Option(help="Name in retrieval/ or folder; piaf and squad2 too")
    ],
    limit: Annotated[int, typer.Option(min=0, help="Queries a collection; 0 is all")] = 0,
    form: Annotated[
        str, typer.Option(help=f"How documents come in: {', '.join(FORMS)}")
    ] = "document",
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Measure the hand-made stack too")
    ] = False,
    transform: Annotated[
        list[str] | None, typer.Option(help="Measure the stack with this transform too")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses queries; bootstrap")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.option=value, as in ragstack.toml")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder that keeps the bases; else a temporary one")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Measure retrieval on judged collections, one table for all of them."""
    shape = next((known for known in FORMS if known == form), None)
    if shape is None:
        raise InputError(f"no form is named {form!r}; known: {', '.join(FORMS)}")
    console = Console(stderr=True)
    chosen = parse_settings(settings or ())
    collections = [(*read_judged(name), name) for name in data]
    results: dict[str, Any] = {}
    with working_folder(work) as folder, configured(chosen):
        for collection, language, _ in collections:
            place = folder / f"{collection.name}-{shape}"
            base = _ingested(collection, place, shape, console)
            with base.stack:
                queries = _chosen(collection, limit, seed)
                made = _by_hand(base, collection, language) if baseline else None
                searches = searches_of(base, transform or ())
                searches |= searches_by_hand(made) if made else {}
                found = _measured(searches, queries, collection, console)
            results[collection.name] = _summary(collection, base, found, seed)
            _print(collection.name, base, found, results[collection.name])
    if len(results) > 1:
        results_console().print(overview(results))
    target = json_file or Path("bench-results") / f"retrieval-{shape}-{seed}.json"
    options = {"form": shape, "limit": limit, "settings": chosen}
    write_json(target, {**circumstances(seed=seed), "run": options, "collections": results})
    console.print(f"results: {target}", soft_wrap=True)


def read_judged(name: str) -> tuple[Collection, str]:
    """Return a collection and its language; a set of questions becomes question-to-paragraph.

    Raises:
        InputError: There is nothing of that name.
    """
    try:
        return read_collection(find_collection(name)), "en"
    except InputError as missing:
        try:
            path = find_questions(name)
        except InputError:
            raise missing from None
    stem = path.name.partition(".")[0]
    language = "fr" if stem.startswith("piaf") else "en"
    return as_collection(read_questions(path), name=stem), language


def _ingested(collection: Collection, folder: Path, form: Form, console: Console) -> Base:
    with Progress(console=console, transient=True) as progress:
        # A document is read, and then indexed: embedding, the long part, is in the second half.
        task = progress.add_task(f"{collection.name}: in", total=2 * len(collection.documents))

        def advance(step: Step) -> None:
            if step.kind != "indexed":
                progress.advance(task)
            elif step.source == "vector":
                progress.advance(task, step.chunks)

        return build_base(collection, folder, form=form, progress=advance)


def _chosen(collection: Collection, limit: int, seed: int) -> dict[str, str]:
    judged = [query_id for query_id in collection.queries if query_id in collection.qrels]
    if limit and limit < len(judged):
        rows = np.random.default_rng(seed).choice(len(judged), limit, replace=False)
        judged = [judged[row] for row in sorted(rows)]
    return {query_id: collection.queries[query_id] for query_id in judged}


def _by_hand(base: Base, collection: Collection, language: str) -> HandMade:
    # Put together as a chunk's context and text are, so that the base's cache knows the vectors.
    texts = [
        "\n".join(part.strip() for part in (document.title, document.text) if part.strip())
        for document in collection.documents
    ]
    embedder = base.stack.parts.embedder
    return HandMade(
        [document.id for document in collection.documents],
        texts,
        embedder.embed_documents(texts),
        embed_query=lambda query: embedder.embed_queries([query])[0],
        language=language,
    )


def _measured(
    searches: Mapping[str, Search],
    queries: Mapping[str, str],
    collection: Collection,
    console: Console,
) -> list[Measured]:
    qrels = {query_id: collection.qrels[query_id] for query_id in queries}
    found = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(collection.name, total=len(searches) * len(queries))
        advance: Callable[[], None] = lambda: progress.advance(task)  # noqa: E731
        for system, search in searches.items():
            found.append(measure(system, search, queries, qrels, advance=advance))
    return found


def _summary(
    collection: Collection, base: Base, found: list[Measured], seed: int
) -> dict[str, Any]:
    systems = {}
    for measured in found:
        intervals = {
            name: asdict(bootstrap_mean(list(values.values()), seed=seed))
            for name, values in measured.scores.items()
        }
        systems[measured.system] = {
            "measures": intervals,
            "p50_ms": measured.quantile(0.5),
            "p95_ms": measured.quantile(0.95),
            "by_query": {_MAIN: measured.scores[_MAIN]},
        }
    return {
        "documents": len(collection.documents),
        "queries": len(found[0].scores[_MAIN]),
        "failed": base.failed,
        "ingest": {"documents": base.added, "seconds": base.seconds},
        "systems": systems,
        "hybrid_against": _against(found, seed),
    }


def _against(found: list[Measured], seed: int) -> dict[str, Any]:
    """Return how the hybrid stands against every other system, query by query."""
    by_name = {measured.system: measured.scores[_MAIN] for measured in found}
    hybrid = by_name.get("hybrid", {})
    return {
        system: asdict(
            compare_paired(
                list(hybrid.values()), [values[query_id] for query_id in hybrid], seed=seed
            )
        )
        for system, values in by_name.items()
        if hybrid and system != "hybrid"
    }


def _print(name: str, base: Base, found: list[Measured], summary: dict[str, Any]) -> None:
    rows = []
    for measured in found:
        means = mean_scores(measured.scores)
        mean, interval, _ = interval_cells(bootstrap_mean(list(measured.scores[_MAIN].values())))
        rows.append(
            (
                measured.system,
                mean,
                interval,
                f"{means['recall@100']:.3f}",
                f"{means['MRR']:.3f}",
                f"{means['hit@5']:.3f}",
                f"{measured.quantile(0.5):.1f}",
                f"{measured.quantile(0.95):.1f}",
            )
        )
    rate = f", {base.added / base.seconds:.1f} documents/s in" if base.added else ""
    console = results_console()
    title = f"{name}: {summary['documents']} documents, {summary['queries']} queries{rate}"
    console.print(table(title, _COLUMNS, rows))
    for system, compared in summary["hybrid_against"].items():
        difference = compared["difference"]
        console.print(
            f"  hybrid - {system}: {difference['mean']:+.3f} "
            f"({difference['low']:+.3f} to {difference['high']:+.3f}), "
            f"p = {compared['p_value']:.4f}, {compared['wins']} better, {compared['losses']} worse",
            highlight=False,
            soft_wrap=True,
        )
    for reason in base.failed[:5]:
        console.print(f"  failed: {reason}", markup=False, soft_wrap=True)

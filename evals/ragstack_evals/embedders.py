"""``ragstack eval embedders``: judged queries, by each embedder alone and fused with words."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ragstack import registry
from ragstack.embedding.cache import CachedEmbedder
from ragstack.errors import InputError, RagstackError
from ragstack.protocols import Embedder
from ragstack_evals.baseline import HandMade
from ragstack_evals.datasets import Collection
from ragstack_evals.environment import working_folder
from ragstack_evals.metrics import ranking_scores
from ragstack_evals.report import (
    circumstances,
    results_console,
    table,
    write_json,
)
from ragstack_evals.resample import bootstrap_mean, compare_paired
from ragstack_evals.retrieval import read_judged
from ragstack_evals.retrieval_base import judged_text

__all__ = ["Candidate", "embedders", "parse_candidate"]

_DEPTH = 100
_TIMED = 64
_MEASURES = ("nDCG@10", "hit@5")
_COLUMNS = ("embedder", "alone", "95 %", "hit@5", "fused", "hit@5", "docs/s", "ms")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An embedder by its registered name, with its options."""

    label: str
    use: str
    options: Mapping[str, Any]


def parse_candidate(text: str) -> Candidate:
    """Return what ``NAME`` or ``NAME:option=value,option=value`` stands for.

    Raises:
        InputError: It is not of that form.
    """
    use, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"an embedder is 'NAME:option=value,…', got {text!r}")
        options[key] = _value(value)
    if not use.isidentifier():
        raise InputError(f"an embedder is 'NAME:option=value,…', got {text!r}")
    return Candidate(text, use, options)


def embedders(
    data: Annotated[
        list[str], typer.Option(help="Name in retrieval/ or folder; piaf and squad2 too")
    ],
    embedder: Annotated[
        list[str] | None, typer.Option(help="NAME:option=value,…; again for more")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Documents a collection; 0 is all")] = 0,
    seed: Annotated[int, typer.Option(help="Bootstrap")] = 0,
    work: Annotated[
        Path | None, typer.Option(help="Folder that keeps vectors; else a temporary one")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Compare embedders on judged collections: alone, fused with BM25, and by time."""
    console = results_console()
    candidates = [parse_candidate(text) for text in embedder or ("onnx",)]
    results: dict[str, Any] = {}
    with working_folder(work) as folder:
        for name in data:
            collection, language = read_judged(name)
            found = _measured(_first(collection, limit), language, candidates, folder, console)
            results[collection.name] = _summary(found, seed)
            _print(collection.name, results[collection.name], console)
    target = json_file or Path("bench-results") / f"embedders-{seed}.json"
    options = {"limit": limit, "embedders": [candidate.label for candidate in candidates]}
    write_json(target, {**circumstances(seed=seed), "run": options, "collections": results})
    console.print(f"results: {target}", soft_wrap=True)


def _measured(
    collection: Collection,
    language: str,
    candidates: Sequence[Candidate],
    folder: Path,
    console: Console,
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for candidate in candidates:
        console.print(f"[dim]{collection.name}: {candidate.label}[/dim]", soft_wrap=True)
        try:
            raw: Embedder = registry.create("embedders", candidate.use, candidate.options)
        except RagstackError as error:
            found[candidate.label] = {"failed": error.message}
            continue
        with closing(CachedEmbedder(raw, folder / "embeddings.sqlite")) as cached:
            found[candidate.label] = _one(collection, language, raw, cached)
    return found


def _one(collection: Collection, language: str, raw: Embedder, cached: Embedder) -> dict[str, Any]:
    texts = [judged_text(document) for document in collection.documents]
    raw.embed_queries(["loaded, and built if need be, before anything is timed"])
    # A sample by the embedder itself: what the folder keeps of an earlier run takes no time.
    sample = texts[:: max(1, len(texts) // _TIMED)][:_TIMED]
    begun = time.perf_counter()
    raw.embed_documents(sample)
    rate = len(sample) / (time.perf_counter() - begun)
    times: list[float] = []

    def embed_query(query: str) -> Any:
        begun = time.perf_counter()
        row = raw.embed_queries([query])[0]
        times.append((time.perf_counter() - begun) * 1_000.0)
        return row

    made = HandMade(
        [document.id for document in collection.documents],
        texts,
        cached.embed_documents(texts),
        embed_query=embed_query,
        language=language,
    )
    queries = {i: text for i, text in collection.queries.items() if i in collection.qrels}
    searches = {"vectors": made.vector, "words": made.lexical, "fused": made.hybrid}
    rankings: dict[str, dict[str, list[str]]] = {
        how: {i: search(text, k=_DEPTH) for i, text in queries.items()}
        for how, search in searches.items()
    }
    scores = {
        how: ranking_scores(ranked, collection.qrels, measures=_MEASURES)
        for how, ranked in rankings.items()
    }
    return {
        "scores": scores,
        "dimensions": raw.dimensions,
        "fingerprint": raw.fingerprint,
        "documents_a_second": rate,
        "query_ms": float(np.median(times)),
    }


def _summary(found: Mapping[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    """Return the entries of the JSON file: intervals, and each against the first."""
    first = next((row for row in found.values() if "scores" in row), None)
    summary: dict[str, Any] = {}
    for label, row in found.items():
        if "failed" in row:
            summary[label] = row
            continue
        scores = row["scores"]
        kept = {key: value for key, value in row.items() if key != "scores"}
        kept["measures"] = {
            how: {
                name: asdict(bootstrap_mean(list(by_query.values()), seed=seed))
                for name, by_query in measured.items()
            }
            for how, measured in scores.items()
        }
        if first is not None and row is not first:
            kept["fused_against_first"] = asdict(
                compare_paired(
                    list(scores["fused"]["nDCG@10"].values()),
                    list(first["scores"]["fused"]["nDCG@10"].values()),
                    seed=seed,
                )
            )
        summary[label] = kept
    return summary


def _print(name: str, summary: Mapping[str, Any], console: Console) -> None:
    rows, words = [], ""
    for label, row in summary.items():
        if "failed" in row:
            console.print(f"  not here: {label}: {row['failed']}", markup=False, soft_wrap=True)
            continue
        alone, fused = row["measures"]["vectors"], row["measures"]["fused"]
        lexical = row["measures"]["words"]
        words = f"{lexical['nDCG@10']['mean']:.3f}, hit@5 {lexical['hit@5']['mean']:.3f}"
        interval = f"{alone['nDCG@10']['low']:.3f} – {alone['nDCG@10']['high']:.3f}"
        rows.append(
            (
                label,
                f"{alone['nDCG@10']['mean']:.3f}",
                interval,
                f"{alone['hit@5']['mean']:.3f}",
                f"{fused['nDCG@10']['mean']:.3f}",
                f"{fused['hit@5']['mean']:.3f}",
                f"{row['documents_a_second']:.1f}",
                f"{row['query_ms']:.1f}",
            )
        )
    console.print(table(f"{name}: nDCG@10; BM25 by hand {words}", _COLUMNS, rows))
    for label, row in summary.items():
        if compared := row.get("fused_against_first"):
            console.print(
                f"  fused, {label} - the first: {compared['difference']['mean']:+.3f} "
                f"({compared['difference']['low']:+.3f} to {compared['difference']['high']:+.3f}), "
                f"p = {compared['p_value']:.4f}",
                highlight=False,
                soft_wrap=True,
            )


def _first(collection: Collection, limit: int) -> Collection:
    """Return the first documents, and the queries that one of them answers."""
    if not limit or limit >= len(collection.documents):
        return collection
    documents = collection.documents[:limit]
    there = {document.id for document in documents}
    qrels = {
        query_id: kept
        for query_id, judged in collection.qrels.items()
        if (kept := {i: grade for i, grade in judged.items() if i in there})
        and any(grade > 0 for grade in kept.values())
    }
    queries = {query_id: collection.queries[query_id] for query_id in qrels}
    return Collection(collection.name, documents, queries, qrels)


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text

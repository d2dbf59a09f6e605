"""``ragstack eval fusion``: the same rankings fused in every way; a calibrated fusion fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ragstack.embedding.cosines import cosine_weight
from ragstack.errors import InputError
from ragstack.index.calibration import FEATURES, Calibration, calibrated, features
from ragstack.index.fusion import NORMALISERS, reciprocal_rank, weighted_scores
from ragstack.pipeline.stack import DEFAULT
from ragstack.types import Hit
from ragstack_evals.environment import configured, parse_settings, working_folder
from ragstack_evals.logistic import fit_logistic
from ragstack_evals.metrics import fold_to_documents, ranking_scores
from ragstack_evals.report import circumstances, interval_cells, results_console, table, write_json
from ragstack_evals.resample import bootstrap_mean, compare_paired
from ragstack_evals.retrieval import read_judged
from ragstack_evals.retrieval_base import build_base

__all__ = ["Found", "Fuse", "fit", "fusion", "ways"]

_MAIN = "nDCG@10"
_DEPTH = 100
_BLOCK = 256
_COSINE_WEIGHTS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)

Rankings = Mapping[str, Sequence[Hit]]
Fuse = Callable[[Rankings], list[Hit]]


@dataclass(frozen=True, slots=True)
class Found:
    """What each index found for the queries of one collection.

    Attributes:
        rankings: By query id, then by index; the hits' ids are the collection's documents.
        weight: What the default fusion gives the embedder's cosines.
    """

    name: str
    rankings: Mapping[str, Rankings]
    qrels: Mapping[str, Mapping[str, int]]
    weight: float = 2.0


def fusion(  # noqa: PLR0913 (typer reads the options off the signature)
    data: Annotated[list[str], typer.Option(help="Name in retrieval/ or folder; piaf too")],
    limit: Annotated[int, typer.Option(min=0, help="Queries a collection; 0 is all")] = 200,
    fit_file: Annotated[
        Path | None, typer.Option("--fit", help="Fit on all of them, and write the numbers here")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses queries; bootstrap")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.option=value, as in ragstack.toml")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps the bases")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Fuse the same rankings in every way there is, and fit a calibrated fusion.

    The row ``calibrated`` of a collection is fitted on all the others, never on itself.
    """
    chosen = parse_settings(settings or ())
    console = Console(stderr=True)
    found = []
    with working_folder(work) as folder, configured(chosen):
        for name in data:
            console.print(f"{name}: searching", highlight=False)
            found.append(_search(name, folder, limit, seed))
    results = {each.name: _measured(each, [o for o in found if o is not each]) for each in found}
    _print(results, seed, found[0].weight)
    if fit_file is not None:
        fit(found).write(fit_file)
        console.print(f"calibration: {fit_file}", soft_wrap=True)
    target = json_file or Path("bench-results") / f"fusion-{seed}.json"
    write_json(target, {**circumstances(seed=seed), "collections": results})
    console.print(f"results: {target}", soft_wrap=True)


def ways(slots: Sequence[str], others: Sequence[Found]) -> dict[str, Fuse]:
    """Return every fusion by its name; the calibrated one where there is something to fit it on."""
    cosines = {"vector": "spread"} if "vector" in slots else {}
    made: dict[str, Fuse] = {f"{slot} alone": partial(_alone, slot=slot) for slot in slots}
    made["rrf"] = reciprocal_rank
    for name in NORMALISERS:
        if name != "none":
            made[f"weighted, {name}"] = partial(
                weighted_scores, normalise=dict.fromkeys(slots, name)
            )
    for weight in _COSINE_WEIGHTS:
        if cosines:
            made[f"weighted, spread of cosines x {weight:g}"] = partial(
                weighted_scores, normalise=cosines, weights={"vector": weight}
            )
    if others:
        made["calibrated"] = partial(calibrated, calibration=fit(others))
    return made


def fit(found: Sequence[Found], *, ridge: float = 1.0) -> Calibration:
    """Return the calibration that these judged queries teach.

    Every collection weighs alike: of each as many hits count as the smallest has, drawn evenly.

    Raises:
        InputError: Nothing was found, or nothing that was found is right.
    """
    slots = sorted(
        {slot for each in found for rankings in each.rankings.values() for slot in rankings}
    )
    columns = [(slot, key) for slot in slots for key in FEATURES]
    tables = [_table(each, columns) for each in found]
    tables = [(rows, right) for rows, right in tables if len(rows)]
    if not tables:
        raise InputError("no index found anything to fit a fusion on")
    size = min(len(rows) for rows, _ in tables)
    picked = [np.linspace(0, len(rows) - 1, size).astype(int) for rows, _ in tables]
    intercept, weights = fit_logistic(
        np.vstack([rows[some] for (rows, _), some in zip(tables, picked, strict=True)]),
        np.concatenate([right[some] for (_, right), some in zip(tables, picked, strict=True)]),
        ridge=ridge,
    )
    by_slot: dict[str, dict[str, float]] = {slot: {} for slot in slots}
    for (slot, key), weight in zip(columns, weights, strict=True):
        by_slot[slot][key] = round(float(weight), 6)
    return Calibration(
        round(intercept, 6), by_slot, {each.name: len(each.rankings) for each in found}
    )


def _table(found: Found, columns: Sequence[tuple[str, str]]) -> tuple[Any, Any]:
    rows, right = [], []
    for query_id, rankings in found.rankings.items():
        judged = found.qrels[query_id]
        for document_id, said in sorted(features(rankings).items()):
            rows.append([said.get(slot, {}).get(key, 0.0) for slot, key in columns])
            right.append(judged.get(document_id, 0) > 0)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(columns)), np.array(right, bool)


def _alone(rankings: Rankings, *, slot: str) -> list[Hit]:
    return list(rankings[slot])


def _search(name: str, folder: Path, limit: int, seed: int) -> Found:
    collection, _ = read_judged(name)
    base = build_base(collection, folder / f"{collection.name}-document", form="document")
    judged = [query for query in collection.queries if query in collection.qrels]
    if limit and limit < len(judged):
        rows = np.random.default_rng(seed).choice(len(judged), limit, replace=False)
        judged = [judged[row] for row in sorted(rows)]
    rankings: dict[str, dict[str, list[Hit]]] = {query: {} for query in judged}
    with base.stack as stack:
        weight = cosine_weight(stack.parts.raw_embedder.fingerprint)
        for slot, index in stack.parts.indexes(DEFAULT).items():
            for start in range(0, len(judged), _BLOCK):
                some = judged[start : start + _BLOCK]
                texts = [collection.queries[query] for query in some]
                for query, hits in zip(some, index.search(texts, k=_DEPTH), strict=True):
                    # A chunk's id begins with its document's.
                    rankings[query][slot] = [
                        Hit(base.judged[hit.chunk_id.partition(".")[0]], hit.score) for hit in hits
                    ]
    qrels = {query: collection.qrels[query] for query in judged}
    return Found(collection.name, rankings, qrels, weight)


def _measured(found: Found, others: Sequence[Found]) -> dict[str, dict[str, float]]:
    """Return nDCG@10 of each fusion, query by query."""
    slots = list(next(iter(found.rankings.values()), {}))
    scores = {}
    for name, fuse in ways(slots, others).items():
        fused = {
            query: fold_to_documents(hit.chunk_id for hit in fuse(rankings))
            for query, rankings in found.rankings.items()
        }
        scores[name] = ranking_scores(fused, found.qrels, measures=[_MAIN])[_MAIN]
    return scores


def _print(
    results: Mapping[str, Mapping[str, Mapping[str, float]]], seed: int, weight: float
) -> None:
    console = results_console()
    names = list(dict.fromkeys(way for ways_ in results.values() for way in ways_))
    default = f"weighted, spread of cosines x {weight:g}"
    rows = []
    for way in names:
        have = [scores for scores in results.values() if way in scores]
        values = [value for scores in have for value in scores[way].values()]
        means = [float(np.mean(list(scores[way].values()))) for scores in have]
        against = ""
        if default in names and way != default:
            beside = [value for scores in have for value in scores[default].values()]
            compared = compare_paired(values, beside, seed=seed)
            against = f"{compared.difference.mean:+.3f} (p {compared.p_value:.3f})"
        mean, interval, _ = interval_cells(bootstrap_mean(values, seed=seed))
        cells = [f"{mean:.3f}" for mean in means] if len(have) == len(results) else []
        rows.append((way, f"{np.mean(means):.3f}", mean, interval, against, " ".join(cells)))
    columns = ("fusion", "mean of collections", "of queries", "95 %", "against the default", "each")
    console.print(table(f"{_MAIN}: {', '.join(results)}", columns, rows))

"""``ragstack eval peers``: ragstack beside other frameworks, and its growth to a million chunks."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ragstack_evals.datasets import Collection
from ragstack_evals.environment import configured, parse_settings, working_folder
from ragstack_evals.growth import SIZES, grow, show_growth
from ragstack_evals.report import circumstances, results_console, table, write_json
from ragstack_evals.retrieval import read_judged
from ragstack_evals.retrieval_base import judged_text
from ragstack_evals.rivals.environments import PeerUnavailable, interpreter
from ragstack_evals.rivals.outcome import COLUMNS, Outcome, against, entry, judged, row
from ragstack_evals.rivals.plan import SYSTEMS, Rival, chosen

__all__ = ["job_of", "peers"]

_LONGEST_S = 3600.0
_QUICK_DOCUMENTS, _QUICK_QUERIES = 400, 40
_GROWTH = "growth"


def peers(  # noqa: PLR0913 (typer reads the options off the signature)
    data: Annotated[
        list[str] | None, typer.Option(help="Collections; without it scifact_train")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(SYSTEMS)}, {_GROWTH}; again for more")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few hundred documents; growth to 20,000")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.option=value, as in ragstack.toml")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses documents; bootstrap")] = 0,
    work: Annotated[Path | None, typer.Option(help="Folder for jobs; else a temporary one")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where results go")] = None,
) -> None:
    """Compare with LangChain, LlamaIndex, Haystack, txtai and the bare parts; show growth."""
    console = results_console()
    names = chosen([name for name in only or () if name != _GROWTH])
    results: dict[str, Any] = {}
    set_to = parse_settings(settings or ())
    with working_folder(work) as folder, configured(set_to):
        if only != [_GROWTH]:
            _tell_conditions(console)
            for name in data or ("scifact_train",):
                collection, _ = read_judged(name)
                small = _part(collection, seed) if quick else collection
                results[collection.name] = _compared(small, names, folder, console, seed)
        grown = None
        if not only or _GROWTH in only:
            grown = grow((2_000, 20_000) if quick else SIZES, folder, console.print)
            show_growth(grown, console)
    target = json_file or Path("bench-results") / f"peers-{seed}.json"
    payload = {
        **circumstances(seed=seed),
        "run": {"quick": quick, "only": only, "settings": set_to},
        "collections": results,
        "growth": grown,
    }
    write_json(target, payload)
    console.print(f"results: {target}", soft_wrap=True)


def job_of(collection: Collection) -> dict[str, Any]:
    """Return what a player is given: every text whole, its title before it, and judged queries."""
    return {
        "ids": [document.id for document in collection.documents],
        "texts": [judged_text(document) for document in collection.documents],
        "queries": {
            query_id: text
            for query_id, text in collection.queries.items()
            if query_id in collection.qrels
        },
    }


def _tell_conditions(console: Console) -> None:
    console.print(
        "each system in a process of its own, one after the other; the same embedder for all "
        "(ragstack's default, MiniLM in int8, through an adapter) but where a line says torch; "
        "a document is one chunk; "
        "a query is embedded and searched for its best 10; peak memory is the whole process's",
        soft_wrap=True,
    )


def _part(collection: Collection, seed: int) -> Collection:
    """Return a small collection: queries, what answers them, and other documents to fill up."""
    queries = [query_id for query_id in collection.queries if query_id in collection.qrels]
    dice = np.random.default_rng(seed)
    kept = [queries[n] for n in dice.permutation(len(queries))[:_QUICK_QUERIES]]
    needed = {document for query_id in kept for document in collection.qrels[query_id]}
    others = [document.id for document in collection.documents if document.id not in needed]
    room = max(0, _QUICK_DOCUMENTS - len(needed))
    needed.update(others[n] for n in dice.permutation(len(others))[:room])
    return Collection(
        collection.name,
        tuple(document for document in collection.documents if document.id in needed),
        {query_id: collection.queries[query_id] for query_id in kept},
        {query_id: collection.qrels[query_id] for query_id in kept},
    )


def _compared(
    collection: Collection, names: list[str], folder: Path, console: Console, seed: int
) -> dict[str, Any]:
    job = folder / f"{collection.name}.json"
    job.write_text(json.dumps(job_of(collection)), "utf-8")
    outcomes: list[Outcome] = []
    missing: dict[str, str] = {}
    for name in names:
        console.print(f"[dim]{collection.name}: {name}[/dim]", soft_wrap=True)
        try:
            found = _played(name, SYSTEMS[name], job, console)
        except PeerUnavailable as error:
            missing[name] = error.message
            continue
        documents = len(collection.documents)
        outcomes.append(judged(name, found, collection.qrels, documents=documents))
    _print(collection, outcomes, missing, console, seed)
    return {
        "documents": len(collection.documents),
        "queries": len(collection.queries),
        "systems": {outcome.system: entry(outcome, seed=seed) for outcome in outcomes},
        "ragstack_against": {
            name: asdict(found) for name, found in against(outcomes, seed=seed).items()
        },
        "missing": missing,
    }


def _played(name: str, rival: Rival, job: Path, console: Console) -> dict[str, Any]:
    python = interpreter(name, rival, lambda text: console.print(f"[dim]{text}[/dim]"))
    mark = name.replace(" ", "-")
    result = job.with_suffix(f".{mark}.json")
    result.unlink(missing_ok=True)
    log = job.with_suffix(f".{mark}.log")
    command = [str(python), "-m", "ragstack_evals.rivals.player", name]
    with log.open("wb") as out:
        try:
            done = subprocess.run(
                [*command, str(job), str(result)], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, timeout=_LONGEST_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise PeerUnavailable(f"{name} did not end within {_LONGEST_S:.0f} s") from error
    if done.returncode or not result.is_file():
        said = log.read_text("utf-8", errors="replace").strip().splitlines() or ["nothing"]
        raise PeerUnavailable(f"{name} ended with {done.returncode}: {said[-1][:300]}")
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    return found


def _print(
    collection: Collection,
    outcomes: list[Outcome],
    missing: dict[str, str],
    console: Console,
    seed: int,
) -> None:
    title = (
        f"{collection.name}: {len(collection.documents)} documents, "
        f"{len(collection.queries)} queries"
    )
    console.print(table(title, COLUMNS, [row(outcome, seed=seed) for outcome in outcomes]))
    for name, compared in against(outcomes, seed=seed).items():
        difference = compared.difference
        console.print(
            f"  ragstack - {name}: {difference.mean:+.3f} "
            f"({difference.low:+.3f} to {difference.high:+.3f}), p = {compared.p_value:.4f}",
            highlight=False,
            soft_wrap=True,
        )
    for name, reason in missing.items():
        console.print(f"  not here: {name}: {reason}", markup=False, soft_wrap=True)
    for outcome in outcomes:
        console.print(
            f"  {outcome.system}: {SYSTEMS[outcome.system].note}", markup=False, soft_wrap=True
        )

"""``ragstack eval compare``: two result files in, paired differences query by query out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ragstack.errors import InputError
from ragstack_evals.report import results_console, table
from ragstack_evals.resample import Comparison, compare_paired

__all__ = ["compare", "differences"]

_MEASURE = "nDCG@10"
_COLUMNS = ("collection, system", "before", "after", "difference", "95 %", "p", "better", "worse")


def compare(
    before: Annotated[Path, typer.Argument(help="JSON file of an earlier run")],
    after: Annotated[Path, typer.Argument(help="JSON file of a later run")],
    seed: Annotated[int, typer.Option(help="Bootstrap and permutations")] = 0,
) -> None:
    """Say what changed between two runs of `eval retrieval` or `eval peers`, by nDCG@10."""
    first, second = _read(before), _read(after)
    rows = []
    for (collection, system), found in differences(first, second, seed=seed).items():
        old, new = first[collection, system], second[collection, system]
        shared = old.keys() & new.keys()
        interval = found.difference
        rows.append(
            (
                f"{collection}, {system}",
                f"{sum(old[key] for key in shared) / len(shared):.3f}",
                f"{sum(new[key] for key in shared) / len(shared):.3f}",
                f"{interval.mean:+.3f}",
                f"{interval.low:+.3f} – {interval.high:+.3f}",
                f"{found.p_value:.4f}",
                str(found.wins),
                str(found.losses),
            )
        )
    if not rows:
        raise InputError(f"{str(before)!r} and {str(after)!r} measured no system on the same query")
    results_console().print(table(f"{_MEASURE}, paired by query", _COLUMNS, rows))


def differences(
    before: Mapping[tuple[str, str], Mapping[str, float]],
    after: Mapping[tuple[str, str], Mapping[str, float]],
    *,
    seed: int,
) -> dict[tuple[str, str], Comparison]:
    """Return how the later run stands against the earlier, by collection and system.

    Only queries that both runs have count.
    """
    found = {}
    for key in before:
        shared = [query for query in before[key] if query in after.get(key, {})]
        if shared:
            new = [after[key][query] for query in shared]
            old = [before[key][query] for query in shared]
            found[key] = compare_paired(new, old, seed=seed)
    return found


def _read(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    try:
        collections: dict[str, Any] = json.loads(path.read_text("utf-8"))["collections"]
        return {
            (name, system): _by_query(entry)
            for name, result in collections.items()
            for system, entry in result["systems"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{str(path)!r} is no result of `eval retrieval` or `eval peers`: {error!r}"
        ) from error


def _by_query(entry: Mapping[str, Any]) -> dict[str, float]:
    scores = entry["by_query"]
    scores = scores.get(_MEASURE, scores)  # `retrieval` names the measure, `peers` has one alone
    return {query: float(score) for query, score in scores.items()}

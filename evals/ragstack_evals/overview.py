"""Results of several collections in, one table out: a row each, the stack beside one made by hand.

A collection counts once however many queries it has: the last row is the mean of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from ragstack_evals.report import table

__all__ = ["overview"]

_SYSTEMS = ("lexical", "vector", "hybrid", "by hand: hybrid")
_HEADS = {"by hand: hybrid": "by hand"}
_MAIN, _BESIDE = "nDCG@10", "hit@5"


def overview(collections: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return nDCG@10 of each system and collection, hit@5, and the paired difference.

    Args:
        collections: The entries of the JSON file of ``ragstack eval retrieval``, by name.
    """
    every = [found["systems"] for found in collections.values()]
    systems = [name for name in _SYSTEMS if all(name in each for each in every)]
    both = [name for name in ("hybrid", "by hand: hybrid") if name in systems]
    rows = []
    for name, found in collections.items():
        compared = found["hybrid_against"].get("by hand: hybrid")
        rows.append(
            (
                name,
                str(found["queries"]),
                *(f"{_mean(found, system, _MAIN):.3f}" for system in systems),
                *(f"{_mean(found, system, _BESIDE):.3f}" for system in both),
                _paired(compared) if compared else "",
            )
        )
    means = [[_mean(found, s, _MAIN) for found in collections.values()] for s in systems]
    beside = [[_mean(found, s, _BESIDE) for found in collections.values()] for s in both]
    last = [f"{float(np.mean(values)):.3f}" for values in (*means, *beside)]
    difference = ""
    if len(both) == 2:
        each = np.subtract(means[systems.index(both[0])], means[systems.index(both[1])])
        difference = f"{float(each.mean()):+.3f}, least {float(each.min()):+.3f}"
    heads = [_HEADS.get(system, system) for system in systems]
    hits = [f"{_BESIDE}{' hand' if system != 'hybrid' else ''}" for system in both]
    columns = ("collection", "n", *heads, *hits, "hybrid - by hand" if len(both) == 2 else "")
    title = f"{_MAIN} and {_BESIDE} of all"
    return table(title, columns, [*rows, ("mean", "", *last, difference)])


def _mean(found: Mapping[str, Any], system: str, measure: str) -> float:
    return float(found["systems"][system]["measures"][measure]["mean"])


def _paired(compared: Mapping[str, Any]) -> str:
    difference = compared["difference"]
    low, high = difference["low"], difference["high"]
    return f"{difference['mean']:+.3f} ({low:+.3f} to {high:+.3f}) p {compared['p_value']:.4f}"

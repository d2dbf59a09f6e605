"""What a search in tantivy works on, and its hits without those that a condition refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import tantivy
from tantivy import Query

from ragstack.index.attributes import Bits
from ragstack.types import Hit

__all__ = ["View", "found"]


@dataclass(frozen=True, slots=True)
class View:
    """What a search works on; nothing a writer does later changes it.

    Attributes:
        passing: The rows that satisfy the condition; None where all do.
        count: How many they are.
    """

    searcher: tantivy.Searcher
    ids: Sequence[str]
    passing: Bits | None
    count: int
    languages: frozenset[str]


def found(view: View, wanted: Query, depth: int, k: int) -> tuple[list[Hit], bool]:
    """Return the passing hits among the best ``depth``, and whether the best ``k`` are in them."""
    best = view.searcher.search(wanted, limit=depth, count=False).hits
    addresses = [address for _, address in best]
    rows = cast("list[int]", view.searcher.fast_field_values("row", addresses))
    hits = [
        Hit(view.ids[row], float(score))
        for (score, _), row in zip(best, rows, strict=True)
        if view.passing is None or view.passing[row]
    ]
    # A chunk as good as the k-th may stand behind the last candidate, unless that is worse.
    done = len(best) < depth or (len(hits) >= k and hits[k - 1].score > best[-1][0])
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id)), done

"""Scored chunk ids in, hits in their order out: the same rule in every index. Knows no index."""

from __future__ import annotations

from collections.abc import Iterable

from ragstack.types import Hit

__all__ = ["ranked"]


def ranked(scored: Iterable[tuple[float, str]], k: int | None = None) -> list[Hit]:
    """Return the best ``k`` (None: all) as hits, best first, ties by chunk id.

    What is not among them is never made a hit: of a query's 400 candidates ten are shown.
    """
    order = sorted((-score, chunk_id) for score, chunk_id in scored)
    return [Hit(chunk_id, -score) for score, chunk_id in order[:k]]

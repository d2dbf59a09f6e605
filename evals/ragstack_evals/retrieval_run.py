"""A base and queries in, measures and milliseconds out: each index alone and all fused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragstack.pipeline.stack import DEFAULT
from ragstack.protocols import Index
from ragstack_evals.baseline import HandMade
from ragstack_evals.metrics import fold_to_documents, ranking_scores
from ragstack_evals.retrieval_base import Base

__all__ = ["DEPTH", "Measured", "Search", "measure", "searches_by_hand", "searches_of"]

DEPTH = 100
_SHOWN = 10
_TIMED = 200

Search = Callable[[str, int], list[str]]
"""A query and how many are wanted in, the collection's document ids out, best first."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One system on one collection.

    Attributes:
        scores: Values by measure and query id.
        milliseconds: Of a search for the best 10, one query at a time.
    """

    system: str
    scores: Mapping[str, Mapping[str, float]]
    milliseconds: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """Return a quantile of the times, in milliseconds."""
        return float(np.quantile(self.milliseconds, share)) if self.milliseconds else float("nan")


def searches_of(base: Base, transforms: Sequence[str] = ()) -> dict[str, Search]:
    """Return ragstack's systems by name: each index alone, and ``hybrid``, the stack as it is.

    Args:
        transforms: Each is a system of its own beside it, named ``hybrid + NAME``.
    """
    alone = {slot: _alone(base, index) for slot, index in _indexes(base).items()}
    with_one = {f"hybrid + {name}": _whole(base, (name,)) for name in transforms}
    return {**alone, "hybrid": _whole(base), **with_one}


def searches_by_hand(made: HandMade) -> dict[str, Search]:
    """Return the hand-made stack's systems by name."""
    return {
        "by hand: lexical": lambda query, k: made.lexical(query, k=k),
        "by hand: vector": lambda query, k: made.vector(query, k=k),
        "by hand: hybrid": lambda query, k: made.hybrid(query, k=k, depth=max(k, DEPTH)),
    }


def measure(
    system: str,
    search: Search,
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    timed: int = _TIMED,
    advance: Callable[[], None] = lambda: None,
) -> Measured:
    """Return how well and how fast a system ranks; judged are its best 100 documents."""
    rankings: dict[str, Sequence[str]] = {}
    for query_id, text in queries.items():
        rankings[query_id] = search(text, DEPTH)
        advance()
    times: list[float] = []
    for text in list(queries.values())[:timed]:
        begun = time.perf_counter()
        search(text, _SHOWN)
        times.append((time.perf_counter() - begun) * 1_000.0)
    return Measured(system, ranking_scores(rankings, qrels), tuple(times))


def _indexes(base: Base) -> Mapping[str, Index]:
    return base.stack.parts.indexes(DEFAULT)


def _alone(base: Base, index: Index) -> Search:
    def search(query: str, k: int) -> list[str]:
        (hits,) = index.search([query], k=k)
        # A chunk's id begins with its document's.
        return fold_to_documents(base.judged[hit.chunk_id.partition(".")[0]] for hit in hits)

    return search


def _whole(base: Base, transforms: Sequence[str] | None = None) -> Search:
    def search(query: str, k: int) -> list[str]:
        passages = base.stack.search(query, k=k, transforms=transforms)
        return fold_to_documents(base.judged[passage.chunk.document_id] for passage in passages)

    return search

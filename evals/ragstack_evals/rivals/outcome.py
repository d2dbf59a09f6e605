"""What a player wrote in, one row of the table and one entry of the JSON out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ragstack_evals.metrics import ranking_scores
from ragstack_evals.report import interval_cells
from ragstack_evals.resample import Comparison, Interval, bootstrap_mean, compare_paired
from ragstack_evals.rivals.plan import OURS, SYSTEMS

__all__ = ["COLUMNS", "Outcome", "against", "entry", "judged", "row"]

MEASURE = "nDCG@10"
COLUMNS = (
    "system", MEASURE, "95 %", "in, docs/s", "less embedding", "p50 ms", "p95 ms", "peak MB",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """One system on one corpus.

    Attributes:
        scores: nDCG@10 by query id.
        ingest_s: Seconds for all documents, embedding and commits included.
        embed_s: Seconds of them inside the embedder, which all systems share.
        bytes_before: Peak memory with libraries and embedder loaded, before the ingest.
        bytes_peak: Peak memory of the whole process at its end.
    """

    system: str
    documents: int
    scores: Mapping[str, float]
    ingest_s: float
    embed_s: float
    milliseconds: tuple[float, ...]
    bytes_before: int
    bytes_peak: int

    def quantile(self, share: float) -> float:
        """Return a quantile of the query times, in milliseconds."""
        return float(np.quantile(self.milliseconds, share)) if self.milliseconds else float("nan")

    def interval(self, *, seed: int) -> Interval:
        """Return the mean of the scores with its interval."""
        return bootstrap_mean(list(self.scores.values()), seed=seed)


def judged(
    system: str,
    found: Mapping[str, Any],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    documents: int,
) -> Outcome:
    """Return what a player found, judged."""
    asked = {query_id: qrels[query_id] for query_id in found["rankings"] if query_id in qrels}
    rankings = {query_id: found["rankings"][query_id] for query_id in asked}
    scores = ranking_scores(rankings, asked, measures=[MEASURE])[MEASURE]
    return Outcome(
        system=system,
        documents=documents,
        scores=scores,
        ingest_s=found["ingest_s"],
        embed_s=found["embed_s"],
        milliseconds=tuple(found["milliseconds"]),
        bytes_before=found["bytes_before"],
        bytes_peak=found["bytes_peak"],
    )


def row(outcome: Outcome, *, seed: int) -> tuple[str, ...]:
    """Return the cells of a system's row, as ``COLUMNS`` names them."""
    mean, interval, _ = interval_cells(outcome.interval(seed=seed))
    # Batches may be embedded while others are indexed: the rest is never below nothing.
    rest = max(outcome.ingest_s - outcome.embed_s, 1e-9)
    return (
        outcome.system,
        mean,
        interval,
        f"{outcome.documents / outcome.ingest_s:.1f}",
        f"{outcome.documents / rest:,.0f}",
        f"{outcome.quantile(0.5):.1f}",
        f"{outcome.quantile(0.95):.1f}",
        f"{outcome.bytes_peak / 1e6:,.0f}",
    )


def entry(outcome: Outcome, *, seed: int) -> dict[str, Any]:
    """Return a system's entry in the JSON file."""
    return {
        "note": SYSTEMS[outcome.system].note,
        "packages": SYSTEMS[outcome.system].packages,
        "measure": {MEASURE: asdict(outcome.interval(seed=seed))},
        "by_query": dict(outcome.scores),
        "ingest": {
            "documents": outcome.documents,
            "seconds": outcome.ingest_s,
            "embedding_seconds": outcome.embed_s,
        },
        "p50_ms": outcome.quantile(0.5),
        "p95_ms": outcome.quantile(0.95),
        "bytes_before": outcome.bytes_before,
        "bytes_peak": outcome.bytes_peak,
    }


def against(outcomes: Sequence[Outcome], *, seed: int) -> dict[str, Comparison]:
    """Return how ragstack stands against each of the others, query by query."""
    ours = next((outcome for outcome in outcomes if outcome.system == OURS), None)
    if ours is None:
        return {}
    return {
        other.system: compare_paired(
            list(ours.scores.values()),
            [other.scores[query_id] for query_id in ours.scores],
            seed=seed,
        )
        for other in outcomes
        if other is not ours
    }

"""Rankings and judgements in, numbers for each query out; knows nothing of how a ranking was made.

Every measure is trec_eval's, through ir-measures and pytrec_eval: nDCG with linear gain and a
log2(rank + 1) discount from rank 1 (Järvelin and Kekäläinen 2002), recall and precision over
judgements above 0, MRR and MAP over the whole ranking given. A hit is one relevant document or
more among the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import ir_measures
from ir_measures import AP, RR, P, R, Success, nDCG

from ragstack.errors import InputError

__all__ = ["MEASURES", "fold_to_documents", "mean_scores", "ranking_scores"]

MEASURES: Mapping[str, ir_measures.Measure] = {
    "nDCG@10": nDCG @ 10,
    "recall@10": R @ 10,
    "recall@100": R @ 100,
    "MRR": RR,
    "MAP": AP,
    "precision@5": P @ 5,
    "hit@5": Success @ 5,
}


def ranking_scores(
    rankings: Mapping[str, Sequence[str]],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    measures: Sequence[str] = tuple(MEASURES),
) -> dict[str, dict[str, float]]:
    """Return, for each measure, the value for each judged query.

    A judged query without a ranking counts 0. The order given is the ranking: equal scores were
    already broken by whoever ranked, so trec_eval's own way with ties never applies.

    Args:
        rankings: Document ids by query id, best first, none twice.
        qrels: Relevance by query id and document id; above 0 is relevant.
        measures: Names out of ``MEASURES``.

    Raises:
        InputError: A measure that is not there, or a document ranked twice.
    """
    unknown = [name for name in measures if name not in MEASURES]
    if unknown:
        raise InputError(f"no measure is named {unknown[0]!r}; known: {', '.join(MEASURES)}")
    by_measure = {MEASURES[name]: name for name in measures}
    found: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    judged = [
        ir_measures.Qrel(query_id, document_id, relevance)
        for query_id, judgements in qrels.items()
        for document_id, relevance in judgements.items()
    ]
    if not judged:
        return found
    for value in ir_measures.iter_calc(list(by_measure), judged, _scored(rankings)):
        found[by_measure[value.measure]][value.query_id] = float(value.value)
    return found


def mean_scores(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return each measure's mean over its queries; 0 for none."""
    return {
        name: sum(values.values()) / len(values) if values else 0.0
        for name, values in scores.items()
    }


def fold_to_documents(document_ids: Iterable[str]) -> list[str]:
    """Return each document once, where its best chunk stood."""
    return list(dict.fromkeys(document_ids))


def _scored(rankings: Mapping[str, Sequence[str]]) -> list[ir_measures.ScoredDoc]:
    run = []
    for query_id, document_ids in rankings.items():
        if len(set(document_ids)) != len(document_ids):
            raise InputError(f"the ranking of query {query_id!r} holds a document twice")
        run += [
            ir_measures.ScoredDoc(query_id, document_id, -float(rank))
            for rank, document_id in enumerate(document_ids)
        ]
    return run

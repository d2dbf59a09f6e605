"""Every expected number here is worked out by hand."""

from __future__ import annotations

import math

import pytest

from ragstack.errors import InputError
from ragstack_evals.metrics import fold_to_documents, mean_scores, ranking_scores

QRELS = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"z": 1}}
RANKINGS = {"q1": ["x", "b", "c", "a"], "q2": ["y"]}


def test_ndcg_worked_example() -> None:
    scores = ranking_scores(RANKINGS, QRELS, measures=["nDCG@10"])
    gained = 1 / math.log2(3) + 2 / math.log2(5)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert scores["nDCG@10"] == pytest.approx({"q1": gained / ideal, "q2": 0.0})


def test_ndcg_stops_at_ten() -> None:
    ranking = [f"x{n}" for n in range(10)] + ["z"]
    scores = ranking_scores({"q2": ranking}, {"q2": {"z": 1}}, measures=["nDCG@10", "recall@100"])
    assert scores["nDCG@10"]["q2"] == 0.0
    assert scores["recall@100"]["q2"] == 1.0


def test_reciprocal_rank_average_precision_recall_precision() -> None:
    scores = ranking_scores(RANKINGS, QRELS)
    assert scores["MRR"]["q1"] == pytest.approx(1 / 2)
    assert scores["MAP"]["q1"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert scores["recall@10"]["q1"] == pytest.approx(1.0)
    assert scores["precision@5"]["q1"] == pytest.approx(2 / 5)


def test_the_order_given_is_the_ranking_even_where_ids_would_say_otherwise() -> None:
    # trec_eval breaks ties by id, downwards: with equal scores it would rank "z" first here.
    scores = ranking_scores({"q": ["a", "z"]}, {"q": {"a": 1}}, measures=["MRR"])
    assert scores["MRR"]["q"] == 1.0


def test_a_judged_query_without_a_ranking_counts_nought() -> None:
    scores = ranking_scores({"q1": ["a"]}, QRELS, measures=["MRR"])
    assert scores["MRR"] == {"q1": 1.0, "q2": 0.0}
    assert mean_scores(scores) == {"MRR": 0.5}


def test_an_unjudged_query_does_not_count() -> None:
    scores = ranking_scores({"q9": ["a"], "q2": ["z"]}, {"q2": {"z": 1}}, measures=["MRR"])
    assert scores["MRR"] == {"q2": 1.0}


def test_nothing_judged_is_nothing_measured() -> None:
    assert ranking_scores({"q": ["a"]}, {}, measures=["MRR"]) == {"MRR": {}}
    assert mean_scores({"MRR": {}}) == {"MRR": 0.0}


def test_a_document_ranked_twice_is_refused() -> None:
    with pytest.raises(InputError, match="'q1' holds a document twice"):
        ranking_scores({"q1": ["a", "b", "a"]}, QRELS)


def test_an_unknown_measure_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'ndcg'.*nDCG@10"):
        ranking_scores(RANKINGS, QRELS, measures=["ndcg"])


def test_chunks_fold_to_documents_by_the_best_chunk() -> None:
    assert fold_to_documents(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]

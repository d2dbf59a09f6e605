from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.errors import GenerationError, InputError
from ragstack.rerank.order import edges_first, rerank
from ragstack.testing.rerankers import passage
from ragstack.types import Passage


class Given:
    """Gives the scores it was made with."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = scores

    def score(self, query: str, passages: Sequence[Passage]) -> Sequence[float]:
        return self.scores


PASSAGES = [passage(number, f"text {number}", score=9.0 - number) for number in range(4)]


def _texts(passages: Sequence[Passage]) -> list[str]:
    return [each.chunk.text for each in passages]


def test_best_first_cut_off_and_trail() -> None:
    found = rerank(Given([0.1, 3, -2, 0.5]), "q", PASSAGES, k=2)
    assert _texts(found) == ["text 1", "text 3"]
    assert [each.score for each in found] == [3, 0.5]
    assert found[0].trail == {"vector": 8.0, "rerank": 3.0}
    assert PASSAGES[1].trail == {"vector": 8.0}


def test_the_trail_takes_the_name_it_is_given() -> None:
    (found,) = rerank(Given([2]), "q", PASSAGES[:1], k=1, name="mmr")
    assert found.trail == {"vector": 9.0, "mmr": 2.0}


def test_ties_go_by_chunk_id() -> None:
    found = rerank(Given([1, 1, 1, 1]), "q", PASSAGES[::-1], k=4)
    assert [each.chunk.id for each in found] == sorted(each.chunk.id for each in PASSAGES)


def test_k_above_the_number_is_fine() -> None:
    assert len(rerank(Given([1, 2, 3, 4]), "q", PASSAGES, k=100)) == 4


def test_empty_in_empty_out() -> None:
    assert rerank(Given([]), "q", [], k=3) == []


@pytest.mark.parametrize("k", [0, -1])
def test_k_is_checked(k: int) -> None:
    with pytest.raises(InputError, match="from 1"):
        rerank(Given([1, 2, 3, 4]), "q", PASSAGES, k=k)


def test_a_reranker_that_loses_count_is_named() -> None:
    with pytest.raises(GenerationError, match="3 scores for 4 passages"):
        rerank(Given([1, 2, 3]), "q", PASSAGES, k=3)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(GenerationError, match="no number"):
        rerank(Given([1, math.nan, 3, 4]), "q", PASSAGES, k=3)


def test_the_best_stand_at_both_ends() -> None:
    passages = [passage(number, str(number)) for number in range(1, 7)]
    assert _texts(edges_first(passages)) == ["1", "3", "5", "6", "4", "2"]
    assert _texts(edges_first(passages[:5])) == ["1", "3", "5", "4", "2"]


@given(st.integers(0, 40))
def test_edges_first_keeps_every_passage(number: int) -> None:
    passages = [passage(index, str(index)) for index in range(number)]
    found = edges_first(passages)
    assert sorted(_texts(found)) == sorted(_texts(passages))
    assert found[:1] == passages[:1]
    assert found[1:][-1:] == passages[1:2]


@given(st.lists(st.floats(allow_nan=False), max_size=30), st.integers(1, 40))
def test_order_is_by_score_then_id(scores: list[float], k: int) -> None:
    passages = [passage(index, str(index)) for index in range(len(scores))]
    found = rerank(Given(scores), "q", passages, k=k)
    assert len(found) == min(k, len(scores))
    keys = [(-each.score, each.chunk.id) for each in found]
    assert keys == sorted(keys)
    assert [each.score for each in found] == sorted(scores, reverse=True)[:k]

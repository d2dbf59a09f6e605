from __future__ import annotations

import pytest

from ragstack.errors import InputError
from ragstack.index.fusion import reciprocal_rank, weighted_scores
from ragstack.types import Hit


def hits(*names: str, scores: tuple[float, ...] = ()) -> list[Hit]:
    return [
        Hit(name, scores[place] if scores else float(-place)) for place, name in enumerate(names)
    ]


def test_reciprocal_rank_worked_by_hand() -> None:
    fused = reciprocal_rank({"lexical": hits("a", "b", "c"), "vector": hits("c", "a", "d")})
    assert [hit.chunk_id for hit in fused] == ["a", "c", "b", "d"]
    assert [hit.score for hit in fused] == pytest.approx(
        [1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62, 1 / 63], abs=1e-15
    )


def test_reciprocal_rank_with_weights_and_constant() -> None:
    fused = reciprocal_rank(
        {"a": hits("x", "y"), "b": hits("y")}, constant=0, weights={"a": 0.5, "b": 0.25}
    )
    assert fused == [Hit("x", 0.5), Hit("y", 0.5)]  # 0.5 / 2 + 0.25 / 1: a tie, by id


def test_weighted_scores_worked_by_hand() -> None:
    rankings = {
        "lexical": hits("a", "b", scores=(8.0, 2.0)),
        "vector": hits("b", "c", "a", scores=(0.75, 0.5, 0.25)),
    }
    fused = weighted_scores(rankings, weights={"vector": 2.0}, normalise={"vector": "spread"})
    assert fused == [Hit("b", 1.25), Hit("a", 1.0), Hit("c", 0.5)]
    fused = weighted_scores(rankings, normalise={"lexical": "minmax", "vector": "minmax"})
    assert fused == [Hit("a", 1.0), Hit("b", 1.0), Hit("c", 0.5)]
    fused = weighted_scores(rankings, normalise={"lexical": "none", "vector": "none"})
    assert fused == [Hit("a", 8.25), Hit("b", 2.75), Hit("c", 0.5)]


def test_scores_that_are_all_alike_or_below_zero() -> None:
    flat, below = hits("a", "b", scores=(3.0, 3.0)), hits("c", "d", scores=(-1.0, -2.0))
    assert weighted_scores({"x": flat}) == [Hit("a", 1.0), Hit("b", 1.0)]
    assert weighted_scores({"x": flat}, normalise={"x": "minmax"})[0].score == 1
    assert weighted_scores({"x": flat}, normalise={"x": "spread"})[0].score == 0
    assert weighted_scores({"x": below}) == [Hit("c", 0.0), Hit("d", 0.0)]
    assert weighted_scores({"x": below}, normalise={"x": "spread"})[0] == Hit("c", 1.0)


def test_nothing_gives_nothing() -> None:
    for fuse in (reciprocal_rank, weighted_scores):
        assert fuse({}) == []
        assert fuse({"a": [], "b": []}) == []


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_wrong_weights(weight: float) -> None:
    for fuse in (reciprocal_rank, weighted_scores):
        with pytest.raises(InputError, match="a weight cannot be"):
            fuse({"a": []}, weights={"a": weight})
        with pytest.raises(InputError, match="there is a weight for 'b'"):
            fuse({"a": []}, weights={"b": 1})


def test_wrong_options() -> None:
    with pytest.raises(InputError, match="known: max, minmax, spread, zscore, dbsf, none"):
        weighted_scores({"a": []}, normalise={"a": "best"})
    with pytest.raises(InputError, match="the constant"):
        reciprocal_rank({"a": []}, constant=-1)

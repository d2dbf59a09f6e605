from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstack.index.calibration import FEATURES, Calibration, calibrated
from ragstack.index.fusion import NORMALISERS, reciprocal_rank, weighted_scores
from ragstack.types import Hit

Rankings = dict[str, list[Hit]]
Fuse = Callable[[Mapping[str, Sequence[Hit]]], list[Hit]]

SCORES = st.floats(-100, 100).map(lambda score: round(score, 3))


@st.composite
def any_rankings(draw: st.DrawFn) -> Rankings:
    found = {}
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True)):
        scores = draw(st.dictionaries(st.sampled_from("mnopqrstuvw"), SCORES, max_size=8))
        hits = [Hit(chunk_id, score) for chunk_id, score in scores.items()]
        found[name] = sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
    return found


def every(name: str) -> Fuse:
    return lambda rankings: weighted_scores(rankings, normalise=dict.fromkeys(rankings, name))


FUSES: list[Fuse] = [
    reciprocal_rank,
    partial(reciprocal_rank, constant=0),
    *(every(name) for name in NORMALISERS),
    partial(
        calibrated,
        calibration=Calibration(
            -3.0, {name: dict.fromkeys(FEATURES, 0.1 * n) for n, name in enumerate("abcd", start=1)}
        ),
    ),
]


@pytest.mark.parametrize("fuse", FUSES)
@given(rankings=any_rankings(), seed=st.integers())
def test_order_of_the_rankings_does_not_matter(fuse: Fuse, rankings: Rankings, seed: int) -> None:
    names = list(rankings)
    random.Random(seed).shuffle(names)
    assert fuse({name: rankings[name] for name in names}) == fuse(rankings)


@pytest.mark.parametrize("fuse", FUSES)
@given(rankings=any_rankings())
def test_everything_once_best_first_ties_by_id(fuse: Fuse, rankings: Rankings) -> None:
    fused = fuse(rankings)
    assert sorted(hit.chunk_id for hit in fused) == sorted(
        {hit.chunk_id for hits in rankings.values() for hit in hits}
    )
    assert fused == sorted(fused, key=lambda hit: (-hit.score, hit.chunk_id))


@pytest.mark.parametrize("fuse", FUSES)
@given(rankings=any_rankings())
def test_names_of_chunks_do_not_matter(fuse: Fuse, rankings: Rankings) -> None:
    renamed = {
        name: [Hit("x" + hit.chunk_id, hit.score) for hit in hits]
        for name, hits in rankings.items()
    }
    assert fuse(renamed) == [Hit("x" + hit.chunk_id, hit.score) for hit in fuse(rankings)]


@pytest.mark.parametrize("fuse", FUSES)
@given(rankings=any_rankings(), name=st.sampled_from("abcd"), place=st.integers(0, 7))
def test_rising_in_one_ranking_never_lowers(
    fuse: Fuse, rankings: Rankings, name: str, place: int
) -> None:
    """Swapped with the one before it, a chunk beats no fewer than it did."""
    hits = rankings.get(name, [])
    if not 0 < place < len(hits):
        return
    before, after = hits[place - 1], hits[place]
    risen = list(hits)
    risen[place - 1 : place + 1] = [
        Hit(after.chunk_id, before.score),
        Hit(before.chunk_id, after.score),
    ]
    old = {hit.chunk_id: hit.score for hit in fuse(rankings)}
    new = {hit.chunk_id: hit.score for hit in fuse({**rankings, name: risen})}
    assert new[after.chunk_id] >= old[after.chunk_id]
    assert new[before.chunk_id] <= old[before.chunk_id]
    rest = old.keys() - {after.chunk_id, before.chunk_id}
    assert {each: new[each] for each in rest} == {each: old[each] for each in rest}


@given(any_rankings(), st.sampled_from("abcd"))
def test_weight_of_zero_only_adds_what_it_found(rankings: Rankings, name: str) -> None:
    if name not in rankings:
        return
    without = {other: hits for other, hits in rankings.items() if other != name}
    for fuse in (reciprocal_rank, weighted_scores):
        fused = fuse(rankings, weights={name: 0})
        scores = {hit.chunk_id: hit.score for hit in fuse(without)}
        assert {hit.chunk_id: hit.score for hit in fused if hit.chunk_id in scores} == scores
        assert all(hit.score == 0 for hit in fused if hit.chunk_id not in scores)

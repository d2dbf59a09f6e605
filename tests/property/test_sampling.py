"""Sampling holds its promises whatever the logits and settings are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ragstack.engine.candidates import best_of, covering, most_of, total
from ragstack.engine.drawing import AtLeast, Best, Cut, Mass, These, Wheel, draw_of
from ragstack.engine.sampling import Sampler
from ragstack.engine.typical import Typical
from ragstack.types import Dry, Mirostat, Sampling

_LOGIT = st.one_of(
    st.floats(-40, 40, width=32), st.sampled_from([0.0, 1.0, -math.inf, -3e38, math.nan])
)
_ROWS = st.lists(_LOGIT, min_size=1, max_size=300).filter(
    lambda values: any(math.isfinite(value) for value in values)
)
_TEMPERATURES = st.sampled_from([1e-300, 1e-9, 0.1, 0.7, 1.0, 3.0, 1e30, 1e300])


@st.composite
def samplings(draw: st.DrawFn) -> Sampling:
    memory = {
        "repetition_penalty": draw(st.sampled_from([1.0, 1.3, 0.7])),
        "presence_penalty": draw(st.sampled_from([0.0, 0.5, -1.0])),
        "frequency_penalty": draw(st.sampled_from([0.0, 0.5])),
        "dry": draw(st.sampled_from([None, Dry(), Dry(allowed_length=1, breakers=())])),
        "seed": draw(st.integers(0, 1000)),
        "temperature": draw(_TEMPERATURES),
    }
    if draw(st.booleans()):
        mirostat = Mirostat(draw(st.sampled_from([1, 2])), draw(st.sampled_from([0.1, 3.0, 9.0])))
        return Sampling(mirostat=mirostat, **memory)
    return Sampling(
        top_k=draw(st.sampled_from([0, 1, 2, 40])),
        top_p=draw(st.sampled_from([1.0, 0.9, 0.1, 1e-9])),
        typical_p=draw(st.sampled_from([1.0, 0.9, 0.1])),
        min_p=draw(st.sampled_from([0.0, 0.1, 1.0])),
        **memory,
    )


def sampler_of(sampling: Sampling) -> Sampler:
    return Sampler(sampling, [0, 0, 0], piece=lambda token: b"%d" % token)


def array(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@given(values=_ROWS, sampling=samplings())
def test_what_is_forbidden_is_never_drawn(values: list[float], sampling: Sampling) -> None:
    row, sampler = array(values), sampler_of(sampling)
    for _ in range(8):
        token = sampler.draw(row)
        assert math.isfinite(values[token])
        sampler.accept(token)


@given(values=_ROWS, sampling=samplings())
def test_probabilities_sum_to_one(values: list[float], sampling: Sampling) -> None:
    sampler = sampler_of(sampling)
    tokens, shares = sampler.distribution(array(values))
    assert math.fsum(shares) == pytest.approx(1.0)
    assert (shares > 0.0).all() and len(set(tokens.tolist())) == len(tokens)
    assert sampler.draw(array(values)) in tokens


@given(values=_ROWS, sampling=samplings())
def test_the_same_seed_draws_the_same(values: list[float], sampling: Sampling) -> None:
    def drawn() -> list[int]:
        sampler, found = sampler_of(sampling), []
        for _ in range(6):
            found.append(sampler.draw(array(values)))
            sampler.accept(found[-1])
        return found

    assert drawn() == drawn()


@given(values=_ROWS, k=st.integers(1, 50), seed=st.integers(0, 100))
def test_top_k_draws_one_of_the_best(values: list[float], k: int, seed: int) -> None:
    known = [value if math.isfinite(value) else -math.inf for value in values]
    token = Sampler(Sampling(temperature=5.0, top_k=k, seed=seed)).draw(array(values))
    assert sum(value > known[token] for value in known) < k


@given(values=_ROWS, sampling=samplings())
def test_the_logits_stay_as_they_are(values: list[float], sampling: Sampling) -> None:
    row = array(values)
    sampler_of(sampling).draw(row)
    np.testing.assert_array_equal(row, array(values))


_SIZES = st.sampled_from([1, 63, 64, 65, 1000, 6401, 70_000])


@given(size=_SIZES, k=st.integers(1, 3000), levels=st.sampled_from([2, 50, 10**6]))
def test_the_best_are_those_of_a_sort(size: int, k: int, levels: int) -> None:
    keys = np.random.default_rng(size + k).integers(0, levels, size).astype(np.float32)
    found = best_of(keys, k)
    assert keys[found].tolist() == np.sort(keys)[::-1][:k].tolist()
    assert len(set(found.tolist())) == min(k, size)


@given(size=_SIZES, mass=st.floats(0.0, 1.0))
def test_a_cover_is_the_smallest(size: int, mass: float) -> None:
    weights = np.random.default_rng(size).exponential(1.0, size).astype(np.float32)
    found = covering(weights, weights, mass * total(weights))
    sums = np.cumsum(weights[found], dtype=np.float64)
    assert len(found) == 1 or sums[-2] < mass * total(weights)
    assert len(found) == size or sums[-1] >= mass * total(weights)


@given(size=_SIZES, random=st.floats(0.0, 1.0, exclude_max=True), seed=st.integers(0, 50))
def test_no_weight_no_pick(size: int, random: float, seed: int) -> None:
    dice = np.random.default_rng(seed)
    weights = dice.exponential(1.0, size).astype(np.float32) * (dice.random(size) < 0.02)
    weights[dice.integers(size)] = 1e-30
    assert weights[Wheel(weights).at(random)] > 0.0


def test_picks_have_the_shares_of_their_weights() -> None:
    weights = np.zeros(10_000, np.float32)
    weights[[5, 64, 156, 9_999]] = 1.0, 2.0, 3.0, 4.0
    found = [Wheel(weights).at((i + 0.5) / 1000) for i in range(1000)]
    assert [found.count(token) for token in (5, 64, 156, 9_999)] == [100, 200, 300, 400]


@pytest.mark.parametrize("place", [0, 63, 64, 6399, 6400, 6430])
def test_the_best_is_found_wherever_it_stands(place: int) -> None:
    """Those that fill no whole row of the first look, at the end, are looked at too."""
    keys = np.zeros(6431, np.float32)
    keys[place] = 1.0
    assert best_of(keys, 1).tolist() == [place]
    assert covering(keys, keys, 1.0).tolist() == [place]
    assert Wheel(keys).at(0.999) == place


@given(
    spread=st.sampled_from([0.1, 1.0, 3.0]), mass=st.floats(0.5, 0.9999), seed=st.integers(0, 20)
)
def test_a_large_cover_is_the_smallest_too(spread: float, mass: float, seed: int) -> None:
    """Where thousands count, only the edge of the set is sorted."""
    weights = np.exp(np.random.default_rng(seed).normal(0.0, spread, 40_000)).astype(np.float32)
    goal = mass * total(weights)
    expected = np.sort(weights)[::-1]
    size = int(np.searchsorted(np.cumsum(expected, dtype=np.float64), goal)) + 1
    found = covering(weights, weights, goal)
    assert len(set(found.tolist())) == len(found)
    assert abs(len(found) - size) <= 2  # sums in another order round otherwise
    assert weights[found].min() >= expected[min(size + 1, len(expected) - 1)]


@given(size=_SIZES, k=st.integers(1, 3000), levels=st.sampled_from([2, 50, 10**6]))
def test_the_most_are_the_best_unsorted(size: int, k: int, levels: int) -> None:
    keys = np.random.default_rng(size + k).integers(0, levels, size).astype(np.float32)
    found = most_of(keys, k)
    assert sorted(keys[found].tolist(), reverse=True) == np.sort(keys)[::-1][:k].tolist()
    assert len(set(found.tolist())) == min(k, size)


def test_where_a_grammar_leaves_few_the_best_are_not_sought_among_all() -> None:
    keys = np.full(70_000, -np.inf, np.float32)
    keys[[5, 900, 69_999]] = 1.0, 3.0, 2.0
    assert best_of(keys, 5).tolist() == [900, 69_999, 5, 0, 1]


def cuts_of(weights: NDArray[np.float32], share: float) -> list[Cut]:
    whole = Wheel(weights).whole
    with np.errstate(divide="ignore"):
        scaled = np.log(weights)
    return [
        AtLeast(weights, share * float(weights.max())),
        Best(weights, max(1, int(share * len(weights)))),
        Mass(weights, share * whole),
        Typical(scaled, weights, share * whole, whole),
        These(best_of(weights, 5)),
    ]


@given(size=_SIZES, share=st.floats(0.01, 1.0), seed=st.integers(0, 50))
def test_what_a_cut_keeps_is_what_it_says_it_keeps(size: int, share: float, seed: int) -> None:
    dice = np.random.default_rng(seed)
    weights = np.exp(dice.normal(0.0, 3.0, size)).astype(np.float32)
    weights /= weights.max()
    places = dice.integers(0, size, 20).tolist()
    for cut in cuts_of(weights, share):
        kept = set(cut.kept().tolist())
        wrong = [place for place in places if cut.keeps(place) != (place in kept)]
        # The sums are taken in another order, so what stands at the very edge may differ.
        assert len(set(wrong)) <= 1
        assert not wrong or isinstance(cut, Mass | Typical)


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_draws_of_a_cut_have_the_shares_of_their_weights(which: int, share: float) -> None:
    """Also where most of the weight is cut away, and the cut has to be worked out."""
    dice = np.random.default_rng(3)
    weights = np.exp(dice.normal(0.0, 0.5, 200)).astype(np.float32)
    cut = cuts_of(weights / weights.max(), share)[which]
    kept = cut.kept()
    wheel = Wheel(weights)
    drawn = np.bincount([draw_of(wheel, [cut], dice.random) for _ in range(4000)])
    assert set(np.flatnonzero(drawn).tolist()) <= set(kept.tolist())
    expected = weights[kept] / weights[kept].sum() * 4000
    found = np.pad(drawn, (0, 200 - len(drawn)))[kept]
    # Chi-square beyond five standard deviations of itself.
    loss = float(((found - expected) ** 2 / expected).sum())
    assert loss < len(kept) + 5.0 * math.sqrt(2.0 * len(kept)) + 5.0

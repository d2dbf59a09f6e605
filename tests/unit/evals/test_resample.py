from __future__ import annotations

import math

import pytest

from ragstack.errors import InputError
from ragstack_evals.resample import bootstrap_mean, compare_paired


def test_the_interval_of_a_coin_is_near_the_binomial_one() -> None:
    # 100 tosses, half heads: standard error 0.05, so 95 % is 0.5 ± 0.098.
    found = bootstrap_mean([0.0, 1.0] * 50, seed=1)
    assert found.mean == 0.5
    assert found.n == 100
    assert found.low == pytest.approx(0.402, abs=0.02)
    assert found.high == pytest.approx(0.598, abs=0.02)


def test_equal_values_have_no_spread() -> None:
    found = bootstrap_mean([0.25] * 7)
    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


def test_same_seed_same_interval() -> None:
    values = [math.sqrt(n) for n in range(20)]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_an_empty_sample_has_no_mean() -> None:
    found = bootstrap_mean([])
    assert found.n == 0
    assert math.isnan(found.mean)


@pytest.mark.parametrize(("confidence", "rounds"), [(0.0, 10), (1.0, 10), (0.95, 0)])
def test_bad_arguments_are_refused(confidence: float, rounds: int) -> None:
    with pytest.raises(InputError):
        bootstrap_mean([1.0], confidence=confidence, rounds=rounds)


def test_three_equal_wins_have_the_exact_permutation_probability() -> None:
    # 2 of the 8 sign assignments are as extreme as +++ : p = 0.25.
    found = compare_paired([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], rounds=20_000)
    assert found.p_value == pytest.approx(0.25, abs=0.01)
    assert (found.wins, found.losses) == (3, 0)
    assert found.difference.mean == 1.0


def test_a_steady_difference_is_significant_and_none_is_not() -> None:
    first = [0.5 + 0.01 * n for n in range(30)]
    second = [value - 0.1 for value in first]
    assert compare_paired(first, second).p_value < 0.01
    assert compare_paired(first, first).p_value == 1.0


def test_a_paired_test_needs_pairs() -> None:
    with pytest.raises(InputError, match="1 and 2"):
        compare_paired([1.0], [1.0, 2.0])


def test_no_pairs_no_evidence() -> None:
    assert compare_paired([], []).p_value == 1.0

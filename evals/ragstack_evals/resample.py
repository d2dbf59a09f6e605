"""Values for each query in, intervals and probabilities out; deterministic for a seed.

Queries are the sample: a set of 50 to 100 of them says little alone, so every mean is printed with
its interval, and two systems are compared on the same queries, pair by pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ragstack.errors import InputError

__all__ = ["Comparison", "Interval", "bootstrap_mean", "compare_paired"]

_BLOCK = 1_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the interval that holds it; of an empty sample all are NaN and ``n`` is 0."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much better the first system is, query by query.

    Attributes:
        difference: Mean of first minus second, with its bootstrap interval.
        p_value: Two-sided, of a sign-flip permutation test.
        wins: Queries on which the first is better; ``losses`` those on which it is worse.
    """

    difference: Interval
    p_value: float
    wins: int
    losses: int


def bootstrap_mean(
    values: Sequence[float], *, seed: int = 0, rounds: int = 5_000, confidence: float = 0.95
) -> Interval:
    """Return the mean with its percentile bootstrap interval (Efron 1979).

    Raises:
        InputError: A confidence outside (0, 1), or no rounds.
    """
    if not 0.0 < confidence < 1.0 or rounds < 1:
        raise InputError(
            f"confidence must lie in (0, 1) and rounds above 0, got {confidence!r} and {rounds!r}"
        )
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [
            sample[random.integers(0, sample.size, (size, sample.size))].mean(axis=1)
            for size in _blocks(rounds)
        ]
    )
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(sample.mean()), float(low), float(high), int(sample.size))


def compare_paired(
    first: Sequence[float], second: Sequence[float], *, seed: int = 0, rounds: int = 5_000
) -> Comparison:
    """Return how the first system stands against the second on the same queries.

    The p-value is Fisher's randomisation test: under the null hypothesis the sign of each
    difference is a coin; it counts the observed assignment too, so it is never 0 (Smucker, Allan
    and Carterette 2007).

    Raises:
        InputError: The two were not measured on equally many queries.
    """
    if len(first) != len(second):
        raise InputError(
            f"a paired test needs equal samples, got {len(first)} and {len(second)} values"
        )
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    interval = bootstrap_mean(differences.tolist(), seed=seed, rounds=rounds)
    if differences.size == 0:
        return Comparison(interval, 1.0, 0, 0)
    random = np.random.default_rng(seed)
    observed = abs(differences.sum())
    # A tolerance, because sums of the same numbers in another order differ in the last bits.
    bar = observed - 1e-9 * max(1.0, float(np.abs(differences).sum()))
    extreme = 0
    for size in _blocks(rounds):
        signs = random.integers(0, 2, (size, differences.size)) * 2 - 1
        extreme += int((np.abs(signs @ differences) >= bar).sum())
    return Comparison(
        interval,
        (extreme + 1) / (rounds + 1),
        int((differences > 0).sum()),
        int((differences < 0).sum()),
    )


def _blocks(rounds: int) -> list[int]:
    whole, rest = divmod(rounds, _BLOCK)
    return [_BLOCK] * whole + ([rest] if rest else [])

"""Several rankings in, one out: pure functions over lists of hits. Knows no index."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ragstack.errors import InputError
from ragstack.index.ranking import ranked
from ragstack.types import Hit

__all__ = ["NORMALISERS", "reciprocal_rank", "weighted_scores"]

Value = TypeVar("Value")


def reciprocal_rank(
    rankings: Mapping[str, Sequence[Hit]],
    *,
    constant: float = 60,
    weights: Mapping[str, float] | None = None,
    k: int | None = None,
) -> list[Hit]:
    """Return the best ``k`` hits by the sum of ``weight / (constant + rank)``, ranks from 1.

    Cormack, Clarke, Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods, SIGIR 2009; there the constant is 60 and every weight 1.

    Args:
        weights: Of a ranking by its name; 1 for one that is not named.
        k: None returns all.

    Raises:
        InputError: A weight that is negative or of no ranking; a constant below 0.

    Example:
        >>> reciprocal_rank({"a": [Hit("x", 9), Hit("y", 8)], "b": [Hit("y", 3)]}, constant=60)
        [Hit(chunk_id='y', score=0.03252247488101534), Hit(chunk_id='x', score=0.01639344262295082)]
    """
    if not constant >= 0:
        raise InputError(f"the constant of rank fusion cannot be {constant!r}: 0 or more")
    parts: dict[str, list[float]] = defaultdict(list)
    for name, weight in _weights(rankings, weights).items():
        for rank, hit in enumerate(rankings[name], start=1):
            parts[hit.chunk_id].append(weight / (constant + rank))
    return _ordered(parts, k)


def weighted_scores(
    rankings: Mapping[str, Sequence[Hit]],
    *,
    weights: Mapping[str, float] | None = None,
    normalise: Mapping[str, str] | None = None,
    k: int | None = None,
) -> list[Hit]:
    """Return the best ``k`` hits by the weighted sum of their scores, made comparable first.

    A ranking gives 0 to what it did not find. With ``max`` for BM25 and ``spread`` for cosines the
    vector half speaks as loud as it is sure: where all candidates are equally near (a language its
    model never read), their order counts little. Measured in docs/LOG.md.

    Args:
        weights: Of a ranking by its name; 1 for one that is not named.
        normalise: How a ranking's scores are made comparable, by its name; ``max`` for one that is
            not named. ``max``: its best is 1 (what is below 0 counts as 0). ``minmax``: its best is
            1, its worst 0. ``spread``: how far above its worst. ``zscore``: so many standard
            deviations above its worst. ``dbsf``: the mean less three standard deviations is 0, the
            mean and three 1 (distribution-based score fusion, Mazzeschi 2023). ``none``: as they
            are.
        k: None returns all.

    Raises:
        InputError: A weight that is negative or of no ranking; an unknown way to normalise.
    """
    ways = _named(rankings, normalise, "a normalisation", "max")
    unknown = [way for way in ways.values() if way not in NORMALISERS]
    if unknown:
        raise InputError(
            f"scores cannot be normalised by {unknown[0]!r}; known: {', '.join(NORMALISERS)}"
        )
    parts: dict[str, list[float]] = defaultdict(list)
    for name, weight in _weights(rankings, weights).items():
        hits = rankings[name]
        scores = NORMALISERS[ways[name]]([hit.score for hit in hits])
        for hit, score in zip(hits, scores, strict=True):
            parts[hit.chunk_id].append(weight * score)
    return _ordered(parts, k)


def _max(scores: Sequence[float]) -> Sequence[float]:
    high = max(scores, default=0.0)
    return [max(score, 0.0) / high if high > 0 else 0.0 for score in scores]


def _minmax(scores: Sequence[float]) -> Sequence[float]:
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def _spread(scores: Sequence[float]) -> Sequence[float]:
    low = min(scores, default=0.0)
    return [score - low for score in scores]


def _zscore(scores: Sequence[float]) -> Sequence[float]:
    # Above the worst and not above the mean: what was not found counts as 0, and is no better.
    low, deviation = min(scores, default=0.0), _deviation(scores)
    return [(score - low) / deviation if deviation > 0 else 1.0 for score in scores]


def _dbsf(scores: Sequence[float]) -> Sequence[float]:
    deviation = _deviation(scores)
    if deviation == 0:
        return [0.5] * len(scores)
    low = math.fsum(scores) / len(scores) - 3 * deviation
    return [min(1.0, max(0.0, (score - low) / (6 * deviation))) for score in scores]


def _deviation(scores: Sequence[float]) -> float:
    """Return the standard deviation, 0 where rounding alone would make one."""
    if len(scores) < 2 or min(scores) == max(scores):
        return 0.0
    mean = math.fsum(scores) / len(scores)
    return math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))


def _none(scores: Sequence[float]) -> Sequence[float]:
    return scores


NORMALISERS: Mapping[str, Callable[[Sequence[float]], Sequence[float]]] = {
    "max": _max,
    "minmax": _minmax,
    "spread": _spread,
    "zscore": _zscore,
    "dbsf": _dbsf,
    "none": _none,
}
"""Ways to make the scores of different indexes comparable, by name."""


def _weights(
    rankings: Mapping[str, Sequence[Hit]], weights: Mapping[str, float] | None
) -> Mapping[str, float]:
    found = _named(rankings, weights, "a weight", 1.0)
    wrong = [weight for weight in found.values() if not 0 <= weight < math.inf]
    if wrong:
        raise InputError(f"a weight cannot be {wrong[0]!r}: 0 or more")
    return found


def _named(
    rankings: Mapping[str, Sequence[Hit]],
    given: Mapping[str, Value] | None,
    what: str,
    default: Value,
) -> Mapping[str, Value]:
    unknown = [name for name in given or {} if name not in rankings]
    if unknown:
        raise InputError(
            f"there is {what} for {unknown[0]!r}, but the rankings are: {', '.join(rankings)}"
        )
    return {name: (given or {}).get(name, default) for name in rankings}


def _ordered(parts: Mapping[str, Sequence[float]], k: int | None) -> list[Hit]:
    # fsum: the same whatever the order of the rankings, to the last bit
    return ranked(((math.fsum(scores), chunk_id) for chunk_id, scores in parts.items()), k)

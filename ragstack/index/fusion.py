"""Several rankings in, one out: pure functions over lists of hits. Knows no index."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ragstack.errors import InputError
from ragstack.types import Hit

__all__ = ["NORMALISERS", "reciprocal_rank", "weighted_scores"]


def reciprocal_rank(
    rankings: Mapping[str, Sequence[Hit]],
    *,
    constant: float = 60,
    weights: Mapping[str, float] | None = None,
) -> list[Hit]:
    """Return all hits by the sum of ``weight / (constant + rank)``, the first rank being 1.

    Cormack, Clarke, Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods, SIGIR 2009; there the constant is 60 and every weight 1.

    Args:
        weights: Of a ranking by its name; 1 for one that is not named.

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
    return _ordered(parts)


def weighted_scores(
    rankings: Mapping[str, Sequence[Hit]],
    *,
    weights: Mapping[str, float] | None = None,
    normalise: str = "minmax",
) -> list[Hit]:
    """Return all hits by the weighted sum of their scores, made comparable first.

    A ranking gives 0 to what it did not find.

    Args:
        weights: Of a ranking by its name; 1 for one that is not named.
        normalise: ``minmax``: from 0, its worst hit, to 1, its best; ``max``: its best is 1, and 0
            is 0 (a negative score counts as 0); ``none``: as they are.

    Raises:
        InputError: A weight that is negative or of no ranking; an unknown way to normalise.
    """
    if normalise not in NORMALISERS:
        raise InputError(
            f"scores cannot be normalised by {normalise!r}; known: {', '.join(NORMALISERS)}"
        )
    parts: dict[str, list[float]] = defaultdict(list)
    for name, weight in _weights(rankings, weights).items():
        hits = rankings[name]
        scores = NORMALISERS[normalise]([hit.score for hit in hits])
        for hit, score in zip(hits, scores, strict=True):
            parts[hit.chunk_id].append(weight * score)
    return _ordered(parts)


def _minmax(scores: Sequence[float]) -> Sequence[float]:
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def _max(scores: Sequence[float]) -> Sequence[float]:
    high = max(scores, default=0.0)
    return [max(score, 0.0) / high if high > 0 else 0.0 for score in scores]


def _none(scores: Sequence[float]) -> Sequence[float]:
    return scores


NORMALISERS = {"minmax": _minmax, "max": _max, "none": _none}
"""Ways to make the scores of different indexes comparable, by name."""


def _weights(
    rankings: Mapping[str, Sequence[Hit]], weights: Mapping[str, float] | None
) -> dict[str, float]:
    given = weights or {}
    unknown = [name for name in given if name not in rankings]
    if unknown:
        raise InputError(
            f"there is a weight for {unknown[0]!r}, but the rankings are: {', '.join(rankings)}"
        )
    wrong = [weight for weight in given.values() if not 0 <= weight < math.inf]
    if wrong:
        raise InputError(f"a weight cannot be {wrong[0]!r}: 0 or more")
    return {name: float(given.get(name, 1.0)) for name in rankings}


def _ordered(parts: Mapping[str, Sequence[float]]) -> list[Hit]:
    # fsum: the same whatever the order of the rankings, to the last bit
    hits = [Hit(chunk_id, math.fsum(scores)) for chunk_id, scores in parts.items()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))

"""A reranker and passages in, the best ``k`` in order out, the score added to their trail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ragstack.errors import GenerationError, InputError
from ragstack.protocols import Reranker
from ragstack.types import Passage

__all__ = ["edges_first", "rerank"]


def rerank(
    reranker: Reranker, query: str, passages: Sequence[Passage], *, k: int, name: str = "rerank"
) -> list[Passage]:
    """Return the best ``k`` passages by the reranker's scores, best first, ties by chunk id.

    Args:
        name: The score's name in the trail.

    Raises:
        InputError: ``k`` is under 1.
        GenerationError: The reranker gave another number of scores, or one that is no number.
    """
    if k < 1:
        raise InputError(f"k is how many passages to return, from 1, got {k!r}")
    if not passages:
        return []
    scores = [float(score) for score in reranker.score(query, passages)]
    if len(scores) != len(passages):
        raise GenerationError(
            f"the reranker gave {len(scores)} scores for {len(passages)} passages; "
            "expected one for each"
        )
    if any(math.isnan(score) for score in scores):
        raise GenerationError("the reranker gave a score that is no number")
    scored = [
        replace(passage, score=score, trail={**passage.trail, name: score})
        for passage, score in zip(passages, scores, strict=True)
    ]
    return sorted(scored, key=lambda passage: (-passage.score, passage.chunk.id))[:k]


def edges_first(passages: Sequence[Passage]) -> list[Passage]:
    """Return passages that come best first so that the best stand at both ends.

    First the first, last the second, and so inwards: generators overlook what stands in the middle
    of a long context (Liu et al. 2023, "Lost in the Middle", arXiv:2307.03172).
    """
    return [*passages[::2], *passages[1::2][::-1]]

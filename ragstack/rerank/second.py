"""Passages that a search found in, the best of them by a reranker out, within a time.

The reranker only scores; how many passages it sees is decided here, from what one took it before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from ragstack.errors import ConfigError
from ragstack.protocols import Reranker
from ragstack.rerank.order import rerank
from ragstack.types import Passage

__all__ = ["SKIPPED", "Second"]

SKIPPED = "rerank.skipped"
"""In the trail of a passage that there was no time to rerank, with the value 1."""

_PER_WANTED = 4  # passages given to a reranker for each one asked for
_FIRST = 4  # passages reranked by one whose speed is not known yet
_MEMORY = 0.3  # weight of the latest measurement


class Second:
    """The second stage of a search. Safe to use from many threads.

    Args:
        reranker: What scores.
        depth: Passages it is given; 0 is four for each one asked for.
        budget_ms: Time it may take for a question; 0 is any. Its speed is learnt: the first
            question is given few passages, later ones what there is time for. At least one is
            reranked.

    Raises:
        ConfigError: A depth or a time below 0.
    """

    def __init__(self, reranker: Reranker, depth: int = 0, budget_ms: float = 0.0) -> None:
        if depth < 0 or not budget_ms >= 0:
            raise ConfigError(
                f"rerank_depth={depth!r}, rerank_ms={budget_ms!r}: neither can be below 0"
            )
        self._reranker = reranker
        self._depth = depth
        self._budget_s = budget_ms / 1e3
        self._lock = threading.Lock()
        self._passage_s: float | None = None

    def wanted(self, k: int) -> int:
        """Return how many passages the search should find, so that ``k`` can be chosen."""
        return max(k, self._depth or k * _PER_WANTED)

    def best(self, question: str, passages: Sequence[Passage], *, k: int) -> list[Passage]:
        """Return the best ``k``; what was not reranked follows in the order it came in."""
        count = self._affordable(len(passages))
        began = time.perf_counter()
        found = rerank(self._reranker, question, passages[:count], k=k)
        if count:
            self._learn((time.perf_counter() - began) / count)
        rest = [
            replace(passage, trail={**passage.trail, SKIPPED: 1.0})
            for passage in passages[count : count + k - len(found)]
        ]
        return [*found, *rest]

    def _affordable(self, count: int) -> int:
        if not self._budget_s:
            return count
        with self._lock:
            if self._passage_s is None:
                return min(count, _FIRST)
            return min(count, max(1, int(self._budget_s / max(self._passage_s, 1e-9))))

    def _learn(self, passage_s: float) -> None:
        with self._lock:
            known = self._passage_s
            self._passage_s = passage_s if known is None else known + _MEMORY * (passage_s - known)

"""Passages in, scores out that prefer what is near the question and unlike what came before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragstack.errors import ConfigError
from ragstack.protocols import Embedder
from ragstack.types import Passage
from ragstack.vectors import products

__all__ = ["MmrReranker"]


class MmrReranker:
    """Maximal marginal relevance: Carbonell and Goldstein, SIGIR 1998.

    Passages are taken one after another, each time the one with the highest
    ``balance * cos(question, p) - (1 - balance) * max cos(p, taken)``; the maximum is never under
    0. A passage's score is that value when it was taken, which can only fall from one to the next,
    so that sorting by score gives the order of taking.
    """

    def __init__(self, *, embedder: Embedder, balance: float = 0.7) -> None:
        """Choose how much relevance counts against novelty.

        Args:
            balance: 1 is relevance alone, 0 novelty alone.

        Raises:
            ConfigError: It is not between 0 and 1.
        """
        if not 0.0 <= balance <= 1.0:
            raise ConfigError(f"balance is a number from 0 to 1, got {balance!r}")
        self._embedder = embedder
        self._balance = balance

    def score(self, query: str, passages: Sequence[Passage]) -> list[float]:
        """Return each passage's marginal relevance at the moment it was taken, in order."""
        if not passages:
            return []
        vectors = self._embedder.embed_documents([p.chunk.indexed_text for p in passages])
        relevance = products(vectors, self._embedder.embed_queries([query])[0])
        scores = [0.0] * len(passages)
        nearest = np.zeros(len(passages), dtype=np.float32)
        waiting = list(range(len(passages)))
        while waiting:
            worth = self._balance * relevance[waiting] - (1 - self._balance) * nearest[waiting]
            # argmax gives the first of equals: what an earlier stage put higher.
            best = int(np.argmax(worth))
            taken = waiting.pop(best)
            scores[taken] = float(worth[best])
            nearest = np.maximum(nearest, products(vectors, vectors[taken]))
        return scores

"""``multi_query``: the same question in other words, each searched, the rankings fused."""

from __future__ import annotations

from dataclasses import replace

from ragstack.errors import ConfigError
from ragstack.pipeline.transforms.shapes import Queries, fresh, shape, texts_of
from ragstack.protocols import Desk, Plan, Query

__all__ = ["MultiQuery"]

_MOST = 8
_CHARACTERS = 200
_TOKENS = 60  # of one query


class MultiQuery:
    """Adds paraphrases, as RAG-Fusion does (Rackauckas 2024, arXiv:2402.03367).

    Args:
        count: Paraphrases wanted, up to 8.
        weight: Of each in the fusion, the question's being 1.

    Raises:
        ConfigError: A count that cannot be.
    """

    def __init__(self, *, count: int = 3, weight: float = 0.3) -> None:
        if not 1 <= count <= _MOST:
            raise ConfigError(f"multi_query takes a count of 1 to {_MOST}, got {count!r}")
        self._count = count
        self._weight = weight

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with the paraphrases."""
        written = desk.write(
            "multi_query",
            shape(Queries, characters=_CHARACTERS, items=self._count),
            max_tokens=_TOKENS * self._count + 20,
            question=plan.question,
            count=str(self._count),
        )
        texts = texts_of(written, "queries", characters=_CHARACTERS, items=self._count)
        new = fresh(texts, [query.text for query in plan.queries])
        added = tuple(
            Query(text, f"multi_query.{place}", self._weight)
            for place, text in enumerate(new, start=1)
        )
        return replace(plan, queries=(*plan.queries, *added))

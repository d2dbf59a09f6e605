"""``hyde``: a passage that could answer, made up, and the passages near to it."""

from __future__ import annotations

from dataclasses import replace

from ragstack.pipeline.transforms.shapes import Text, fresh, shape, text_of
from ragstack.protocols import Desk, Plan, Query

__all__ = ["Hyde"]

_CHARACTERS = 600


class Hyde:
    """Adds a made-up answer to the vector search: it looks like what is sought.

    Gao et al. 2022, Precise Zero-Shot Dense Retrieval without Relevance Labels (arXiv:2212.10496).
    What it says is searched with and never shown to whoever answers.

    Args:
        weight: Of the made-up passage in the fusion, the question's being 1.
        slot: The index it is searched in.
    """

    def __init__(self, *, weight: float = 0.3, slot: str = "vector") -> None:
        self._weight = weight
        self._slot = slot

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with the made-up passage."""
        written = desk.write(
            "hyde", shape(Text, characters=_CHARACTERS), max_tokens=200, question=plan.question
        )
        text = text_of(written, "text", characters=_CHARACTERS)
        new = fresh([text], [query.text for query in plan.queries])
        added = tuple(Query(passage, "hyde", self._weight, (self._slot,)) for passage in new)
        return replace(plan, queries=(*plan.queries, *added))

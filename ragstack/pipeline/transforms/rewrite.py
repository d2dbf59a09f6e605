"""``rewrite``: a question that leans on a conversation, or rambles, made to stand alone."""

from __future__ import annotations

from dataclasses import replace

from ragstack.pipeline.chat import acceptable
from ragstack.pipeline.transforms.shapes import Text, fresh, shape, text_of
from ragstack.protocols import Desk, Plan, Query

__all__ = ["Rewrite"]

_CHARACTERS = 300


class Rewrite:
    """With a conversation the question is replaced; without one a plainer wording joins it.

    Args:
        weight: Of the plainer wording in the fusion, the question's being 1.
    """

    def __init__(self, *, weight: float = 0.3) -> None:
        self._weight = weight

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with the rewritten question."""
        form = shape(Text, characters=_CHARACTERS)
        if not desk.history:
            written = desk.write("rewrite_alone", form, max_tokens=160, question=plan.question)
            text = text_of(written, "text", characters=_CHARACTERS)
            new = fresh([text], [query.text for query in plan.queries])
            added = tuple(Query(query, "rewrite", self._weight) for query in new)
            return replace(plan, queries=(*plan.queries, *added))
        written = desk.write(
            "rewrite_chat", form, max_tokens=160, question=plan.question, history=desk.history
        )
        text = text_of(written, "text", characters=_CHARACTERS)
        if not acceptable(text, question=plan.question, history=desk.history):
            desk.note("the rewriting was not used: it says what nobody said, or nothing")
            return plan
        queries = tuple(
            replace(query, text=text) if query.label == "question" else query
            for query in plan.queries
        )
        return replace(plan, question=text, queries=queries)

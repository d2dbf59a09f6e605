"""``step_back``: the more general question behind a particular one."""

from __future__ import annotations

import re
from dataclasses import replace

from ragstack.errors import ConfigError
from ragstack.pipeline.transforms.shapes import Text, fresh, shape, text_of
from ragstack.pipeline.words import content_words
from ragstack.protocols import Desk, Plan, Query

__all__ = ["StepBack", "general"]

_CHARACTERS = 200
_LONGEST = 2_000  # characters that the rule looks at
_QUOTED = re.compile(r"[\"“«][^\"”»]{1,200}[\"”»]")


class StepBack:
    """Adds a wider question, for what lies behind.

    Zheng et al. 2023, Take a Step Back (arXiv:2310.06117). By rule it is the question's content
    words without what makes it particular: numbers, names, what stands in quotation marks.

    Args:
        by: ``rule`` or ``generator``.
        weight: Of the wider question in the fusion, the question's being 1.

    Raises:
        ConfigError: Another way than these.
    """

    def __init__(self, *, by: str = "generator", weight: float = 0.05) -> None:
        if by not in ("rule", "generator"):
            raise ConfigError(f"step_back works by 'rule' or 'generator', got {by!r}")
        self._by = by
        self._weight = weight

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with the wider question."""
        if self._by == "rule":
            text = general(plan.question)
        else:
            form = shape(Text, characters=_CHARACTERS)
            written = desk.write("step_back", form, max_tokens=100, question=plan.question)
            text = text_of(written, "text", characters=_CHARACTERS)
        new = fresh([text], [query.text for query in plan.queries])
        added = tuple(Query(query, "step_back", self._weight) for query in new)
        return replace(plan, queries=(*plan.queries, *added))


def general(question: str) -> str:
    """Return a question's content words without numbers, names and what is quoted.

    Empty where nothing would be left to search for, or nothing particular stands in it.

    Example:
        >>> general("How high were the tides at Varn in March 1871?")
        'high tides'
    """
    text = _QUOTED.sub(" ", question[:_LONGEST])
    kept = []
    for word in content_words(text):
        raw = text[word.span[0] : word.span[1]]
        first = not text[: word.span[0]].strip()
        if word.form[:1].isdigit() or (raw[:1].isupper() and not first):
            continue
        kept.append(raw)
    everything = content_words(question[:_LONGEST])
    return " ".join(kept) if len(kept) >= 2 and len(kept) < len(everything) else ""

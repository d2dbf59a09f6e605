"""``decompose``: a question of several parts, each part searched by itself."""

from __future__ import annotations

import re
from dataclasses import replace

from ragstack.errors import ConfigError
from ragstack.pipeline.transforms.shapes import Queries, fresh, shape, texts_of
from ragstack.pipeline.words import content_words
from ragstack.protocols import Desk, Plan, Query

__all__ = ["Decompose", "parts_of"]

_CHARACTERS = 200
_LONGEST = 2_000  # characters that the rules look at
_SENTENCE = re.compile(r"(?<=[?!.;])\s+|\s*;\s*")
_ASKING = (
    r"who|whom|whose|what|when|where|which|why|how|qui|que|quoi|quand|où|ou|quel|quelle|quels|quelles"
    r"|pourquoi|comment|combien|does|did|is|are|was|were|can|est-ce"
)
_JOINED = re.compile(rf"[\s,]+(?:and|et)\s+(?=(?:{_ASKING})\b)", re.IGNORECASE)
_COMPARED = re.compile(
    r"^(?P<head>.*?\b(?:difference|differences|différence|différences|compare|compares|comparer|"
    r"comparison|comparaison)\b)(?:\s+(?:between|entre|of|de|des|du))?\s+(?P<one>.+?)\s+"
    r"(?:and|with|to|versus|vs\.?|et|avec|à)\s+(?P<two>.+?)(?P<tail>[\s?.!]*)$",
    re.IGNORECASE,
)


class Decompose:
    """Adds the parts of a question as questions of their own.

    Least-to-most prompting decomposes so (Zhou et al. 2022, arXiv:2205.10625); the rules here take
    apart what is joined by a sign or a word, and need no generator.

    Args:
        by: ``rule`` or ``generator``.
        most: Parts at most, up to 8.
        weight: Of each in the fusion, the question's being 1.

    Raises:
        ConfigError: An option that cannot be.
    """

    def __init__(self, *, by: str = "rule", most: int = 4, weight: float = 0.3) -> None:
        if by not in ("rule", "generator"):
            raise ConfigError(f"decompose works by 'rule' or 'generator', got {by!r}")
        if not 2 <= most <= 8:
            raise ConfigError(f"decompose takes a most of 2 to 8, got {most!r}")
        self._by = by
        self._most = most
        self._weight = weight

    def plan(self, plan: Plan, desk: Desk) -> Plan:
        """Return the plan with the parts; a question of one part stays as it is."""
        parts = parts_of(plan.question) if self._by == "rule" else self._written(plan, desk)
        new = fresh(parts, [query.text for query in plan.queries])[: self._most]
        if len(new) < 2:
            # One part is the question again.
            return plan
        added = tuple(
            Query(text, f"decompose.{place}", self._weight)
            for place, text in enumerate(new, start=1)
        )
        return replace(plan, queries=(*plan.queries, *added))

    def _written(self, plan: Plan, desk: Desk) -> list[str]:
        written = desk.write(
            "decompose",
            shape(Queries, characters=_CHARACTERS, items=self._most),
            max_tokens=60 * self._most,
            question=plan.question,
        )
        return texts_of(written, "queries", characters=_CHARACTERS, items=self._most)


def parts_of(question: str) -> list[str]:
    """Return the parts of an English or French question: sentences, joined questions, compared.

    Example:
        >>> parts_of("Who built the lighthouse and when was it lit?")
        ['Who built the lighthouse', 'when was it lit?']
    """
    text = " ".join(question[:_LONGEST].split())
    if compared := _COMPARED.match(text):
        return [compared["one"].strip(" ,"), compared["two"].strip(" ,")]
    pieces = [p for sentence in _SENTENCE.split(text) for p in _JOINED.split(sentence)]
    return [piece.strip() for piece in pieces if content_words(piece)]

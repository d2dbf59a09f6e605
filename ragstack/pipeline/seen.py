"""What the searches of one question saw in, every candidate out: its scores, and how far it came.

Whoever wants to know gives one along with a search; a search without one looks no deeper for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from ragstack.types import Passage

__all__ = ["Candidate", "Fate", "Seen"]


class Fate(IntEnum):
    """How far a candidate came."""

    FOUND = 1  # an index found it; others stood before it
    JOINED = 2  # a larger passage stands for it
    SCORED = 3  # a reranker was given it
    RANKED = 4  # among the best for a query


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that a search saw.

    Attributes:
        passage: As it was seen last, its trail telling every score it was given.
        fate: The farthest that it came.
        why: Why it came no farther.
    """

    passage: Passage
    fate: Fate
    why: str


class Seen:
    """Candidates of one question, gathered while it is searched; for one thread."""

    def __init__(self) -> None:
        self._candidates: dict[str, Candidate] = {}

    @property
    def candidates(self) -> list[Candidate]:
        """Every candidate: the farthest first, then in the order of its last ranking."""
        return sorted(self._candidates.values(), key=lambda one: -one.fate)

    def note(self, passages: Sequence[Passage], fate: Fate, why: str) -> None:
        """Add what a ranking holds; what was seen before keeps its scores and its best fate."""
        for passage in passages:
            known = self._candidates.get(passage.chunk.id)
            if known is None:
                self._candidates[passage.chunk.id] = Candidate(passage, fate, why)
            elif fate >= known.fate:
                # Taken out first, so that the order is that of the last ranking.
                del self._candidates[passage.chunk.id]
                trail = {**known.passage.trail, **passage.trail}
                self._candidates[passage.chunk.id] = Candidate(
                    replace(passage, trail=trail), fate, why
                )
            else:
                trail = {**passage.trail, **known.passage.trail}
                held = replace(known.passage, trail=trail)
                self._candidates[passage.chunk.id] = replace(known, passage=held)

    def take(self, other: Seen) -> None:
        """Add all that another one gathered."""
        for one in other._candidates.values():
            self.note([one.passage], one.fate, one.why)

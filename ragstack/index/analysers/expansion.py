"""The words of a query in, what else they may be called out, by a user's synonyms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ragstack.index.analysers.synonyms import Synonym

__all__ = ["Expander", "Found"]

Word = tuple[str, ...]
_MOST = 24  # phrases that one phrase may also be called, the heaviest first


class Found(NamedTuple):
    """A phrase of a query that has a synonym.

    Attributes:
        start: Place of its first word; ``end`` is behind its last.
        words: The words of the synonym.
        weight: What it counts where it is found instead.
    """

    start: int
    end: int
    words: Sequence[Word]
    weight: float


class Expander:
    """Finds the phrases of a list of synonyms, in whatever inflection they stand.

    Args:
        cut: Cuts a phrase into words as a query is cut.
    """

    def __init__(self, synonyms: Sequence[Synonym], cut: Callable[[str], Sequence[Word]]) -> None:
        self._cut = cut
        by_phrase: dict[str, dict[str, float]] = defaultdict(dict)
        for phrase, other, weight in synonyms:
            held = by_phrase[phrase]
            held[other] = max(weight, held.get(other, 0.0))
        self._others: dict[tuple[Word, ...], dict[str, float]] = {}
        for phrase, others in by_phrase.items():
            key = tuple(cut(phrase))
            if key:
                self._others.setdefault(key, {}).update(others)
        self._longest = max(map(len, self._others), default=0)

    def find(self, words: Sequence[Word]) -> list[Found]:
        """Return the synonyms of every phrase in the query; of two at one place the longer."""
        found: list[Found] = []
        start = 0
        while start < len(words):
            for end in range(min(len(words), start + self._longest), start, -1):
                others = self._others.get(tuple(words[start:end]))
                if others is not None:
                    found += self._as_found(start, end, others)
                    start = end
                    break
            else:
                start += 1
        return found

    def _as_found(self, start: int, end: int, others: Mapping[str, float]) -> list[Found]:
        heaviest = sorted(others.items(), key=lambda each: -each[1])[:_MOST]
        return [
            Found(start, end, words, weight)
            for other, weight in heaviest
            if (words := self._cut(other))
        ]

"""Passages in, each with what stands before it where it begins in the middle of a thought, out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ragstack.types import Passage

__all__ = ["NEIGHBOUR", "begins_mid_thought", "with_neighbours"]

NEIGHBOUR = "neighbour"
"""In the trail of a passage that was pulled in, with the value 1."""

Before = Callable[[Passage], Passage | None]

_FIRST = re.compile(r"\W*(\w+(?:['’]\w+)?)")
# Words that lean on the sentence before when they begin one, in English and in French.
_LEANING = frozenset(
    [
        "it",
        "its",
        "they",
        "them",
        "their",
        "this",
        "these",
        "those",
        "that",
        "such",
        "he",
        "she",
        "his",
        "her",
        "him",
        "so",
        "then",
        "thus",
        "therefore",
        "however",
        "but",
        "and",
        "or",
        "also",
        "moreover",
        "furthermore",
        "instead",
        "otherwise",
        "similarly",
        "conversely",
        "meanwhile",
        "nevertheless",
        "consequently",
        "hence",
        "yet",
        "il",
        "elle",
        "ils",
        "elles",
        "celui",
        "celle",
        "ceux",
        "celles",
        "ce",
        "cela",
        "ceci",
        "cette",
        "ces",
        "cet",
        "son",
        "sa",
        "ses",
        "leur",
        "leurs",
        "lui",
        "ainsi",
        "donc",
        "alors",
        "cependant",
        "toutefois",
        "mais",
        "et",
        "ou",
        "or",
        "car",
        "aussi",
        "puis",
        "ensuite",
        "pourtant",
        "néanmoins",
        "enfin",
        "c'est",
        "c'était",
    ]
)


def begins_mid_thought(text: str) -> bool:
    """Return whether a text's first word leans on what stood before it, or begins no sentence."""
    found = _FIRST.match(text)
    if found is None:
        return False
    word = found[1]
    return word[0].islower() or word.casefold().replace("’", "'") in _LEANING


def with_neighbours(passages: Sequence[Passage], before: Before) -> list[Passage]:
    """Return the passages, each that begins mid-thought followed by what stands before it.

    What is there already is not added again. Packing puts touching chunks together, in the order of
    the document.
    """
    found = list(passages)
    have = {passage.chunk.id for passage in passages}
    place = 0
    for passage in passages:
        place += 1
        if not begins_mid_thought(passage.chunk.text):
            continue
        neighbour = before(passage)
        if neighbour is not None and neighbour.chunk.id not in have:
            have.add(neighbour.chunk.id)
            found.insert(place, neighbour)
            place += 1
    return found

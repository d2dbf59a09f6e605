"""A text and the terms of a query in, the places of the words that match out."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

__all__ = ["highlights"]

_WORD = re.compile(r"[\w\u0300-\u036f]+")  # with accents that stand apart


def highlights(
    text: str, wanted: Collection[str], terms: Callable[[str], Sequence[str]]
) -> list[tuple[int, int]]:
    """Return the spans of the words that stand as one of the wanted terms, in order.

    A word in a script without spaces is looked at character by character.

    Args:
        terms: Cuts a word into the terms it is indexed as.
    """
    if not wanted:
        return []
    known: dict[str, bool] = {}

    def matches(word: str) -> bool:
        if word not in known:
            known[word] = any(term in wanted for term in terms(word))
        return known[word]

    spans: list[tuple[int, int]] = []
    for found in _WORD.finditer(text):
        word, start = found.group(), found.start()
        if not matches(word):
            continue
        single = [place for place, each in enumerate(word) if _unspaced(each) and matches(each)]
        if not single:
            spans.append(found.span())
        for place in single:
            at = start + place
            if spans and spans[-1][1] == at:
                spans[-1] = (spans[-1][0], at + 1)
            else:
                spans.append((at, at + 1))
    return spans


def _unspaced(character: str) -> bool:
    # Thai and what follows it: letters there have no case, and words no spaces.
    return character >= "\u0e00" and character.lower() == character.upper()

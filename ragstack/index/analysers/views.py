"""A folded word in, its other views out: the word as it stands, its beginning, its n-grams.

A stem makes two words one or keeps them apart, and is wrong both ways: ``création`` and ``créer``
have two, ``général`` and ``généreux`` have one. Each view draws that line elsewhere, and a chunk
gets the weighted sum of what it scores in each, so that near relatives are found and the same word
stands first. n-grams of characters: McNamee and Mayfield, Character N-Gram Tokenization for
European Language Text Retrieval, Information Retrieval 7, 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["VIEWS", "views_of"]

_PREFIX = 5
_GRAM = 4


def _surface(word: str) -> list[str]:
    return ["=" + word]


def _prefix(word: str) -> list[str]:
    return ["<" + word[:_PREFIX]]


def _grams(word: str) -> list[str]:
    last = max(1, len(word) - _GRAM + 1)
    return ["~" + word[start : start + _GRAM] for start in range(last)]


VIEWS: Mapping[str, Callable[[str], list[str]]] = {
    "surface": _surface,
    "prefix": _prefix,
    "grams": _grams,
}
"""The views by name. Each marks its terms with a sign that no word begins with."""


def views_of(word: str, names: tuple[str, ...]) -> list[str]:
    """Return the terms of some views of a folded word, view by view."""
    return [term for name in names for term in VIEWS[name](word)]

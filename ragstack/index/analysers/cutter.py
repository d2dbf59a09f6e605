"""A piece of text in, its terms in one language out; what a piece gave is kept for the next."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import NamedTuple, TypeVar

from ragstack.index.analysers.folding import fold, stemmer
from ragstack.index.analysers.options import AnalyserOptions
from ragstack.index.analysers.parts import is_plain, parts
from ragstack.index.analysers.pieces import clusters, is_unspaced
from ragstack.index.analysers.views import views_of

__all__ = ["Cutter", "Entry", "Kept"]

Value = TypeVar("Value")

_MOST_KEPT = 50_000
_LONGEST_KEPT = 64


class Entry(NamedTuple):
    """A term of a piece.

    Attributes:
        word: What it comes from, as it is written.
        folded: The same in small letters without accents.
        start: Where that stands in the piece; ``end`` is behind it.
        step: How many words it stands after the entry before it; 0 for another view of its place.
        exact: It is the same in every language.
    """

    term: str
    word: str
    folded: str
    start: int
    end: int
    step: int
    exact: bool


class Kept(dict[str, Value]):
    """Remembers what a function gave for a piece, for the pieces that come again."""

    def __init__(self, make: Callable[[str], Value]) -> None:
        self._make = make

    def __missing__(self, piece: str) -> Value:
        made = self._make(piece)
        if len(piece) <= _LONGEST_KEPT:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[piece] = made
        return made


class Cutter:
    """Terms of pieces in one language.

    Args:
        language: Its code; one without a stemmer has its words folded.
    """

    def __init__(self, language: str, options: AnalyserOptions) -> None:
        self._language = language
        self._identifiers = options.identifiers
        self._ngram = options.ngram
        self._views = tuple(options.made_with["views"])
        self._stemmer = stemmer(language if options.stem else "")
        self._stems: Kept[str] = Kept(lambda word: self._stemmer(word, fold(word)))
        self.terms: Kept[tuple[str, ...]] = Kept(self._terms)
        self.views: Kept[tuple[str, ...]] = Kept(self._viewed)

    def stem(self, word: str) -> str:
        """Return the term of a word; nothing for what is too long to be one."""
        return self._stems[word]

    def entries(self, piece: str) -> list[Entry]:
        """Return the terms that a piece of a text is indexed by, in order."""
        if is_unspaced(piece):
            return self._grams(piece, range(1, self._ngram + 1))
        return self._words(piece)

    def asked(self, piece: str) -> list[Entry]:
        """Return the terms that a piece of a query is looked up by.

        Of a run without spaces they are the longest n-grams alone: what holds them holds the rest.
        """
        if is_unspaced(piece):
            longest = min(self._ngram, len(clusters(piece)))
            return self._grams(piece, range(longest, longest + 1))
        return self._words(piece)

    def _words(self, piece: str) -> list[Entry]:
        found: list[Entry] = []
        step = 0
        for word, start, end, after, whole in parts(
            piece, self._language, identifiers=self._identifiers
        ):
            step += after
            folded = fold(word)
            exact = whole and not word.isalpha()  # the letters of a name are a word like others
            term = folded if exact else self._stemmer(word, folded)
            if term:
                found.append(Entry(term, word, folded, start, end, step, exact))
                step = 0
        return found

    def _grams(self, piece: str, sizes: range) -> list[Entry]:
        places = clusters(piece)
        found: list[Entry] = []
        for first, (start, _) in enumerate(places):
            step = 1
            for size in sizes:
                if first + size > len(places):
                    break
                end = places[first + size - 1][1]
                folded = fold(piece[start:end])
                if folded:
                    found.append(
                        Entry(folded, piece[start:end], folded, start, end, step, exact=True)
                    )
                    step = 0
        return found

    def _terms(self, piece: str) -> tuple[str, ...]:
        if piece.isalpha() and not is_unspaced(piece) and is_plain(piece, self._language):
            term = self._stemmer(piece, fold(piece))
            return (term,) if term else ()
        if "-" in piece and piece.islower() and piece.replace("-", "").isalpha():
            several = [self.terms[word] for word in piece.split("-")]
            return tuple(chain.from_iterable(several))
        return tuple(entry.term for entry in self.entries(piece))

    def _viewed(self, piece: str) -> tuple[str, ...]:
        return tuple(
            term
            for entry in self.entries(piece)
            if not entry.exact
            for term in views_of(entry.folded, self._views)
        )

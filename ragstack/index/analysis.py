"""Text in, index terms out, for texts of several languages in one index.

All languages share one field and so one set of statistics: with a field for each, the few French
texts of an English base would be measured against an average length of nearly nothing. A text is
cut into terms by its own language; a query by every language that the index holds. Both are cut by
the same functions; only a query is expanded.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from ragstack.index.analysers.cutter import Cutter, Entry
from ragstack.index.analysers.expansion import Expander
from ragstack.index.analysers.folding import LANGUAGES, fold
from ragstack.index.analysers.options import AnalyserOptions, check_languages
from ragstack.index.analysers.pieces import APOSTROPHES, pieces, spans
from ragstack.index.analysers.synonyms import read_synonyms
from ragstack.index.analysers.views import views_of
from ragstack.index.stopwords import STOP_WORDS

__all__ = ["LANGUAGES", "PLAIN", "AnalyserOptions", "Analysis", "Token", "Wanted", "Word"]

PLAIN = ""  # the analysis of a language without a stemmer here: words, folded

_VERSION = 2  # of the terms: another one means that indexes are built anew

Word = tuple[str, ...]
"""The terms that one word of a query may stand as: one for each language, doubles left out."""


class Token(NamedTuple):
    """A term where it stands in a text.

    Attributes:
        start: The first character of the word it comes from; ``end`` is behind the last.
        position: Number of the word in the text. A name and its first part stand at one, so that
            the words of a phrase follow each other whether they are found by it or by its parts.
    """

    term: str
    start: int
    end: int
    position: int


class Wanted(NamedTuple):
    """What a query looks for at one place: terms, of which the best counts, with their weights."""

    forms: Word
    weights: tuple[float, ...]


class Analysis:
    """Terms of texts and of queries.

    Args:
        languages: Codes of the languages whose words are stemmed; a text that names no language is
            taken as the first.
        options: How; None is the default.

    Raises:
        ConfigError: A language without a stemmer, or synonyms that cannot be read.
    """

    def __init__(self, languages: Sequence[str], options: AnalyserOptions | None = None) -> None:
        self._languages = check_languages(languages)
        self._options = options = options or AnalyserOptions()
        self._cutters = {code: Cutter(code, options) for code in (*self._languages, PLAIN)}
        self._views = [(name, weight) for name, weight in options.views.items() if weight]
        lists = {**STOP_WORDS, **options.stop_words}
        self._stops = {
            code: frozenset(fold(word) for word in lists[code])
            for code in self._languages
            if code in lists
        }
        self._synonyms = [
            synonym
            for file in options.synonyms
            for synonym in read_synonyms(file, options.synonym_weight)
        ]
        self._expanders: dict[frozenset[str], Expander] = {}
        self._guard = threading.Lock()

    @property
    def made_with(self) -> Mapping[str, Any]:
        """What an index has to be built anew for, where it is not the same; for JSON."""
        return {
            "version": _VERSION,
            "languages": list(self._languages),
            **self._options.made_with,
        }

    def language(self, named: object) -> str:
        """Return the language a text is analysed as, from what its metadata name."""
        if not isinstance(named, str) or not named:
            return self._languages[0]
        code = named[:2].lower() if named[2:3] in ("", "-", "_") else named
        return code if code in self._cutters else PLAIN

    def terms(self, text: str, language: str) -> list[str]:
        """Return a text's terms, in order."""
        known = self._cutters[language].terms
        return list(chain.from_iterable(map(known.__getitem__, pieces(text))))

    def tokens(self, text: str, language: str) -> list[Token]:
        """Return the terms of ``terms``, each with its place in the text."""
        cutter = self._cutters[language]
        found: list[Token] = []
        position = -1
        for piece, begin in spans(text):
            for term, _, _, start, end, step, _ in cutter.entries(piece):
                position += step
                found.append(Token(term, begin + start, begin + end, position))
        return found

    def views(self, text: str, language: str) -> list[str]:
        """Return the terms of the other views of a text's words, to be indexed beside ``terms``.

        They begin with a sign that no term begins with. None without views.
        """
        if not self._views:
            return []
        known = self._cutters[language].views
        return list(chain.from_iterable(map(known.__getitem__, pieces(text))))

    def words(self, query: str, languages: Collection[str]) -> list[Word]:
        """Return the words of a query to search for, in the languages of an index.

        Stop words are left out, unless there is nothing else. They are those of one language, the
        one that most of the query's words speak for: ``or`` and ``car`` are words in the other.
        """
        spoken, several = self._spoken(query, languages)
        entries = self._entries(query, spoken)
        return [self._forms(entry, several) for entry in self._telling(entries, spoken)]

    def wanted(self, query: str, languages: Collection[str]) -> list[Wanted]:
        """Return all that a query looks for: its words, their synonyms and their other views.

        What is asked twice stands there once, and weighs twice.
        """
        spoken, several = self._spoken(query, languages)
        entries = self._entries(query, spoken)
        telling = {id(entry) for entry in self._telling(entries, spoken)}
        kept = [id(entry) in telling for entry in entries]
        words = [self._forms(entry, several) for entry in entries]
        groups = [dict.fromkeys(word, 1.0) for word in words]
        more: list[Mapping[str, float]] = []
        for start, end, other, weight in self._found(words, several):
            if end - start == 1 and len(other) == 1:
                kept[start] = True
                for form in other[0]:
                    groups[start][form] = max(weight, groups[start].get(form, 0.0))
            else:
                share = weight * (end - start) / len(other)
                more += [dict.fromkeys(word, share) for word in other]
        more = [group for group, keep in zip(groups, kept, strict=True) if keep] + more
        for name, weight in self._views:
            for entry in entries:
                if id(entry) in telling and not entry.exact:
                    more += [{term: weight} for term in views_of(entry.folded, (name,))]
        return _summed(more)

    def _found(self, words: Sequence[Word], languages: frozenset[str]) -> Sequence[Any]:
        if not self._synonyms:
            return ()
        with self._guard:
            expander = self._expanders.get(languages)
            if expander is None:
                # Phrases are read in the first language: they are few words, which tell no other.
                expander = Expander(self._synonyms, lambda phrase: self._phrase(phrase, languages))
                self._expanders[languages] = expander
        return expander.find(words)

    def _phrase(self, phrase: str, languages: frozenset[str]) -> list[Word]:
        spoken, _ = self._spoken(phrase, languages)
        return [self._forms(entry, languages) for entry in self._entries(phrase, spoken)]

    def _entries(self, query: str, spoken: str) -> list[Entry]:
        cutter = self._cutters[spoken]
        return [entry for piece in pieces(query) for entry in cutter.asked(piece)]

    def _telling(self, entries: Sequence[Entry], spoken: str) -> Sequence[Entry]:
        stops = self._stops.get(spoken, frozenset())
        return [entry for entry in entries if entry.folded not in stops] or entries

    def _forms(self, entry: Entry, languages: Collection[str]) -> Word:
        if entry.exact:
            return (entry.term,)
        forms = (self._cutters[code].stem(entry.word) for code in sorted(languages))
        return tuple(dict.fromkeys(form for form in forms if form)) or (entry.folded,)

    def _spoken(self, query: str, languages: Collection[str]) -> tuple[str, frozenset[str]]:
        """Return the language that a query is written in, and those that it is searched in."""
        several = frozenset(languages)
        found = [fold(word) for piece in pieces(query) for word in _apart(piece)]
        votes = {
            code: sum(word in self._stops[code] for word in found)
            for code in self._languages
            if code in several and code in self._stops
        }
        most = max(votes.values(), default=0)
        leading = [code for code, count in votes.items() if count == most]
        if most and len(leading) == 1:
            alone = self._options.query_languages == "detected"
            return leading[0], frozenset(leading) if alone else several
        # No word tells. An elision does: "l'ONU"; and so does a possessive.
        held = [code for code in self._languages if code in several]
        if "fr" in held and not ("en" in held and _possessive(query)):
            return "fr", several
        return (leading or held or [PLAIN])[0], several


def _apart(piece: str) -> list[str]:
    for sign in (*APOSTROPHES, "-"):
        piece = piece.replace(sign, " ")
    return piece.split()


def _possessive(query: str) -> bool:
    return any(f"{sign}s" in query for sign in APOSTROPHES)


def _summed(groups: Sequence[Mapping[str, float]]) -> list[Wanted]:
    times: dict[tuple[tuple[str, float], ...], int] = {}
    for group in groups:
        key = tuple(group.items())
        times[key] = times.get(key, 0) + 1
    return [
        Wanted(tuple(form for form, _ in key), tuple(weight * count for _, weight in key))
        for key, count in times.items()
    ]

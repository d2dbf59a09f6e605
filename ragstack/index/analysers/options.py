"""The ``analyser`` table of an index's configuration in, checked options out."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragstack.errors import ConfigError
from ragstack.index.analysers.folding import LANGUAGES
from ragstack.index.analysers.views import VIEWS

__all__ = ["AnalyserOptions", "check_languages"]

_MOST_WEIGHT = 10.0
_NGRAMS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class AnalyserOptions:
    """How texts and queries become terms.

    Attributes:
        stem: Whether words are stemmed; without it they are only folded.
        identifiers: Whether names and numbers (``AB-1234``, ``loadIndex``, ``3.11.7``, ``2 877``)
            are found as wholes beside their parts.
        ngram: Characters of the longest n-grams of scripts without spaces: 1, 2 or 3.
        views: What else of a word is indexed, and how much it weighs in a query beside the stem's
            1: ``surface``, ``prefix``, ``grams``.
        query_languages: ``index`` reads a query in every language the index holds, ``detected`` in
            the one that it is written in, where its words tell.
        stop_words: Words that queries leave out, by language; they replace the language's list.
        synonyms: A file, or several; see ``docs/guides/languages.md``.
        synonym_weight: What a synonym counts where its line names no weight; None is 0.8 for
            groups, and 0.3 for the entries of a thesaurus.
    """

    stem: bool = True
    identifiers: bool = True
    ngram: int = 2
    views: Mapping[str, float] = field(default_factory=dict)
    query_languages: str = "index"
    stop_words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    synonyms: tuple[Path, ...] = ()
    synonym_weight: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> AnalyserOptions:
        """Return the options of a configuration's table.

        Raises:
            ConfigError: An option there is not, or a value that it cannot have.
        """
        if options is None:
            return cls()
        if not isinstance(options, Mapping):
            raise ConfigError(f"an analyser is a table of options, got {options!r}")
        known = [each.name for each in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                raise ConfigError(
                    f"an analyser has no option {name!r}; known: {', '.join(known)}",
                    hint=f"did you mean {near[0]!r}?" if near else "",
                )
        checked = {name: _CHECKS[name](value) for name, value in options.items()}
        return cls(**checked)

    @property
    def made_with(self) -> Mapping[str, Any]:
        """What an index has to be built anew for, where it changes; for JSON."""
        return {
            "stem": self.stem,
            "identifiers": self.identifiers,
            "ngram": self.ngram,
            "views": sorted(name for name, weight in self.views.items() if weight),
        }


def check_languages(languages: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of an index.

    Raises:
        ConfigError: One has no stemmer here, or there is none.
    """
    wrong = isinstance(languages, str) or not isinstance(languages, Sequence) or not languages
    if wrong or any(code not in LANGUAGES for code in languages):
        raise ConfigError(
            f"the index cannot stem the languages {languages!r}; a list of: " + ", ".join(LANGUAGES)
        )
    return tuple(languages)


def _yes_or_no(name: str) -> Any:
    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{name} of an analyser is true or false, got {value!r}")
        return value

    return check


def _ngram(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value not in _NGRAMS:
        raise ConfigError(f"ngram of an analyser is 1, 2 or 3, got {value!r}")
    return value


def _weight(value: object, name: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value <= _MOST_WEIGHT:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise ConfigError(f"{name} is a number from 0 to {_MOST_WEIGHT:g}, got {value!r}")


def _views(value: object) -> Mapping[str, float]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"views of an analyser are a table of names and weights, got {value!r}")
    for name in value:
        if name not in VIEWS:
            raise ConfigError(f"no view is named {name!r}; known: {', '.join(VIEWS)}")
    return {name: _weight(weight, f"the weight of view {name!r}") for name, weight in value.items()}


def _query_languages(value: object) -> str:
    if value not in ("index", "detected"):
        raise ConfigError(f"query_languages is 'index' or 'detected', got {value!r}")
    return str(value)


def _stop_words(value: object) -> Mapping[str, Sequence[str]]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"stop_words are a table of lists by language, got {value!r}")
    for code, words in value.items():
        if code not in LANGUAGES:
            raise ConfigError(
                f"stop_words are by language, one of: {', '.join(LANGUAGES)}; got {code!r}"
            )
        listed = isinstance(words, Sequence) and not isinstance(words, str)
        if not listed or not all(isinstance(word, str) for word in words):
            raise ConfigError(f"stop_words of {code!r} are a list of words, got {words!r}")
    return {code: tuple(words) for code, words in value.items()}


def _synonyms(value: object) -> tuple[Path, ...]:
    files = [value] if isinstance(value, str | Path) else value
    if isinstance(files, Sequence) and all(isinstance(each, str | Path) for each in files):
        return tuple(Path(each).expanduser() for each in files)
    raise ConfigError(f"synonyms are the path of a file, or a list of such, got {value!r}")


_CHECKS: Mapping[str, Any] = {
    "stem": _yes_or_no("stem"),
    "identifiers": _yes_or_no("identifiers"),
    "ngram": _ngram,
    "views": _views,
    "query_languages": _query_languages,
    "stop_words": _stop_words,
    "synonyms": _synonyms,
    "synonym_weight": lambda value: _weight(value, "synonym_weight"),
}

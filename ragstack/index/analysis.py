"""Text in, index terms out, for texts of several languages in one index.

All languages share one field and so one set of statistics: with a field for each, the few French
texts of an English base would be measured against an average length of nearly nothing. A text is
cut into terms by its own language; a query by every language that the index holds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

from ragstack.errors import ConfigError
from ragstack.index.stopwords import STOP_WORDS

__all__ = ["LANGUAGES", "Analysis", "Word"]

LANGUAGES: Mapping[str, str] = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
"""ISO 639-1 codes and the names of their Snowball stemmers."""

PLAIN = ""  # the analysis of a language without a stemmer here: words, folded

_MAX_TERM_BYTES = 256  # longer runs are data, not words

_ELISION = re.compile(
    r"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|presqu|quelqu)['’ʼ](?=\w)", re.IGNORECASE
)
_COMPOUND = re.compile(r"\b\w*(?:[a-z0-9][A-Z]|[A-Z][A-Z][a-z]|\w_\w)\w*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")

Word = tuple[str, ...]
"""The terms that one word of a query may stand as: one for each language, doubles left out."""


class Analysis:
    """Terms of texts and of queries.

    Args:
        languages: Codes of the languages whose words are stemmed; a text that names no language is
            taken as the first.

    Raises:
        ConfigError: A language without a stemmer.
    """

    def __init__(self, languages: Sequence[str]) -> None:
        unknown = [code for code in languages if code not in LANGUAGES]
        if unknown or isinstance(languages, str) or not languages:
            raise ConfigError(
                f"the index cannot stem the languages {languages!r}; a list of: "
                + ", ".join(LANGUAGES)
            )
        self._first = languages[0]
        self._analyzers = {code: _analyzer(LANGUAGES[code]) for code in languages}
        self._analyzers[PLAIN] = _analyzer(None)
        fold = self._analyzers[PLAIN].analyze
        self._stops = {
            code: frozenset(term for word in STOP_WORDS[code] for term in fold(word))
            for code in languages
            if code in STOP_WORDS
        }

    def language(self, named: object) -> str:
        """Return the language a text is analysed as, from what its metadata name."""
        if not isinstance(named, str) or not named:
            return self._first
        code = named[:2].lower() if named[2:3] in ("", "-", "_") else named
        return code if code in self._analyzers else PLAIN

    def terms(self, text: str, language: str) -> list[str]:
        """Return a text's terms, in order."""
        return self._cut(_prepared(text, french=language == "fr"), language)

    def words(self, query: str, languages: Collection[str]) -> list[Word]:
        """Return the words of a query to search for, in the languages of an index.

        Stop words are left out, unless there is nothing else. They are those of one language, the
        one that most of the query's words speak for: ``or`` and ``car`` are words in the other.
        """
        prepared = _prepared(query, french="fr" in languages)
        found = self._cut(prepared, PLAIN)
        stops = max(
            (self._stops[code] for code in languages if code in self._stops),
            key=lambda each: sum(word in each for word in found),
            default=frozenset[str](),
        )
        kept = [word for word in found if word not in stops] or found
        return [self._forms(word, languages) for word in kept]

    def _forms(self, word: str, languages: Collection[str]) -> Word:
        forms = (form for code in sorted(languages) for form in self._cut(word, code))
        return tuple(dict.fromkeys(forms)) or (word,)

    def _cut(self, text: str, language: str) -> list[str]:
        found: list[str] = self._analyzers[language].analyze(text)
        return found


def _analyzer(stemmer: str | None) -> TextAnalyzer:
    # Folding comes before stemming, so that a word typed without its accents finds the same.
    builder = (
        TextAnalyzerBuilder(Tokenizer.simple())
        .filter(Filter.remove_long(_MAX_TERM_BYTES))
        .filter(Filter.lowercase())
        .filter(Filter.ascii_fold())
    )
    return (builder.filter(Filter.stemmer(stemmer)) if stemmer else builder).build()


def _prepared(text: str, *, french: bool) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).encode("utf-8", "replace").decode()
        if _UNSPACED.search(text):
            # Scripts without spaces: each character is a word.
            text = _UNSPACED.sub(r" \g<0> ", text)
    if french:
        text = _ELISION.sub(" ", text)
    return _COMPOUND.sub(_with_parts, text)


def _with_parts(compound: re.Match[str]) -> str:
    # A name of code is found whole and by its parts: loadIndex, load_index; load, index.
    word = compound.group()
    parts = [part for part in _HUMP.split(word) if part]
    return " ".join([word.replace("_", ""), *parts]) if len(parts) > 1 else word

"""A word in, its letters folded and its stem out, by the Snowball stemmers that tantivy carries."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

__all__ = ["LANGUAGES", "fold", "stemmer"]

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

_MAX_TERM_BYTES = 256  # longer runs are data, not words

# Their endings are told apart by letters that folding takes away; elsewhere folding comes first, so
# that a word typed without its accents finds the same.
_STEM_FIRST = frozenset({"da", "fi", "hu", "no", "ro", "sv", "tr"})

# Not seen, or vowel signs that most writers of Arabic and Hebrew leave out.
_UNSEEN = re.compile(
    "[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f"
    "\u0670\u200b-\u200d\u2060\ufeff]"
)
_DIGIT = re.compile(r"\d")


def _analyzer(*, folding: bool, stemming: str | None = None) -> TextAnalyzer:
    builder = TextAnalyzerBuilder(Tokenizer.raw()).filter(Filter.lowercase())
    if stemming:
        builder = builder.filter(Filter.stemmer(stemming))
    return (builder.filter(Filter.ascii_fold()) if folding else builder).build()


_FOLD = _analyzer(folding=True)
_LOWER = _analyzer(folding=False)


def fold(word: str) -> str:
    """Return a word in small letters without accents; nothing for what is too long to be a word."""
    if word.isascii() and word.isalnum():
        return word.lower() if len(word) < _MAX_TERM_BYTES else ""
    return _UNSEEN.sub("", _run(_FOLD, _clean(word)))


def stemmer(language: str) -> Callable[[str, str], str]:
    """Return what gives the stem, folded, of a word and the same word folded.

    Of a language without a stemmer, and of what has digits in it, it is the folded word.
    """
    stem = _stemmer(language)

    def stemmed(word: str, folded: str) -> str:
        return stem(word, folded) if folded.isalpha() or not _DIGIT.search(folded) else folded

    return stemmed


def _stemmer(language: str) -> Callable[[str, str], str]:
    name = LANGUAGES.get(language)
    if name is None:
        return lambda word, folded: folded
    if language in _STEM_FIRST:
        stem = _analyzer(folding=True, stemming=name)
        return lambda word, folded: _run(stem, _clean(word))
    stem = _analyzer(folding=False, stemming=name)
    if language == "fr":
        return lambda word, folded: _run(stem, _french(folded))
    return lambda word, folded: _run(stem, folded)


def _french(folded: str) -> str:
    # Snowball knows the ending by its accent, which folding took: créées, créée and créé are one.
    if len(folded) > 4:
        if folded.endswith("ees"):
            return folded[:-2]
        if folded.endswith("ee"):
            return folded[:-1]
    return folded


def _clean(word: str) -> str:
    if word.isascii():
        return word
    word = unicodedata.normalize("NFKC", word).encode("utf-8", "replace").decode()
    return _UNSEEN.sub("", word)


def _run(analyzer: TextAnalyzer, word: str) -> str:
    if not word or len(word) >= _MAX_TERM_BYTES or len(word.encode("utf-8")) >= _MAX_TERM_BYTES:
        return ""
    found = analyzer.analyze(word)
    # Folding may leave what is no part of a word (a point, a blank): terms are joined by blanks.
    return "".join(found[0].split()) if found else ""

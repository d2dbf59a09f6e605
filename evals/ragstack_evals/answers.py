"""Answer texts in, agreement with gold answers out: SQuAD's exact match and token F1, in en and fr.

The normalisation is SQuAD's (Rajpurkar et al. 2016): lower case, punctuation and articles dropped.
For French it follows FQuAD (d'Hoffschmidt et al. 2020): the articles are French and an elision is a
word of its own.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ragstack.errors import InputError

__all__ = ["answer_tokens", "best_over", "contained", "exact_match", "token_f1"]

_ARTICLES: Mapping[str, frozenset[str]] = {
    "en": frozenset({"a", "an", "the"}),
    "fr": frozenset({"le", "la", "les", "l", "du", "des", "au", "aux", "un", "une"}),
}
# The letters an elision leaves before its apostrophe (l'eau, d'or, qu'il, jusqu'à); "aujourd'hui"
# is one word.
_ELISION = re.compile(r"\b(l|d|j|m|t|s|n|c|qu|jusqu|lorsqu|puisqu)['’ʼ](?=\w)")
_APOSTROPHES = str.maketrans("", "", "'’ʼ")


def answer_tokens(text: str, *, language: str = "en") -> list[str]:
    """Return the words that count: lower case, no punctuation, no articles; accents are kept.

    ASCII punctuation goes without a trace, as in SQuAD's own script («U.S.» is ``us``, «well-known»
    is ``wellknown``); that script knows no other punctuation: here it goes too, «», quotes and
    dashes leaving a space. In French ``l'eau`` is ``eau`` and ``d'or`` is ``d or``.

    Raises:
        InputError: A language other than ``en`` and ``fr``.
    """
    if language not in _ARTICLES:
        raise InputError(f"no answer normalisation for {language!r}; known: {', '.join(_ARTICLES)}")
    # NFKC makes a no-break space a space and composes letters with their accents: the same word,
    # the same token.
    text = unicodedata.normalize("NFKC", text).lower()
    if language == "fr":
        text = _ELISION.sub(r"\1 ", text)
    text = text.translate(_APOSTROPHES)
    kept = (_kept(character) for character in text)
    return [word for word in "".join(kept).split() if word not in _ARTICLES[language]]


def exact_match(prediction: str, gold: str, *, language: str = "en") -> float:
    """Return 1.0 when both have the same words in the same order, else 0.0."""
    same = answer_tokens(prediction, language=language) == answer_tokens(gold, language=language)
    return float(same)


def token_f1(prediction: str, gold: str, *, language: str = "en") -> float:
    """Return the harmonic mean of precision and recall of the words, as bags.

    When either has no words, it is 1.0 if both have none, else 0.0, as in SQuAD 2.0.
    """
    left = answer_tokens(prediction, language=language)
    right = answer_tokens(gold, language=language)
    if not left or not right:
        return float(left == right)
    shared = (Counter(left) & Counter(right)).total()
    return 2.0 * shared / (len(left) + len(right))


def contained(prediction: str, gold: str, *, language: str = "en") -> float:
    """Return 1.0 when the gold answer's words stand together, in order, in the prediction."""
    words = answer_tokens(prediction, language=language)
    wanted = answer_tokens(gold, language=language)
    if not wanted:
        return 0.0
    starts = range(len(words) - len(wanted) + 1)
    return float(any(words[at : at + len(wanted)] == wanted for at in starts))


def best_over(
    measure: Callable[..., float], prediction: str, golds: Sequence[str], *, language: str
) -> float:
    """Return the best value over the gold answers; 0.0 when there are none."""
    return max((measure(prediction, gold, language=language) for gold in golds), default=0.0)


def _kept(character: str) -> str:
    if character in string.punctuation:
        return ""
    category = unicodedata.category(character)
    if category in ("Pd", "Pi", "Pf"):
        return " "
    return "" if category.startswith("P") else character

"""Words of English and French text: content words, numbers, the language of a question.

Used to check answers against sources. Knows nothing of documents, indexes or generators.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ragstack.types import Span

__all__ = [
    "Word",
    "content_words",
    "fold",
    "language_of",
    "numbers",
    "place_in_order",
    "words",
]

_WORD = re.compile(r"\d+(?:[.,\u00a0\u202f ]\d{3})*(?:[.,]\d+)?|[^\W\d_]+(?:[\u2019'][^\W\d_]+)?")
_ELISION = re.compile(r"^(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)[\u2019']", re.IGNORECASE)
_POSSESSIVE = re.compile(r"[\u2019']s$", re.IGNORECASE)


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH = _set("""
    a an the of in on at to from by for with about as into over after before between during under
    and or but nor so yet if then than that this these those is are was were be been being am do
    does did done has have had having will would shall should can could may might must not no what
    which who whom whose when where why how it its he she they them his her their there here we you
    your our us i my me also such very more most much many some any each other same own just only
    one
""")
_FRENCH = _set("""
    le la les un une des du de d l à au aux en dans sur sous par pour avec sans vers chez entre
    depuis pendant avant après et ou mais ni donc or car que qui quoi dont où quand comment
    pourquoi combien quel quelle quels quelles lequel laquelle est sont était étaient être été sera
    seront a ont avait avaient avoir eu aura fut furent fait font faire ne pas plus moins très il
    elle ils elles on nous vous je tu se sa son ses leur leurs ce cet cette ces ci y c qu n s j m t
    lui me te moi toi cela ça ceci si aussi même tout tous toute toutes autre autres
""")
_ONLY_ENGLISH = _ENGLISH - _FRENCH
_ONLY_FRENCH = _FRENCH - _ENGLISH
_FRENCH_LETTERS = frozenset("éèêëàâçùûîïôœ")

_ENDINGS = (("ies", "y"), ("aux", "al"), ("ees", "e"), ("es", "e"), ("s", ""), ("x", ""))
_NUMBER_WORDS = {
    word: str(value)
    for names in (
        "two three four five six seven eight nine ten eleven twelve",
        "deux troi quatre cinq six sept huit neuf dix onze douze",
    )
    for value, word in enumerate(names.split(), start=2)
}


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is compared, with its characters in the text."""

    form: str
    span: Span


def fold(text: str) -> str:
    """Return the text in lower case without accents, ligatures and typographic quotes."""
    plain = text.casefold().replace("\u2019", "'").replace("œ", "oe").replace("æ", "ae")
    decomposed = unicodedata.normalize("NFKD", plain)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def words(text: str) -> list[Word]:
    """Return the words of a text in order: folded, without elisions and plural endings.

    Numbers up to twelve written as words become digits.
    """
    found = []
    for match in _WORD.finditer(text):
        raw = match.group()
        start = match.start()
        if elision := _ELISION.match(raw):
            start += elision.end()
            raw = raw[elision.end() :]
        form = _stem(fold(_POSSESSIVE.sub("", raw)))
        form = _NUMBER_WORDS.get(form, form)
        if form:
            found.append(Word(form, (start, match.end())))
    return found


def content_words(text: str) -> list[Word]:
    """Return the words that carry meaning: no function words of English or French."""
    return [word for word in words(text) if word.form not in _FOLDED_FUNCTION_WORDS]


def numbers(text: str) -> list[str]:
    """Return the numbers of a text in one form: no thousands separator, a decimal point."""
    return [_number(m.group()) for m in _WORD.finditer(text) if m.group()[0].isdigit()]


def language_of(text: str, *, default: str = "en") -> str:
    """Return ``en`` or ``fr``, judged by function words and accents; the default when undecided."""
    forms = [match.group().casefold() for match in _WORD.finditer(text)]
    pieces = [part for form in forms for part in re.split("[\u2019']", form)]
    french = sum(piece in _ONLY_FRENCH for piece in pieces)
    english = sum(piece in _ONLY_ENGLISH for piece in pieces)
    french += sum(not _FRENCH_LETTERS.isdisjoint(form) for form in forms)
    if french == english:
        return default
    return "fr" if french > english else "en"


def _number(raw: str) -> str:
    compact = re.sub(r"[\u00a0\u202f ]", "", raw)
    compact = re.sub(r"[.,](?=\d{3}(?:\D|$))", "", compact)
    return compact.replace(",", ".")


def _stem(form: str) -> str:
    # Plurals and feminines alone: enough to compare an answer with its source.
    if form[:1].isdigit():
        return _number(form)
    for ending, kept in _ENDINGS:
        if len(form) > len(ending) + 2 and form.endswith(ending) and not form.endswith("ss"):
            return form[: -len(ending)] + kept
    return form


_FOLDED_FUNCTION_WORDS: frozenset[str] = frozenset(
    form for word in (*_ENGLISH, *_FRENCH) for form in (fold(word), _stem(fold(word)))
)


def place_in_order(needle: Sequence[str], haystack: Sequence[str]) -> int | None:
    """Return where the needle first stands in the haystack, contiguous; None where it does not."""
    size, wanted = len(needle), list(needle)
    places = range(len(haystack) - size + 1) if size else range(0)
    return next((i for i in places if list(haystack[i : i + size]) == wanted), None)

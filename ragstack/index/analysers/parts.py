"""A piece of text in, the words it is found by out, each with its place: the whole, then its parts.

``l'AB-1234`` is found as ``ab1234``, ``ab`` and ``1234``; ``loadIndex`` as ``loadindex``, ``load``
and ``index``; ``3.11.7`` as itself and by its numbers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ragstack.index.analysers.numbers import number, ordinal
from ragstack.index.analysers.pieces import APOSTROPHES

__all__ = ["Part", "is_plain", "parts"]

_QUOTE = f"[{APOSTROPHES}]"
_ELISION = {
    "fr": re.compile(
        rf"(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|presqu|quelqu){_QUOTE}", re.IGNORECASE
    ),
    "it": re.compile(
        rf"(?:[cdlmnstv]|un|all|dall|dell|nell|sull|coll|quell|quest|bell|sant|gl){_QUOTE}",
        re.IGNORECASE,
    ),
}
_BEFORE_ELISION = re.compile(rf"[\-\u2010\u2011](?=\w{{1,8}}{_QUOTE})")
_POSSESSIVE = re.compile(rf"{_QUOTE}[sS]$")
_APOSTROPHE = re.compile(_QUOTE)
_JOINED = re.compile(r"[.\-\u2010\u2011/\\@&,: \u00a0\u2009\u202f]")
_SEGMENT = re.compile(r"[^.\-\u2010\u2011/\\@&,: \u00a0\u2009\u202f]+")
_HYPHEN = re.compile(
    r"(?:(?<=[^\W\d_])[\-\u2010\u2011](?=\w)|(?<=\w)[\-\u2010\u2011](?=[^\W\d_])|_)"
)
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_NAME = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)+")
_PATH = re.compile(r".*[/\\].*(?:[/\\]|\.).*|.*\..*[/\\].*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")
_DIGITS = re.compile(r"([^\W\d_]+)(\d+)|(\d+)([^\W\d_]+)")
_CODE_NAME = re.compile(r"\w(?:\+\+|#)")
_LONGEST = 256  # characters; what is longer is no name, but its parts may be words


class Part(NamedTuple):
    """A word, as it is written, and where in its piece.

    Attributes:
        step: How many words it stands after the one before it; 0 where it is a part of it.
        exact: It is indexed as it is here, and not stemmed.
    """

    word: str
    start: int
    end: int
    step: int = 1
    exact: bool = False


def parts(piece: str, language: str, *, identifiers: bool = True) -> list[Part]:
    """Return the words that a piece is found by, in order.

    Args:
        language: Its code; elisions are taken off in French and Italian, possessives in English.
        identifiers: Whether names and numbers are found as wholes; their parts always are.
    """
    if piece.isalpha() and is_plain(piece, language):
        return [Part(piece, 0, len(piece))]
    start, end = 0, len(piece)
    possessive = _POSSESSIVE.search(piece) if language == "en" else None
    if possessive:
        end = possessive.start()
    found: list[Part] = []
    for begin, stop in _split(piece, start, end):
        elided = _ELISION[language].match(piece, begin, stop) if language in _ELISION else None
        if elided and elided.end() < stop:
            begin = elided.end()
        for left, right in _between(_APOSTROPHE, piece, begin, stop):
            found += _named(piece, (left, right), language, identifiers=identifiers)
    return found


def is_plain(letters: str, language: str) -> bool:
    """Return whether letters are a word and nothing else: no ``loadIndex``, no ``XVIIe``."""
    if language == "fr" and letters[0] in "IVXivx" and ordinal(letters, language):
        return False
    return letters.islower() or letters[1:].islower() or letters.isupper() or len(letters) == 1


def _split(piece: str, start: int, end: int) -> list[tuple[int, int]]:
    # A hyphen before an elision ends a word: "Villeneuve-d'Ascq", "presqu'île-de-l'Est".
    found = []
    for match in _BEFORE_ELISION.finditer(piece, start, end):
        found.append((start, match.start()))
        start = match.end()
    return [*found, (start, end)]


def _between(separator: re.Pattern[str], piece: str, start: int, end: int) -> list[tuple[int, int]]:
    found = []
    for match in separator.finditer(piece, start, end):
        if start < match.start():
            found.append((start, match.start()))
        start = match.end()
    if start < end:
        found.append((start, end))
    return found


def _named(piece: str, span: tuple[int, int], language: str, *, identifiers: bool) -> list[Part]:
    start, end = span
    text = piece[start:end]
    if text.isalpha() and (not identifiers or is_plain(text, language)):
        return [Part(text, start, end)]
    whole = _whole(text, language) if identifiers and len(text) <= _LONGEST else None
    if _CODE_NAME.fullmatch(text):
        return [Part(text, start, end, exact=True), Part(text[0], start, start + 1, step=0)]
    if whole is not None and not whole[1]:
        return [Part(whole[0], start, end, exact=True)]
    segments: list[Part] = []
    several = _JOINED.search(text) is not None
    for match in _SEGMENT.finditer(text):
        place = start + match.start(), start + match.end()
        segments += (
            _segment(match.group(), place, language, identifiers=identifiers)
            if several
            else _humps(match.group(), place, identifiers=identifiers)
        )
    if whole is None or not segments:
        return segments
    return [Part(whole[0], start, end, exact=True), segments[0]._replace(step=0), *segments[1:]]


def _segment(text: str, place: tuple[int, int], language: str, *, identifiers: bool) -> list[Part]:
    if identifiers and (known := ordinal(text, language)):
        return [Part(known, *place, exact=True)]
    humps = _humps(text, place, identifiers=identifiers)
    if identifiers and len(humps) > 1 and len(text) <= _LONGEST:
        whole = Part(text.replace("_", ""), *place, exact=True)
        return [whole, humps[0]._replace(step=0), *humps[1:]]
    return humps


def _whole(text: str, language: str) -> tuple[str, bool] | None:
    """Return what a text is called as a whole, and whether it has parts; None if it is no name."""
    known = ordinal(text, language)
    if known:
        return known, False
    known = number(text)
    if known:
        return known, True
    if _ACRONYM.fullmatch(text):
        return text.replace(".", ""), False
    joined = _JOINED.search(text) is not None
    digits = any(map(str.isdecimal, text))
    if joined:
        is_name = (digits or "@" in text or "_" in text or "&" in text or "\\" in text) or bool(
            _NAME.fullmatch(text) or _PATH.fullmatch(text)
        )
        return (_HYPHEN.sub("", text).replace("\\", "/"), True) if is_name else None
    if "_" in text.strip("_") or _HUMP.search(text) or (digits and _DIGITS.fullmatch(text)):
        return text.replace("_", ""), True
    return None


def _humps(text: str, place: tuple[int, int], *, identifiers: bool) -> list[Part]:
    """Return the parts of ``loadIndex``, ``load_index``, ``AB1234`` and ``5km``."""
    base = place[0]
    if not identifiers or len(text) > _LONGEST:
        return [
            Part(text[a:b], base + a, base + b)
            for a, b in _between(_UNDERSCORE, text, 0, len(text))
        ]
    found: list[Part] = []
    for start, stop in _between(_HUMP, text, 0, len(text)):
        mixed = _DIGITS.fullmatch(text, start, stop)
        if mixed:
            cut = mixed.end(1) if mixed[1] else mixed.end(3)
            found += [Part(text[start:cut], base + start, base + cut)]
            start = cut
        found.append(Part(text[start:stop], base + start, base + stop))
    return found


_UNDERSCORE = re.compile("_+")

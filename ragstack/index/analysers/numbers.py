"""A word that is a number in, the one way it is indexed out.

Only what can mean nothing else is changed: groups of three digits, a decimal comma of one or two
digits or more than three, ordinals, and Roman numerals that carry an ordinal's ending.
"""

from __future__ import annotations

import re

__all__ = ["number", "ordinal"]

_GROUPS = re.compile(r"\d{1,3}(?:([ \u00a0\u2009\u202f])\d{3}(?:\1\d{3})*|(?:,\d{3})+)(\.\d+)?")
_DECIMAL_COMMA = re.compile(r"(\d+),(\d{1,2}|\d{4,})")
_FRENCH = re.compile(r"(\d{1,4}|[IVX]{1,7}|[ivx]{1,7})(?:er|re|ère|e|è|ème|eme|ᵉ|ᵉʳ|nd|nde)")
_ROMAN = re.compile(r"(X{0,3})(IX|IV|V?I{0,3})")
_WORDS_TOO = frozenset({"vie", "ie", "ire"})
_VALUES = {"X": 10, "IX": 9, "IV": 4, "V": 5, "I": 1}


def number(word: str) -> str | None:
    """Return digits and a point for ``1,234,567``, ``2 877 215`` and ``14,2``; None for others.

    Example:
        >>> number("2 877 215"), number("1,000.5"), number("14,2"), number("3.11.7")
        ('2877215', '1000.5', '14.2', None)
    """
    if _GROUPS.fullmatch(word):
        return re.sub(r"[^\d.]", "", word)
    found = _DECIMAL_COMMA.fullmatch(word)
    return f"{found[1]}.{found[2]}" if found else None


def ordinal(word: str, language: str) -> str | None:
    """Return ``17e`` for a French ``XVIIe``, ``17ème`` and ``17e``; None for what is no ordinal.

    Example:
        >>> ordinal("XVIIIe", "fr"), ordinal("20ème", "fr"), ordinal("Ier", "fr")
        ('18e', '20e', '1e')
        >>> ordinal("vie", "fr"), ordinal("vive", "fr"), ordinal("XVIIIe", "en")
        (None, None, None)
    """
    found = _FRENCH.fullmatch(word) if language == "fr" else None
    if found is None or word in _WORDS_TOO:
        return None
    if found[1].isdecimal():
        return f"{int(found[1])}e"
    value = _roman(found[1].upper())
    return f"{value}e" if value else None


def _roman(numeral: str) -> int:
    found = _ROMAN.fullmatch(numeral)
    if found is None:
        return 0
    tens, ones = found.groups()
    few = _VALUES.get(ones)
    if few is None:
        few = 5 * ones.startswith("V") + ones.count("I")
    return 10 * len(tens) + few

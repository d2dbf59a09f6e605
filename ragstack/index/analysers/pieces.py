"""Text in, the pieces that are analysed one by one out: runs of letters, with what joins them.

A piece is as long as anything that may be found as a whole can be: ``l'été``, ``AB-1234``,
``a.b@example.com``, ``usr/lib``, ``2 877 215``, or a run of a script that has no spaces. Knows
nothing of languages. A text of letters without joiners is a piece a word, so the same pieces come
again and again, and what they mean is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["APOSTROPHES", "clusters", "is_unspaced", "pieces", "spans"]

APOSTROPHES = "'’ʼ＇"

# Thai, Lao, Myanmar, Khmer, kana, ideographs, Hangul: words are not set apart there, or are
# joined with what Latin scripts write apart. Punctuation of these blocks is left out.
_UNSPACED = (
    "\u0e01-\u0e2e\u0e30-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u1000-\u103f\u1050-\u108f"
    "\u1780-\u17d3\u3005-\u3007\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
# Marks that Python does not count among the letters they stand on, and signs inside words that are
# not seen: a soft hyphen, joiners of no width.
_MARKS = (
    "\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a"
    "\u0900-\u0963\u0966-\u096f\u0971-\u09fc\u0a01-\u0a75\u0a81-\u0aef\u0af9-\u0b77\u0b82-\u0c76"
    "\u0c78-\u0c83\u0c85-\u0df3\u135d-\u135f\u1dc0-\u1dff\u200c\u200d\u2060\u20d0-\u20f0"
    "\ufe20-\ufe2f"
)
_CLUSTER_MARKS = (
    "\u0e31\u0e33-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb3-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u1056-\u1059"
    "\u17b4-\u17d3\u3099\u309a\uff9e\uff9f"
)

_SPACED_NUMBER = r"\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?!\w)"


def _pattern(letter: str, several: str) -> str:
    joiner = rf"(?:[{APOSTROPHES}.\-\u2010\u2011/\\@&]|(?<=\d)[,:](?=\d))"
    return (
        rf"(?<!\w)(?<!\d[.,]){_SPACED_NUMBER}"
        rf"|{several}(?:{joiner}{several})*(?:(?<=\b{letter})(?:\+\+|\#)(?!\w))?"
    )


_PLAIN_TEXT = re.compile(_pattern(r"\w", r"\w+"))
_LETTER = rf"(?:[^\W{_UNSPACED}]|[{_MARKS}])"
_ANY_TEXT = re.compile(f"[{_UNSPACED}]+|" + _pattern(r"\w", rf"{_LETTER}+"))
_NEEDS_CARE = re.compile(f"[{_UNSPACED}{_MARKS}]")
_ONE_UNSPACED = re.compile(f"[{_UNSPACED}]")
_CLUSTER = re.compile(f"[{_UNSPACED}][{_CLUSTER_MARKS}]*")


def pieces(text: str) -> Sequence[str]:
    """Return the pieces of a text, in order."""
    return _fitting(text).findall(text)


def spans(text: str) -> Sequence[tuple[str, int]]:
    """Return the pieces of a text and where each begins."""
    return [(found.group(), found.start()) for found in _fitting(text).finditer(text)]


def is_unspaced(piece: str) -> bool:
    """Return whether a piece is a run of a script without spaces."""
    return _ONE_UNSPACED.match(piece) is not None


def clusters(piece: str) -> list[tuple[int, int]]:
    """Return the spans of the characters of such a run, each with the marks that it carries."""
    return [found.span() for found in _CLUSTER.finditer(piece)]


def _fitting(text: str) -> re.Pattern[str]:
    # Most texts need no more than the short expression, which is several times as fast.
    return _PLAIN_TEXT if text.isascii() or not _NEEDS_CARE.search(text) else _ANY_TEXT

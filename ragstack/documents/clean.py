"""Characters in, readable characters out: ligatures, soft hyphens, control characters, hyphens.

Everything here works on pieces *before* they are written to a document's text, so no offset can
become false. Knows nothing of documents and marks.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["characters", "collapse", "ends_sentence", "joins_word"]

# What was meant by a control character of the second block: a letter of Windows' own encoding.
_WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") or None for code in range(0x80, 0xA0)}
_DROPPED = {
    **dict.fromkeys([*range(0x00, 0x09), *range(0x0E, 0x20), 0x7F]),
    **dict.fromkeys([0x00AD, 0x200B, 0x2060, 0xFEFF, 0xFFFE, 0xFFFF]),
    **dict.fromkeys(range(0xFFF9, 0xFFFD)),
}
_MAPPED = {
    **dict.fromkeys([0x0B, 0x0C, 0x2028, 0x2029], "\n"),
    **dict.fromkeys([0x00A0, 0x2007, 0x202F, 0x2002, 0x2003, 0x2009, 0x3000], " "),
    0xFB00: "ff",
    0xFB01: "fi",
    0xFB02: "fl",
    0xFB03: "ffi",
    0xFB04: "ffl",
    0xFB05: "st",
    0xFB06: "st",
}
_TABLE = {**_WINDOWS, **_DROPPED, **_MAPPED}
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"[ \t\r\n\f\v]+")
_UNUSUAL = re.compile("[^\t\n\r\x20-\x7e]")
_TAIL = re.compile(r"[^\W\d_]{2,}$")
_HEAD = re.compile(r"[^\W\d_]+")
_SENTENCE_END = re.compile(r"[.!?…:;][\"'»”’)\]]*\s*$")


def characters(text: str) -> str:
    r"""Return the text without what no reader sees, ligatures as letters, accents composed.

    Line ends become ``\n``, every kind of space a plain one, a lone surrogate U+FFFD.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not _UNUSUAL.search(text):
        return text
    text = _SURROGATE.sub("\ufffd", text.translate(_TABLE))
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def collapse(text: str) -> str:
    """Return the text on one line, runs of white space as one space, none at the ends."""
    return _SPACES.sub(" ", text).strip(" ")


def joins_word(left: str, right: str) -> bool:
    """Return whether a line that ends in a hyphen and the next one hold one word between them.

    ``exam-`` + ``ple`` does; ``Jean-`` + ``Pierre`` and ``2020-`` + ``21`` keep their hyphen.
    """
    if not left.endswith(("-", "\u2010")):
        return False
    tail, head = _TAIL.search(left[:-1]), _HEAD.match(right)
    return bool(tail and head and head[0].islower() and not tail[0].isupper())


def ends_sentence(text: str) -> bool:
    """Return whether a line ends as a sentence or a lead-in does."""
    return bool(_SENTENCE_END.search(text))

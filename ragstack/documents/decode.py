"""Bytes in, text out, with the encoding that was found. Knows nothing of formats.

The order: a byte order mark, UTF-8, a declared encoding, UTF-16 and UTF-32 by their zeros, the
Windows encoding of Western Europe where its letters are few and French, then charset-normalizer.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from ragstack.errors import UnsupportedDocument

__all__ = ["decode", "head", "text_encoding"]

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 1 << 16
_LONGEST = 4
# Bytes of UTF-8: below 0x80 a letter, from 0x80 what follows a lead, from 0xC0 a lead.
_FOLLOWS, _LEADS = 0x80, 0xC0
# Letters of Western Europe, without those that stand for a common letter in another encoding.
_WESTERN = frozenset(
    "àâäæçèéêëîïíìñóôöœùúûüÿÀÂÄÆÇÈÉÊËÎÏÑÔÖŒÙÛÜŸßáãåõÅÁÍÓÚÕ¡¿«»“”‘’„…–—•·°€£§©®™²µ½ºª\xa0"
)
_MAX_WESTERN = 0.25
_MAX_STRANGE = 0.02
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROL = 0.01
_UNUSUAL = re.compile(rb"[\x80-\xff]")
_BEFORE = 1_000


def decode(data: bytes, *, source: str, declared: str = "") -> str:
    """Return the text of bytes, line ends as they are, without a byte order mark.

    Args:
        declared: What the document says of its encoding; used where the bytes agree.

    Raises:
        UnsupportedDocument: The bytes are no text in any encoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    encoding = text_encoding(data, declared=declared)
    if not encoding:
        raise UnsupportedDocument(f"{source!r} is binary, and of no kind that a loader reads")
    # The encoding was told from a sample: what a later part holds must not lose the document.
    return data.decode(encoding, "replace")


def text_encoding(data: bytes, *, declared: str = "") -> str:
    """Return the encoding of bytes without a byte order mark; an empty string for binary."""
    # Bytes that are UTF-8 by accident hardly exist: it wins over a declaration, except that plain
    # ASCII may be the envelope of something else (ISO-2022-JP).
    order = (declared, "utf-8") if data.isascii() else ("utf-8", declared)
    for encoding in order:
        if encoding and "\x00" not in (_decoded(data, encoding) or "\x00"):
            return encoding
    wide = _wide(data)
    if wide:
        return wide
    sample = head(data, _SAMPLE)
    if len(_CONTROL.findall(sample)) > _MAX_CONTROL * len(sample):
        return ""
    if sample.isascii() and (unusual := _UNUSUAL.search(data)):
        # A long English text may have its only accent far from its beginning.
        sample = head(data[max(unusual.start() - _BEFORE, 0) :], _SAMPLE)
    if _mostly_utf8(sample):
        return "utf-8"
    western = _decoded(sample, "cp1252")
    if western is not None and _is_western(western):
        return "cp1252"
    best = from_bytes(sample).best()
    if best is not None:
        return best.encoding
    return "cp1252" if not _CONTROL.search(sample) else ""


def head(data: bytes, size: int) -> bytes:
    """Return the first bytes, not cut inside of a character of UTF-8."""
    for back in range(1, min(_LONGEST, size) + 1) if size < len(data) else ():
        byte = data[size - back]
        if byte >= _LEADS:
            needed = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return data[: size - back * (needed > back)]
        if byte < _FOLLOWS:
            break
    return data[:size]


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError, ValueError):
        return None


def _wide(data: bytes) -> str:
    # Latin text in UTF-16 has a zero in nearly every second byte, in UTF-32 three in four.
    sample = data[: _SAMPLE // 4 * 4]
    sample = sample[: len(sample) // 4 * 4] or b""
    if len(sample) < 4 or b"\x00" not in sample:
        return ""
    zeros = [sample[i::4].count(0) / (len(sample) / 4) for i in range(4)]
    for encoding, high in (
        ("utf-32-le", (1, 2, 3)),
        ("utf-32-be", (0, 1, 2)),
        ("utf-16-le", (1, 3)),
        ("utf-16-be", (0, 2)),
    ):
        low = [i for i in range(4) if i not in high]
        if min(zeros[i] for i in high) > 0.7 and max(zeros[i] for i in low) < 0.05:
            return encoding if _decoded(sample, encoding) is not None else ""
    return ""


def _is_western(text: str) -> bool:
    foreign = [char for char in text if char > "\x7f"]
    letters = sum(map(str.isalpha, text))
    accented = sum(map(str.isalpha, foreign))
    strange = sum(char not in _WESTERN for char in foreign)
    return strange <= _MAX_STRANGE * len(foreign) and accented <= _MAX_WESTERN * letters


def _mostly_utf8(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    return not bad or bad * 10 <= sum(char > "\x7f" for char in text) - bad

"""Text in, spans of its sentences out, by rules for English and French. Knows no documents.

A sentence ends at ``. ! ? …`` (and their CJK forms), with what closes a quotation after them, when
white space and something that can begin a sentence follow. Abbreviations, initials, list numbers
and decimals do not end one. A blank line, a heading and a list item always do.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ragstack.types import Span

__all__ = ["split"]


class _Rules(NamedTuple):
    """Abbreviations without their last full stop; a capital in one must be there.

    Attributes:
        never: A name or a word must follow: they never end a sentence.
        number: They do not end one when a number follows.
        opening: Words that begin a sentence after initials ("in the U.S. The Senate").
    """

    never: frozenset[str]
    number: frozenset[str]
    opening: frozenset[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH = _Rules(
    never=_words(
        """Mr Mrs Ms Dr Prof Rev Hon St Messrs Mt Gen Col Capt Lt Sgt Cmdr Maj Gov Sen Rep Pres
        Supt Dept e.g i.e viz vs cf approx resp esp incl excl"""
    ),
    number=_words(
        """no nos p pp art arts fig figs vol vols ch chap sec sect para paras par pt eq eqs tab ex
        ca al jan feb mar apr jun jul aug sep sept oct nov dec"""
    ),
    opening=_words(
        """the a an this that these those he she it they we you i there here in on at to for from
        but and or as if when while after before since however his her its their our your my who
        what where why how no yes not one many some most all then so also"""
    ),
)
_FRENCH = _Rules(
    never=_words(
        """M MM Mme Mmes Mlle Mlles Me Dr Drs Pr Prs St Ste Sts Stes Mgr Gal Col Cap Cdt Lt Bd
        p.ex ex c.-à-d c.à.d cf vs env av apr Sté Ets"""
    ),
    number=_words(
        """n no nos p pp art fig vol t chap ch sect par al éd ed tab pl réf tél janv févr avr
        juil sept oct nov déc"""
    ),
    opening=_words(
        """le la les l un une des du de ce cet cette ces il elle ils elles on nous vous je tu en au
        aux dans sur pour par avec mais et ou donc or ni car si quand lorsque comme après avant
        depuis son sa ses leur leurs notre nos votre vos mon ma qui que quoi où pourquoi comment
        non oui tout tous toutes chaque"""
    ),
)
_BOTH = _Rules(*(left | right for left, right in zip(_ENGLISH, _FRENCH, strict=True)))
_RULES = {"en": _ENGLISH, "fr": _FRENCH}

# Where a line break ends whatever stands before it: a blank line; the start of a heading, list
# item, table row, quotation or dialogue; the end of a heading.
_BLOCK = re.compile(
    r"\n(?:[ \t\r]*\n)+"
    r"|\n(?=[ \t]*(?:#{1,6}[ \t]|[-*+•–—][ \t]|\(?\d{1,3}[.)][ \t]|\||>|```|~~~))"
    r"|(?:(?<=\n)|^)[ \t]*(?:#{1,6}[ \t]|\||```|~~~)[^\n]*\n"
)
_SPACE = "[ \\u00a0\\u202f]"
_STOP = re.compile(
    rf"(?P<stop>[.!?…‽]+)(?P<close>(?:{_SPACE}?»|[\"”’')\]*_])*)(?P<gap>\s+|$)"
    r"|(?P<wide>[。！？]+[」』）]*)"
)
_NEXT = re.compile(r"(?:[«\"“‘'(\[¿¡*_]|[—–-]\s)?\s*(?P<word>[^\W_]+|\S)?")
_WORD = re.compile(r"[\w.’'-]+$")
_INITIAL = re.compile(r"(?:[^\W\d_]\.-?)*[^\W\d_]$")
_UNIT = re.compile(r"\d[\s\u00a0\u202f]*[A-Z]$")
_ENUMERATOR = re.compile(r"(?:^|\n)[ \t]*\(?(?:\d{1,3}|[ivxlc]{1,4}|[A-Za-z])$")
# Looked at before a full stop: longer than any abbreviation.
_BEFORE = 24


def split(text: str, language: str = "") -> list[Span]:
    """Return the spans of the sentences, in order, without the white space around them.

    Everything but white space is in one of them.

    Args:
        language: ``en`` or ``fr``; of any other, the abbreviations of both are known.

    Example:
        >>> [text[a:b] for a, b in split("M. Hulot part. Il pleut !", "fr")]
        ['M. Hulot part.', 'Il pleut !']
    """
    rules = _RULES.get(language[:2].lower(), _BOTH)
    spans: list[Span] = []
    start = 0
    for block in _BLOCK.finditer(text):
        _sentences(text, start, block.start(), rules, spans)
        _append(text, block.start(), block.end(), spans)
        start = block.end()
    _sentences(text, start, len(text), rules, spans)
    return spans


def _sentences(text: str, start: int, end: int, rules: _Rules, spans: list[Span]) -> None:
    for found in _STOP.finditer(text, start, end):
        if found["wide"] or _ends(text, found, start, end, rules):
            _append(text, start, found.end(), spans)
            start = found.end()
    _append(text, start, end, spans)


def _append(text: str, start: int, end: int, spans: list[Span]) -> None:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


def _ends(text: str, found: re.Match[str], start: int, end: int, rules: _Rules) -> bool:
    following = _NEXT.match(text, found.end(), end)
    word = following["word"] if following else None
    if word is None:
        return True
    if word[0].islower():
        return False
    if found["stop"] != "." or found["close"]:
        return True
    place = found.start()
    line = text[max(start, place - _BEFORE) : place]
    before = _WORD.search(line)
    if before is None:
        return True
    if _ENUMERATOR.search(line if start < place - _BEFORE else f"\n{line}"):
        return False
    if _UNIT.search(line):
        return True
    return not _continues(before[0].strip("'’-"), word, rules)


def _continues(before: str, word: str, rules: _Rules) -> bool:
    """Return whether a full stop after ``before`` belongs to it and ``word`` goes on."""
    tail = before.rpartition("’")[2].rpartition("'")[2]
    if not rules.never.isdisjoint((before, before.lower(), tail, tail.lower())):
        return True
    if word[0].isdigit() and tail.lower() in rules.number:
        return True
    # "J. Doe", "J.-P. Melville", "U.S. Senate"; but "the U.S. The Senate", and "so do I. Then".
    return bool(_INITIAL.match(tail)) and tail != "I" and word.lower() not in rules.opening

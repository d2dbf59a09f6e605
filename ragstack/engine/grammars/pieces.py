"""Parts of a grammar, each in two forms that mean the same: llguidance's text, and a language.

One form gives the masks, the other how far a text is from its end; both come from one call, so
they cannot drift apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ragstack.engine.grammars.language import Language
from ragstack.errors import GrammarError

__all__ = ["MAX_CODE", "Piece", "Pieces", "Ranges", "excluded"]

MAX_CODE = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)

Ranges = tuple[tuple[int, int], ...]
"""Code points, as pairs of first and last, sorted and apart."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part: its Lark text, fit to stand in a sequence, and its expression."""

    text: str
    node: int


class Pieces:
    """Builds the parts of one grammar, and keeps its rules."""

    def __init__(self, language: Language | None = None) -> None:
        self.language = language or Language()
        self.rules: dict[str, str] = {}

    @property
    def nothing(self) -> Piece:
        """The empty text."""
        return Piece('""', self.language.seq())

    @property
    def fail(self) -> Piece:
        """What no text is in; not to be written out."""
        return Piece("", self.language.alt())

    def literal(self, text: str) -> Piece:
        """Return this very text."""
        if not text:
            return self.nothing
        return Piece(f"/{_escaped(text)}/", self.language.literal(text.encode("utf-8")))

    def chars(self, ranges: Ranges) -> Piece:
        """Return one character of these, as UTF-8."""
        parts = [pair for r in ranges for pair in _without_surrogates(r)]
        if not parts:
            return self.fail
        text = "".join(rf"\x{{{a:x}}}-\x{{{b:x}}}" for a, b in parts)
        language = self.language
        sequences = (row for a, b in parts for row in _utf8(a, b))
        node = language.alt(
            *(
                language.seq(*(language.bytes_of(range(x, y + 1)) for x, y in row))
                for row in sequences
            )
        )
        return Piece(f"/[{text}]/", node)

    def seq(self, *parts: Piece) -> Piece:
        """Return one behind the other."""
        text = " ".join(part.text for part in parts if part.text != '""') or '""'
        return Piece(text, self.language.seq(*(part.node for part in parts)))

    def alt(self, *choices: Piece) -> Piece:
        """Return any of these; those that no text is in are left out."""
        real = [choice for choice in choices if choice.node != self.fail.node]
        if len(real) < 2:
            return real[0] if real else self.fail
        text = " | ".join(dict.fromkeys(choice.text for choice in real))
        return Piece(f"({text})", self.language.alt(*(choice.node for choice in real)))

    def rep(self, part: Piece, least: int = 0, most: int | None = None) -> Piece:
        """Return a part ``least`` to ``most`` times, without end if None."""
        if most == 0 or (part.node == self.fail.node and not least):
            return self.nothing
        count = f"{{{least},{'' if most is None else most}}}"
        return Piece(f"({part.text}){count}", self.language.rep(part.node, least, most))

    def both(self, left: Piece, right: Piece) -> Piece:
        """Return what is in both; of terminals alone."""
        return Piece(f"(({left.text}) & ({right.text}))", self.language.both(left.node, right.node))

    def rule(self, name: str, piece: Piece) -> Piece:
        """Name a part and return its name; a name in capitals is a terminal."""
        self.rules[name] = piece.text
        self.language.define(name, piece.node)
        return self.named(name)

    def named(self, name: str) -> Piece:
        """Return the part of a name, defined before or after."""
        return Piece(name, self.language.ref(name))

    def text(self) -> str:
        """Return the rules in Lark."""
        return "\n".join(f"{name}: {text}" for name, text in self.rules.items())

    def check(self, start: Piece) -> None:
        """Refuse a grammar without a text.

        Raises:
            GrammarError: No finite text is in it.
        """
        self.language.seal()
        if self.language.least(start.node) == float("inf"):
            raise GrammarError("no finite text is in the grammar")


def excluded(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the code points that are in none of these ranges."""
    found, at = [], 0
    for first, last in sorted(ranges):
        if first > at:
            found.append((at, first - 1))
        at = max(at, last + 1)
    if at <= MAX_CODE:
        found.append((at, MAX_CODE))
    return tuple(found)


def _escaped(text: str) -> str:
    """Return a text as a regular expression between slashes."""
    return "".join(
        char if char.isascii() and (char.isalnum() or char in ' ,:"_') else rf"\x{{{ord(char):x}}}"
        for char in text
    )


def _without_surrogates(pair: tuple[int, int]) -> Iterator[tuple[int, int]]:
    first, last = pair
    if first < _SURROGATES[0]:
        yield first, min(last, _SURROGATES[0] - 1)
    if last > _SURROGATES[1]:
        yield max(first, _SURROGATES[1] + 1), last


def _utf8(first: int, last: int) -> Iterator[Sequence[tuple[int, int]]]:
    """Yield sequences of byte ranges that spell exactly the code points of a range."""
    for top in (0x7F, 0x7FF, 0xFFFF):
        if first <= top < last:
            yield from _utf8(first, top)
            yield from _utf8(top + 1, last)
            return
    a, b = chr(first).encode(), chr(last).encode()
    for i in range(1, len(a)):
        low = (1 << (6 * i)) - 1  # the bits of the last i bytes
        if first & ~low != last & ~low:
            if first & low:
                yield from _utf8(first, first | low)
                yield from _utf8((first | low) + 1, last)
                return
            if last & low != low:
                yield from _utf8(first, (last & ~low) - 1)
                yield from _utf8(last & ~low, last)
                return
    yield tuple(zip(a, b, strict=True))


def json_text(value: object) -> str:
    """Return a value as the grammars write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""A regular expression in, a part of a grammar out. What has no finite automaton is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from ragstack.engine.grammars.pieces import MAX_CODE, Piece, Pieces, Ranges, excluded
from ragstack.errors import GrammarError

__all__ = ["from_regex"]

_DIGITS: Ranges = ((0x30, 0x39),)
_WORDS: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACES: Ranges = ((0x09, 0x0D), (0x20, 0x20))
_SETS = {"DIGIT": _DIGITS, "WORD": _WORDS, "SPACE": _SPACES}
_CODE = re.compile(
    r"(?<!\\)((?:\\\\)*)\\x\{([0-9A-Fa-f]{1,6})\}|(?<!\\)((?:\\\\)*)\\u\{([0-9A-Fa-f]{1,6})\}"
)
_MOST = 10_000  # repetitions of one part

Spell = Callable[[Ranges], Piece]


def from_regex(pattern: str, pieces: Pieces, *, spell: Spell, search: bool = False) -> Piece:
    r"""Return the texts that match a pattern from end to end.

    ``\d``, ``\w`` and ``\s`` are ASCII, as in JSON Schema. Look-arounds, back-references and word
    boundaries have no finite automaton here.

    Args:
        spell: Returns characters as they are written: in JSON a quote has a backslash before it.
        search: Text may stand before and behind, but where ``^`` and ``$`` forbid it.

    Raises:
        GrammarError: It is no regular expression, or holds one of these.
    """
    if not isinstance(pattern, str):
        raise GrammarError(f"a pattern is a string, got {pattern!r}")
    try:
        plain = _CODE.sub(
            lambda m: (m[1] or m[3] or "") + rf"\U{int(m[2] or m[4], 16):08x}", pattern
        )
        tree = parser.parse(plain)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise GrammarError(f"{pattern!r} is no regular expression: {error}") from error
    if tree.state.flags & (re.IGNORECASE | re.MULTILINE | re.LOCALE | re.VERBOSE | re.ASCII):
        raise GrammarError(f"the pattern {pattern!r} sets a flag other than 's'")
    reader = _Reader(pattern, pieces, spell, dotall=bool(tree.state.flags & re.DOTALL))
    anything = pieces.rep(spell(((0, MAX_CODE),)))
    return reader.anchored(list(tree), anything if search else None)


class _Reader:
    def __init__(self, pattern: str, pieces: Pieces, spell: Spell, *, dotall: bool) -> None:
        self._pattern = pattern
        self._pieces = pieces
        self._spell = spell
        self._dotall = dotall

    def anchored(self, items: list[Any], anything: Piece | None) -> Piece:
        """Read a whole pattern: anchors count at its ends, and at the ends of its alternatives."""
        if len(items) == 1 and items[0][0] is op.BRANCH:
            return self._pieces.alt(
                *(self.anchored(list(branch), anything) for branch in items[0][1][1])
            )
        begins = bool(items) and items[0] == (op.AT, op.AT_BEGINNING)
        inner = items[1:] if begins else items
        ends = (
            bool(inner) and inner[-1][0] is op.AT and inner[-1][1] in (op.AT_END, op.AT_END_STRING)
        )
        body = self._seq(inner[:-1] if ends else inner)
        parts = [
            *([] if begins or anything is None else [anything]),
            body,
            *([] if ends or anything is None else [anything]),
        ]
        return self._pieces.seq(*parts)

    def _seq(self, items: Iterable[Any]) -> Piece:
        return self._pieces.seq(*(self._item(kind, value) for kind, value in items))

    def _item(self, kind: Any, value: Any) -> Piece:
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return self._spell(self._ranges(kind, value))
        if kind is op.BRANCH:
            return self._pieces.alt(*(self._seq(branch) for branch in value[1]))
        if kind is op.SUBPATTERN and value[1] in (0, re.DOTALL) and not value[2]:
            outer, self._dotall = self._dotall, self._dotall or bool(value[1])
            inner = self._seq(value[3])
            self._dotall = outer
            return self._group(inner)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, part = value
            limit = None if most == op.MAXREPEAT else int(most)
            if max(least, limit or 0) > _MOST:
                raise self._unsupported(f"more than {_MOST} repetitions")
            return self._pieces.rep(self._group(self._seq(part)), least, limit)
        raise self._unsupported(str(kind).lower().replace("_", " "))

    def _group(self, piece: Piece) -> Piece:
        return Piece(f"({piece.text})", piece.node) if piece.text else piece

    def _ranges(self, kind: Any, value: Any) -> Ranges:
        if kind is op.LITERAL:
            return ((value, value),)
        if kind is op.NOT_LITERAL:
            return excluded([(value, value)])
        if kind is op.ANY:
            return ((0, MAX_CODE),) if self._dotall else excluded([(10, 10)])
        negated = bool(value) and value[0][0] is op.NEGATE
        found: list[tuple[int, int]] = []
        for item, inner in value[1:] if negated else value:
            if item is op.LITERAL:
                found.append((inner, inner))
            elif item is op.RANGE:
                found.append((inner[0], inner[1]))
            elif item is op.CATEGORY:
                name = str(inner).removeprefix("CATEGORY_")
                known = _SETS[name.removeprefix("NOT_")]
                found += excluded(known) if name.startswith("NOT_") else known
            else:
                raise self._unsupported(str(item).lower())
        return excluded(found) if negated else excluded(excluded(found))

    def _unsupported(self, what: str) -> GrammarError:
        return GrammarError(
            f"the pattern {self._pattern!r} holds {what}, which cannot be enforced",
            hint="look-arounds, back-references and word boundaries are not supported",
        )

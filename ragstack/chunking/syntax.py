"""Code in, the places where its syntax lets it be cut and its definitions out. Knows no tokens.

It goes by what grammars have in common: a statement, member or definition begins a line, and a
definition has a name and a body.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ragstack.chunking import grammars
from ragstack.types import Span

__all__ = ["Definition", "Syntax", "read_syntax"]

_DEPTHS = 10
_LONGEST_SIGNATURE = 120
# Words in the type of a node that belongs to what stands below it.
_ATTACHED = ("comment", "attribute", "decorator", "annotation")
_NOTED = ("#", "//", "/*")
# Loops and branches have bodies, and in some grammars types and declarators, but no name.
_NO_DEFINITION = ("statement", "loop", "clause", "block", "call", "expression")


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, a class or the like: characters, first line of it, and the one around it."""

    start: int
    end: int
    signature: str
    above: int


@dataclass(slots=True)
class Syntax:
    """What a chunker needs of a syntax tree.

    Attributes:
        levels: Characters where a line begins with a node, by depth, the outermost first.
        definitions: By start; ``above`` is an index, or -1.
    """

    levels: list[list[int]] = field(default_factory=lambda: [[] for _ in range(_DEPTHS)])
    definitions: list[Definition] = field(default_factory=list)

    def around(self, place: int) -> list[str]:
        """Return the signatures of the definitions that began before a place and hold it."""
        index = bisect_left(self.definitions, place, key=lambda found: found.start) - 1
        found: list[str] = []
        while index >= 0:
            definition = self.definitions[index]
            if definition.end > place:
                found.append(definition.signature)
            index = definition.above
        return found[::-1]


def read_syntax(text: str, language: str) -> Syntax | None:
    """Return the syntax of code, or None for a language that has no grammar here."""
    code = text.encode("utf-8", "surrogatepass")
    tree = grammars.parse(code, language)
    if tree is None:
        return None
    return _Reader(text, code).read(tree)


@dataclass(slots=True)
class _Open:
    """A node that the walk is inside of."""

    end: int
    depth: int
    definition: int


class _Reader:
    def __init__(self, text: str, code: bytes) -> None:
        self._text = text
        # The character each byte belongs to, one more for the end.
        first = (np.frombuffer(code, dtype=np.uint8) & 0xC0) != 0x80
        self._characters = np.append(np.cumsum(first) - 1, len(text))
        self._syntax = Syntax()
        self._last = -1  # the latest start of a line that was noted
        self._attached_row = -1  # the row below a comment
        self._held: set[int] = set()  # starts that may not be cut off

    def read(self, tree: Any) -> Syntax:
        opened = [_Open(len(self._text) + 1, 0, -1)]
        for node in _walk(tree):
            start, end = self._at(node.start_byte), self._at(node.end_byte)
            while start >= opened[-1].end:
                opened.pop()
            inside = opened[-1]
            depth = inside.depth + self._place(node, start, inside.depth)
            definition = self._define(node, (start, end), inside.definition)
            opened.append(_Open(end, depth, definition))
        self._syntax.levels = [sorted({p for p in level if p}) for level in self._syntax.levels]
        return self._syntax

    def _place(self, node: Any, start: int, depth: int) -> bool:
        """Note that a line begins with a node; return whether what is in it lies deeper."""
        if not self._begins_line(start):
            return False
        row = node.start_point[0]
        held = row == self._attached_row or start in self._held
        if any(word in node.type for word in _ATTACHED):
            # A line comment may hold its own line end.
            self._attached_row = node.end_point[0] + (node.end_point[1] > 0)
        if start <= self._last:
            return False
        self._last = start
        if not held:
            self._syntax.levels[min(depth, _DEPTHS - 1)].append(self._line(start))
        return True

    def _define(self, node: Any, span: Span, above: int) -> int:
        """Note a definition and return its number; else the number of the one around the node."""
        body = _body(node)
        if body is None:
            return above
        begin = self._at(body.start_byte)
        # A signature stays with the first thing below it.
        self._held.add(begin)
        if body.named_child_count:
            self._held.add(self._at(body.named_child(0).start_byte))
        signature = self._signature(span[0], begin)
        self._syntax.definitions.append(Definition(*span, signature, above))
        return len(self._syntax.definitions) - 1

    def _at(self, byte: int) -> int:
        return int(self._characters[byte])

    def _line(self, start: int) -> int:
        return self._text.rfind("\n", 0, start) + 1

    def _begins_line(self, start: int) -> bool:
        return not self._text[self._line(start) : start].strip()

    def _signature(self, start: int, body: int) -> str:
        lines = self._text[start:body].split("\n")
        noted = (n for n, line in enumerate(lines) if n and line.lstrip().startswith(_NOTED))
        line = " ".join(" ".join(lines[: next(noted, None)]).split()).rstrip("{: ")
        cut = len(line) > _LONGEST_SIGNATURE
        return line[: _LONGEST_SIGNATURE - 1] + "…" if cut else line


def _walk(tree: Any) -> Iterator[Any]:
    """Yield the named nodes below the root, from the top; not what lies within one line."""
    cursor = tree.walk()
    if not cursor.goto_first_child():
        return
    while True:
        node = cursor.node
        if node.is_named:
            yield node
        long = node.end_point[0] > node.start_point[0]
        if long and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _body(node: Any) -> Any | None:
    if any(word in node.type for word in _NO_DEFINITION):
        return None
    named = any(node.child_by_field_name(name) for name in ("name", "declarator", "type"))
    return node.child_by_field_name("body") if named else None

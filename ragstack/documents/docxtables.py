"""The body of a Word document (XML) in, its tables in order out, merged cells resolved.

A cell over several columns is written once, one over several rows is repeated in each. A table
within a cell is a table of its own; one of a single cell only frames what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

__all__ = ["Frame", "WordTable", "word_tables"]

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_ENTITY = re.compile(rb"<!(?:ENTITY|DOCTYPE)", re.IGNORECASE)
_SPACES = frozenset(["tab", "br", "cr", "ptab"])
# Deleted text, instructions of fields, drawings with their alternative for old readers.
_UNSEEN = frozenset(["del", "moveFrom", "instrText", "delText", "drawing", "pict", "Fallback"])
_MAX_SPAN = 100
_MAX_DEPTH = 30
_MAX_SMALL = 120


@dataclass(frozen=True, slots=True)
class WordTable:
    """Rows of cell texts, and the tables that stood within its cells.

    Attributes:
        formulas: There are formulas in its cells, of which only the letters are here.
    """

    rows: tuple[tuple[str, ...], ...]
    inner: tuple[WordTable | Frame, ...] = ()
    formulas: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A table of one cell: its paragraphs and tables, in order."""

    parts: tuple[str | WordTable | Frame, ...]


def word_tables(xml: bytes) -> list[WordTable | Frame] | None:
    """Return the outermost tables of ``word/document.xml``; None where it cannot be read."""
    if _ENTITY.search(xml):
        return None
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    found = []
    stack = [root]
    while stack:
        element = stack.pop()
        name = _name(element)
        if name == "tbl":
            found.append(_table(element, 0))
        elif name not in _UNSEEN:
            stack.extend(reversed(element))
    return found


def _table(table: Element, depth: int) -> WordTable | Frame:
    rows = [row for row in _inside(table, "tr") if not _is_deleted(row)]
    cells = [[*_inside(row, "tc")] for row in rows]
    if len(cells) == 1 and len(cells[0]) == 1:
        return Frame(tuple(_parts(cells[0][0], depth)))
    inner: list[WordTable | Frame] = []
    written: list[tuple[str, ...]] = []
    above: dict[int, str] = {}
    for row, here in zip(rows, cells, strict=True):
        texts = [""] * _number(row, "trPr", "gridBefore", 0)
        held: dict[int, str] = {}
        for cell in here:
            parts = _parts(cell, depth)
            inner += [part for part in parts if not isinstance(part, str) and not _small(part)]
            text = " ".join(filter(None, map(_shown, parts)))
            merge = _property(cell, "tcPr", "vMerge")
            column = len(texts)
            if merge is not None and _value(merge) != "restart":
                text = above.get(column, text)
            if merge is not None:
                held[column] = text
            texts += [text, *[""] * (_number(cell, "tcPr", "gridSpan", 1) - 1)]
        above = held
        written.append(tuple(texts))
    formulas = next(table.iter(_MATH + "oMath"), None) is not None
    return WordTable(tuple(written), tuple(inner), formulas)


def _small(part: WordTable | Frame) -> bool:
    return len(_said(part)) <= _MAX_SMALL


def _shown(part: str | WordTable | Frame) -> str:
    # A small table is read best in its cell; a large one has its own place below.
    if isinstance(part, str):
        return part
    return _said(part) if _small(part) else ""


def _said(part: WordTable | Frame) -> str:
    if isinstance(part, Frame):
        return " ".join(p if isinstance(p, str) else _said(p) for p in part.parts)
    rows = "; ".join(", ".join(filter(None, row)) for row in part.rows)
    return " ".join([rows, *map(_said, part.inner)])


def _parts(cell: Element, depth: int) -> list[str | WordTable | Frame]:
    parts: list[str | WordTable | Frame] = []
    for block in _inside(cell, "p", "tbl"):
        if _name(block) == "p":
            text = " ".join("".join(_texts(block)).split())
            if text:
                parts.append(text)
        elif depth < _MAX_DEPTH:
            parts.append(_table(block, depth + 1))
    return parts


def _inside(element: Element, *names: str) -> Iterator[Element]:
    # Children of that name, those in controls and revisions around them too, not those deeper.
    stack = list(reversed(element))
    while stack:
        child = stack.pop()
        name = _name(child)
        if name in names:
            yield child
        elif name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag"):
            stack.extend(reversed(child))


def _texts(paragraph: Element) -> Iterator[str]:
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        name = _name(element)
        if name == "t" or element.tag == _MATH + "t":
            yield element.text or ""
        elif name in _SPACES:
            yield " "
        elif name == "noBreakHyphen":
            yield "-"
        elif name not in _UNSEEN and name != "tbl":
            stack.extend(reversed(element))


def _is_deleted(row: Element) -> bool:
    return _property(row, "trPr", "del") is not None


def _number(element: Element, group: str, name: str, default: int) -> int:
    said = _value(_property(element, group, name))
    return min(max(int(said), default), _MAX_SPAN) if re.fullmatch(r"\d{1,4}", said) else default


def _property(element: Element, group: str, name: str) -> Element | None:
    for space in (_WORD, _STRICT):
        found = element.find(f"{space}{group}/{space}{name}")
        if found is not None:
            return found
    return None


def _value(element: Element | None) -> str:
    if element is None:
        return ""
    return element.get(_WORD + "val") or element.get(_STRICT + "val") or ""


def _name(element: Element) -> str:
    # Only Word's own elements have a name here; a comment's tag is a function.
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) and "}" in tag else ""

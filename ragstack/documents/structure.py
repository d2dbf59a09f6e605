"""A tree of office blocks, as kreuzberg tells them, in; blocks for a TextWriter out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ragstack.documents.captions import is_caption
from ragstack.documents.clean import characters, collapse
from ragstack.documents.docxtables import Frame, WordTable
from ragstack.documents.sheets import sheet_tables
from ragstack.documents.writer import TextWriter

__all__ = ["write_structure"]

Node = Mapping[str, Any]

_PAGE = re.compile(r"\s*<!-- PAGE (\d+) -->\s*")
_IMAGE = re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)")
_LINK = re.compile(r"\[([^\]\n]*)\]\((?:https?:|mailto:|#)[^)\s]*\)")
_STRONG = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
_FURNITURE = ("header", "footer")
_FIELD = re.compile(r"\s*\bSEQ \w+ \\\\?\* ARABIC\b")
_MAX_COLUMNS = 10_000


def write_structure(
    writer: TextWriter,
    nodes: Sequence[Node],
    *,
    unit: str = "",
    tables: Sequence[WordTable | Frame] | None = None,
) -> None:
    """Write every node that is shown, in order; page headers and footers are left out.

    Args:
        unit: ``sheet`` where each outermost heading begins a page, ``slide`` where markers do.
        tables: What the table nodes hold, in order, where it was read better than the nodes say.
    """
    count = sum(_kind(node) == "table" and not _is_furniture(node) for node in nodes)
    better = list(tables) if tables is not None and len(tables) == count else []
    walk = _Walk(writer, nodes, unit, better)
    for i in range(len(nodes)):
        walk.write(i)


class _Walk:
    def __init__(
        self,
        writer: TextWriter,
        nodes: Sequence[Node],
        unit: str,
        tables: list[WordTable | Frame],
    ) -> None:
        self._writer = writer
        self._nodes = nodes
        self._unit = unit
        self._pages = 0
        self._numbers: dict[int, int] = {}
        self._last_list = -1
        self._tables = iter(tables)
        self._captions = _captions(nodes)
        self._taken = set(self._captions.values())

    def write(self, index: int) -> None:
        node = self._nodes[index]
        if _is_furniture(node) or index in self._taken:
            return
        content: Node = node["content"]
        kind = content["node_type"]
        text = str(content.get("text") or "")
        if kind in ("heading", "title"):
            self._heading(text, int(content.get("level") or 1))
        elif kind == "list_item":
            self._item(node, text)
        elif kind == "code":
            self._writer.code(text)
        elif kind == "formula":
            self._writer.block(f"$${text.strip()}$$")
        elif text:
            self._paragraph(node, text)
        elif kind == "table":
            self._table(index, content)
        else:
            self._without_text(kind, content)

    def _table(self, index: int, content: Node) -> None:
        caption = ""
        if index in self._captions:
            caption = _bare(str(self._nodes[self._captions[index]]["content"].get("text")))
        rows = _rows(content.get("grid") or {})
        if self._unit == "sheet":
            for table in sheet_tables(rows):
                self._write_table(table.rows, table.title)
            return
        better = next(self._tables, None)
        if better is None or (isinstance(better, WordTable) and better.formulas):
            self._writer.table(rows, caption=caption)
        else:
            self._word(better, caption)

    def _word(self, table: WordTable | Frame, caption: str = "") -> None:
        if isinstance(table, WordTable):
            self._writer.table(table.rows, caption=caption)
            for inner in table.inner:
                self._word(inner)
            return
        self._writer.block(caption)
        for part in table.parts:
            if isinstance(part, str):
                self._writer.block(part)
            else:
                self._word(part)

    def _write_table(self, rows: Sequence[Sequence[str]], title: str) -> None:
        if sum(map(bool, (cell for row in rows for cell in row))) == 1:
            self._writer.block("".join(cell for row in rows for cell in row))
        else:
            self._writer.table(rows, caption=title)

    def _without_text(self, kind: str, content: Node) -> None:
        if kind == "slide":
            self._slide(content)
        elif kind == "image":
            self._writer.block(_described(content))
        elif kind == "metadata_block":
            for name, value in content.get("entries") or ():
                self._writer.block(f"{name}: {value}", gap=1)

    def _slide(self, content: Node) -> None:
        number = content.get("number")
        if isinstance(number, int) and number > self._pages:
            self._pages = number
            self._writer.open_page(number)
        if content.get("title"):
            self._heading(str(content["title"]), 2)

    def _heading(self, text: str, level: int) -> None:
        if self._unit == "sheet" and level <= 2:
            self._pages += 1
            self._writer.open_page(self._pages, collapse(characters(text)))
        self._writer.heading(_bare(text), level)

    def _paragraph(self, node: Node, text: str) -> None:
        marker = _PAGE.fullmatch(text)
        if marker and self._unit == "slide":
            number = int(marker[1][:9])
            if number > self._pages:
                self._pages = number
                self._writer.open_page(number)
            return
        quoted = self._kind_of_parent(node) == "quote"
        self._writer.block(_bare(text), prefix="> " if quoted else "")

    def _item(self, node: Node, text: str) -> None:
        parent = node.get("parent", -1)
        ordered = bool(self._parent(node).get("ordered"))
        number = self._numbers[parent] = self._numbers.get(parent, 0) + 1
        bullet = f"{number}. " if ordered else "- "
        gap = 1 if parent == self._last_list and number > 1 else 2
        self._last_list = parent
        self._writer.block(_bare(text), prefix=bullet, gap=gap)

    def _parent(self, node: Node) -> Node:
        parent = node.get("parent")
        if isinstance(parent, int) and 0 <= parent < len(self._nodes):
            content: Node = self._nodes[parent]["content"]
            return content
        return {}

    def _kind_of_parent(self, node: Node) -> str:
        return str(self._parent(node).get("node_type", ""))


def _kind(node: Node) -> str:
    return str(node["content"].get("node_type", ""))


def _is_furniture(node: Node) -> bool:
    return node.get("content_layer") in _FURNITURE


def _captions(nodes: Sequence[Node]) -> dict[int, int]:
    # table -> the paragraph that names it: the one before it, else the one after it.
    found: dict[int, int] = {}
    for i, node in enumerate(nodes):
        if _kind(node) != "table":
            continue
        for j in (i - 1, i + 1):
            if 0 <= j < len(nodes) and j not in found.values() and _names(nodes[j]):
                found[i] = j
                break
    return found


def _names(node: Node) -> bool:
    text = str(node["content"].get("text") or "")
    return _kind(node) == "paragraph" and is_caption(_bare(text))


def _rows(grid: Node) -> list[list[str]]:
    rows: dict[int, dict[int, str]] = {}
    for cell in grid.get("cells") or ():
        column = int(cell["col"])
        if column < _MAX_COLUMNS:
            rows.setdefault(int(cell["row"]), {})[column] = _bare(str(cell.get("content") or ""))
    return [
        [cells.get(column, "") for column in range(max(cells) + 1)]
        for _, cells in sorted(rows.items())
    ]


def _described(content: Node) -> str:
    said = collapse(characters(str(content.get("description") or "")))
    made_up = not said or "automatically generated" in said or re.fullmatch(r"[\w-]+\.\w+", said)
    return "" if made_up else f"[{said}]"


def _bare(text: str) -> str:
    # What kreuzberg writes as Markdown inside of cells and slides: pictures, links, bold.
    if "](" in text:
        text = _LINK.sub(r"\1", _IMAGE.sub("", text))
    if "**" in text:
        text = _STRONG.sub(r"\1", text)
    return _FIELD.sub("", text) if "SEQ" in text else text

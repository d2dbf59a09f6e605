"""A table element in, rows of cell texts out, or None where the table only lays out a page."""

from __future__ import annotations

from collections.abc import Callable

from selectolax.lexbor import LexborNode

__all__ = ["grid"]

_MAX_SPAN = 100
_SECTIONS = frozenset(["thead", "tbody", "tfoot"])
_NOT_IN_DATA = frozenset(["table", "h1", "h2", "h3", "h4", "pre", "ul", "ol"])
_MAX_PARAGRAPH = 600


def grid(table: LexborNode, text_of: Callable[[LexborNode], str]) -> list[list[str]] | None:
    """Return the rows of a data table.

    A cell that spans columns is written once, one that spans rows is repeated in each, so that a
    row read alone says what it says in the table. A table of one row or column, or one that holds
    blocks of its own in most cells, lays out a page and is none.
    """
    rows = _rows(table)
    cells = [_cells(row) for row in rows]
    if len(rows) < 2 or max((len(row) for row in cells), default=0) < 2:
        return None
    if _lays_out([cell for row in cells for cell in row]):
        return None
    built: list[list[str]] = []
    held: dict[int, tuple[int, str]] = {}
    for row in cells:
        built.append(_row(row, held, text_of))
    return built


def _row(
    cells: list[LexborNode],
    held: dict[int, tuple[int, str]],
    text_of: Callable[[LexborNode], str],
) -> list[str]:
    # held: column -> (rows still covered by a cell from above, its text); changed here.
    out: list[str] = []

    def from_above() -> None:
        while len(out) in held:
            left, text = held.pop(len(out))
            if left > 1:
                held[len(out)] = (left - 1, text)
            out.append(text)

    for cell in cells:
        from_above()
        text = text_of(cell)
        down, across = _span(cell, "rowspan"), _span(cell, "colspan")
        for i in range(across):
            if down > 1:
                held[len(out)] = (down - 1, text if i == 0 else "")
            out.append(text if i == 0 else "")
    from_above()
    return out


def _rows(table: LexborNode) -> list[LexborNode]:
    rows = []
    child = table.child
    while child is not None:
        if child.tag == "tr":
            rows.append(child)
        elif child.tag in _SECTIONS:
            rows.extend(row for row in child.iter() if row.tag == "tr")
        child = child.next
    return rows


def _cells(row: LexborNode) -> list[LexborNode]:
    return [cell for cell in row.iter() if cell.tag in ("td", "th")]


def _lays_out(cells: list[LexborNode]) -> bool:
    blocks = sum(
        any(node.tag in _NOT_IN_DATA for node in cell.traverse()) or _is_long(cell)
        for cell in cells
    )
    return blocks * 3 > len(cells)


def _is_long(cell: LexborNode) -> bool:
    return len(cell.text()) > _MAX_PARAGRAPH


def _span(cell: LexborNode, name: str) -> int:
    written = cell.attributes.get(name) or "1"
    if not (written.isascii() and written.isdigit()):
        return 1
    return min(max(int(written[:4]), 1), _MAX_SPAN)

"""The cells of a sheet in, the tables that stand on it out, each with its title.

Pure: a sheet may hold several tables, beside and below each other, with empty cells between them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SheetTable", "sheet_tables"]

_NUMBER = re.compile(r"[\s(+-]*[$€£¥]?\s*\d[\d\s.,'’/:%-]*[)%€$£¥]?\s*")
_MAX_TITLE = 200

Cells = list[list[str]]


@dataclass(frozen=True, slots=True)
class SheetTable:
    """Rows of one table, and the line above them that names it."""

    rows: tuple[tuple[str, ...], ...]
    title: str = ""


def sheet_tables(rows: Sequence[Sequence[str]]) -> list[SheetTable]:
    """Return the tables of a sheet, from the top.

    Empty rows divide where what follows begins with a row of headings or in other columns; empty
    columns where what stands beside begins or ends in other rows. A gap within one table is none.
    """
    width = max((len(row) for row in rows), default=0)
    cells = [[*row, *[""] * (width - len(row))] for row in rows]
    return [_titled(region) for region in _regions(cells)]


def _regions(cells: Cells) -> list[Cells]:
    found: list[Cells] = []
    for band in _bands(_trimmed(cells)):
        sides = _sides(band)
        if len(sides) == 1:
            found.append(sides[0])
        else:
            found += [region for side in sides for region in _regions(side)]
    return found


def _bands(cells: Cells) -> list[Cells]:
    bands: list[Cells] = []
    gap = 0
    for row in cells:
        if not any(row):
            gap += 1
        elif bands and not (gap and _begins(bands[-1], row, gap)):
            bands[-1].append(row)
            gap = 0
        else:
            bands.append([row])
            gap = 0
    return bands


def _begins(above: Cells, row: list[str], gap: int) -> bool:
    # Whether a row that follows empty ones begins a table of its own.
    used = {c for other in above for c, cell in enumerate(other) if cell}
    here = {c for c, cell in enumerate(row) if cell}
    if gap > 1 or not here <= used:
        return True
    headings = not any(_NUMBER.fullmatch(row[c]) for c in here)
    values = any(_NUMBER.fullmatch(cell) for other in above[1:] for cell in other if cell)
    return headings and (values or len(here) == 1 < len(used))


def _sides(band: Cells) -> list[Cells]:
    groups: list[list[int]] = []
    empty = True
    for column in range(len(band[0])):
        filled = any(row[column] for row in band)
        if filled and empty:
            groups.append([])
        if filled:
            groups[-1].append(column)
        empty = not filled
    merged: list[list[int]] = []
    for group in groups:
        if merged and _extent(band, merged[-1]) == _extent(band, group):
            merged[-1] += group
        else:
            merged.append(group)
    narrow = any(len(group) < 2 or _height(_extent(band, group)) < 2 for group in merged)
    if len(merged) > 1 and narrow:
        # A note beside a table stays with its row, and so do the parts of a form.
        merged = [sorted(column for group in merged for column in group)]
    return [_trimmed([[row[c] for c in group] for row in band]) for group in merged]


def _extent(band: Cells, columns: Sequence[int]) -> tuple[int, int]:
    filled = [r for r, row in enumerate(band) if any(row[c] for c in columns)]
    return filled[0], filled[-1]


def _height(extent: tuple[int, int]) -> int:
    return extent[1] - extent[0] + 1


def _trimmed(cells: Cells) -> Cells:
    filled = [r for r, row in enumerate(cells) if any(row)]
    return cells[filled[0] : filled[-1] + 1] if filled else []


def _titled(cells: Cells) -> SheetTable:
    columns = [c for c in range(len(cells[0])) if any(row[c] for row in cells)]
    rows = [tuple(row[c] for c in columns) for row in cells if any(row)]
    title = ""
    if len(rows) > 2 and len(columns) > 1:
        only = [cell for cell in rows[0] if cell]
        below = sum(map(bool, rows[1]))
        if len(only) == 1 and below > 1 and len(only[0]) <= _MAX_TITLE:
            title, rows = only[0], rows[1:]
    return SheetTable(tuple(rows), title)

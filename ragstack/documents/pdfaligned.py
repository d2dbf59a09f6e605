"""Pieces of text in reading order in; rows of cells that stand in columns become tables.

Pure geometry: for tables that have no rules, or only some between their rows. Prose in columns,
lists and tables of contents are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ragstack.documents.pdflayout import Line
from ragstack.documents.pdftables import Table, joined, replaced

__all__ = ["aligned_tables"]

_CELL_GAP = 0.35
_MIN_ROWS = 3
_MAX_PITCH = 3.2
_WRAPPED_PITCH = 1.45
_GUTTER = 0.4
_MAX_CELL = 90
_MAX_MEAN = 40.0
_MIN_FILLED = 0.55
_MIN_REGULAR = 0.6
_BULLET = re.compile(r"(?:[•◦▪●○■□–—*‣\-☐☒„]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)])")
_PAGE = re.compile(r"[0-9]{1,4}")
_NUMBERING = re.compile(r"[0-9A-Z]{1,3}(?:\.[0-9]{1,3})*\.?")
_LETTERS = re.compile(r"[^\W\d_]{2}")
_LEADER = re.compile(r"\.{4,}|(?:\. ){4,}|…{2,}")

_Row = list[Line]


def aligned_tables(pieces: Sequence[Line]) -> list[Line]:
    """Return the pieces with those that stand in columns over several rows replaced by tables."""
    out = list(pieces)
    for run in list(_runs(_rows(pieces))):
        table = _table(run)
        if table is not None:
            out = replaced(out, table)
    return out


def _rows(pieces: Sequence[Line]) -> Iterator[_Row]:
    # Pieces that follow one another on one height.
    row: _Row = []
    for piece in pieces:
        if row and not piece.rows and not row[0].rows and _level(row, piece):
            row.append(piece)
            continue
        if row:
            yield row
        row = [piece]
    if row:
        yield row


def _level(row: _Row, piece: Line) -> bool:
    first = row[-1]
    common = min(first.bottom, piece.bottom) - max(first.top, piece.top)
    return common > 0.5 * min(first.bottom - first.top, piece.bottom - piece.top)


def _runs(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    # Rows of several cells below each other; rows of one cell between them may be its wrapped text.
    run: list[_Row] = []
    for row in rows:
        if run and not _follows(run[-1], row):
            yield from _trimmed(run)
            run = []
        if run or len(_cells(row)) > 1:
            run.append(row)
    yield from _trimmed(run)


def _follows(last: _Row, row: _Row) -> bool:
    size = max(last[0].size, 1.0)
    step = row[0].top - last[0].top
    if row[0].rows or not 0 < step <= _MAX_PITCH * size:
        return False
    return len(_cells(row)) > 1 or len(_cells(last)) > 1 or step <= _WRAPPED_PITCH * size


def _trimmed(run: list[_Row]) -> Iterator[list[_Row]]:
    while run and len(_cells(run[-1])) < 2:
        run = run[:-1]
    if len(run) >= _MIN_ROWS:
        yield run


def _cells(row: _Row) -> list[_Row]:
    cells: list[_Row] = []
    for piece in sorted(row, key=lambda p: p.x0):
        if cells and piece.x0 - max(p.x1 for p in cells[-1]) < _CELL_GAP * piece.size:
            cells[-1].append(piece)
        else:
            cells.append([piece])
    return cells


def _table(run: list[_Row]) -> Table | None:
    columns = _columns(run)
    if len(columns) < 2:
        return None
    rows: list[list[str]] = []
    last: Line | None = None
    for row in run:
        texts = [""] * len(columns)
        for cell in _cells(row):
            column = _column_of(cell, columns)
            text = " ".join(piece.text for piece in cell)
            texts[column] = f"{texts[column]} {text}".strip()
        step = row[0].top - last.top if last else 0.0
        wrapped = last is not None and not texts[0] and step <= _WRAPPED_PITCH * row[0].size
        if wrapped and rows and sum(map(bool, texts)) < len(columns):
            rows[-1] = [joined(filter(None, pair)) for pair in zip(rows[-1], texts, strict=True)]
        else:
            rows.append(texts)
        last = row[0]
    if not _is_table(rows, run, columns):
        return None
    pieces = tuple(piece for row in run for piece in row)
    box = (
        min(p.x0 for p in pieces), min(p.top for p in pieces),
        max(p.x1 for p in pieces), max(p.bottom for p in pieces),
    )  # fmt: skip
    return Table(tuple(map(tuple, rows)), box, pieces)


def _columns(run: list[_Row]) -> list[tuple[float, float]]:
    # What is left of the width when the strips that (almost) no row crosses are taken out.
    pieces = [piece for row in run for piece in row]
    size = sorted(piece.size for piece in pieces)[len(pieces) // 2]
    allowed = len(run) // 8
    edges = sorted({p.x0 for p in pieces} | {p.x1 for p in pieces})
    columns: list[tuple[float, float]] = []
    for left, right in pairwise(edges):
        middle = (left + right) / 2
        covering = sum(any(p.x0 < middle < p.x1 for p in row) for row in run)
        if covering <= allowed:
            continue
        if columns and left - columns[-1][1] < _GUTTER * size:
            columns[-1] = (columns[-1][0], right)
        else:
            columns.append((left, right))
    return columns


def _column_of(cell: _Row, columns: Sequence[tuple[float, float]]) -> int:
    x0, x1 = min(p.x0 for p in cell), max(p.x1 for p in cell)
    return max(
        range(len(columns)),
        key=lambda i: (min(x1, columns[i][1]) - max(x0, columns[i][0]), -i),
    )


def _is_table(
    rows: list[list[str]], run: list[_Row], columns: Sequence[tuple[float, float]]
) -> bool:
    if len(rows) < _MIN_ROWS:
        return False
    filled = [cell for row in rows for cell in row if cell]
    whole = "\n".join(filled)
    if len(filled) < _MIN_FILLED * len(rows) * len(columns) or _LEADER.search(whole):
        return False
    if max(map(len, filled)) > 4 * _MAX_CELL or len(whole) / len(filled) > _MAX_MEAN:
        return False
    several = sum(sum(map(bool, row)) > 1 for row in rows)
    if several < max(_MIN_ROWS, _MIN_REGULAR * len(rows)):
        return False
    if _is_contents(rows):
        return False
    first = [row[0] for row in rows if row[0]]
    if len(columns) == 2 and sum(bool(_BULLET.fullmatch(cell)) for cell in first) > len(first) / 2:
        return False
    return len(columns) > 2 or not _is_prose(run, columns)


def _is_contents(rows: list[list[str]]) -> bool:
    # Titles with their pages in order, before or behind them; a numbering may come first.
    columns = list(zip(*rows, strict=True))
    if len(columns) == 3 and all(map(_NUMBERING.fullmatch, filter(None, columns[0]))):
        columns = columns[1:]
    if len(columns) != 2:
        return False
    for pages, titles in (columns, columns[::-1]):
        in_order = all(map(_PAGE.fullmatch, pages)) and sorted(pages, key=int) == list(pages)
        if in_order and all(map(_LETTERS.search, filter(None, titles))):
            return True
    return False


def _is_prose(run: list[_Row], columns: Sequence[tuple[float, float]]) -> bool:
    # Two columns whose rows are mostly full of words to the edge are text, not a table.
    full = 0
    for left, right in columns:
        inside = [p for row in run for p in row if left <= (p.x0 + p.x1) / 2 <= right]
        long = [p for p in inside if p.x1 - p.x0 > 0.85 * (right - left) and len(p.text) > 25]
        full += 2 * len(long) > len(inside)
    return full == len(columns)

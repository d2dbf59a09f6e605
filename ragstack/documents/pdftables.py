"""Pieces of text and the rules drawn between them in, tables out: each one line that has ``rows``.

Pure geometry: knows nothing of PDF. A cell that spans columns is written once, one that spans rows
is repeated in each, as in every other format.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ragstack.documents.clean import joins_word
from ragstack.documents.pdflayout import Line

__all__ = ["Rules", "Table", "joined", "replaced", "ruled_tables"]

Rule = tuple[float, float, float]
"""Of a horizontal rule x0, x1, y; of a vertical one top, bottom, x. Points, origin top left."""

_SNAP = 3.0
_MIN_FILLED = 0.4
_MAX_CELL = 1_000
_MAX_CELLS = 5_000
_MANY_ROWS = 4
_MAX_RULES = 4_000


@dataclass(frozen=True, slots=True)
class Rules:
    """The straight lines that are drawn on a page."""

    across: tuple[Rule, ...] = ()
    down: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cell texts, with the rectangle of the table and the pieces that it holds."""

    rows: tuple[tuple[str, ...], ...]
    box: tuple[float, float, float, float]
    pieces: tuple[Line, ...]


def ruled_tables(pieces: Sequence[Line], rules: Rules) -> list[Line]:
    """Return the pieces with those that stand in a grid of rules replaced by its table."""
    if not rules.across or not rules.down:
        return list(pieces)
    if len(rules.across) + len(rules.down) > _MAX_RULES:
        return list(pieces)
    out = list(pieces)
    for across, down in _grids(rules):
        # A grid may be open at its sides: the ends of its rules are its edges then.
        xs = _lines([rule[2] for rule in down] + [end for rule in across for end in rule[:2]])
        ys = _lines([rule[2] for rule in across] + [end for rule in down for end in rule[:2]])
        if len(xs) < 2 or len(ys) < 2 or (len(xs) - 1) * (len(ys) - 1) > _MAX_CELLS:
            continue
        table = _Grid(xs, ys, across, down).table(out)
        if table is not None:
            out = replaced(out, table)
    return out


def replaced(pieces: Sequence[Line], table: Table) -> list[Line]:
    """Return the pieces with those of a table replaced by one that has its rows."""
    held = set(map(id, table.pieces))
    x0, top, x1, bottom = table.box
    first = next(piece for piece in pieces if id(piece) in held)
    row = Line("", x0, top, x1, bottom, first.size, rows=table.rows, seen=first.seen)
    out = []
    for piece in pieces:
        if piece is first:
            out.append(row)
        elif id(piece) not in held:
            out.append(piece)
    return out


def joined(lines: Iterable[str]) -> str:
    """Return the lines of one cell as one, words that a hyphen divided made whole."""
    text = ""
    for line in lines:
        if text and joins_word(text, line):
            text = text[:-1] + line
        else:
            text = f"{text} {line}" if text else line
    return text


class _Grid:
    """The cells between rules, those without a rule between them being one."""

    def __init__(
        self, xs: list[float], ys: list[float], across: Sequence[Rule], down: Sequence[Rule]
    ) -> None:
        self._xs = xs
        self._ys = ys
        self._owner = {(r, c): (r, c) for r in range(len(ys) - 1) for c in range(len(xs) - 1)}
        for r in range(len(ys) - 1):
            for c in range(len(xs) - 1):
                middle_x, middle_y = (xs[c] + xs[c + 1]) / 2, (ys[r] + ys[r + 1]) / 2
                if c and not _drawn(down, xs[c], middle_y):
                    self._join((r, c - 1), (r, c))
                if r and not _drawn(across, ys[r], middle_x):
                    self._join((r - 1, c), (r, c))

    def table(self, pieces: Sequence[Line]) -> Table | None:
        """Return what stands in the grid, or None where that is no table."""
        cells: dict[tuple[int, int], list[Line]] = {}
        for piece in pieces:
            place = self._place(piece)
            if place is not None:
                if piece.rows:
                    # A table within this one was found first.
                    return None
                cells.setdefault(place, []).append(piece)
        if self._lacks_rules(cells):
            return None
        rows = self._rows({place: _text(inside) for place, inside in cells.items()})
        if not _is_table(rows):
            return None
        box = (self._xs[0], self._ys[0], self._xs[-1], self._ys[-1])
        return Table(rows, box, tuple(piece for inside in cells.values() for piece in inside))

    def _lacks_rules(self, cells: dict[tuple[int, int], list[Line]]) -> bool:
        # Rows of text that stand beside each other in several cells, with no rule between them:
        # the alignment of the text tells more than the rules do.
        beside: dict[int, list[int]] = {}
        for (row, _), pieces in cells.items():
            beside.setdefault(row, []).append(len(_lines(p.top + p.bottom for p in pieces)))
        return any(
            counts.count(max(counts)) > 1 and max(counts) >= _MANY_ROWS
            for counts in beside.values()
        )

    def _rows(self, texts: dict[tuple[int, int], str]) -> tuple[tuple[str, ...], ...]:
        width, height = len(self._xs) - 1, len(self._ys) - 1
        written: set[tuple[tuple[int, int], int]] = set()
        rows = []
        for r in range(height):
            row = []
            for c in range(width):
                owner = self._root((r, c))
                shown = "" if (owner, r) in written else texts.get(owner, "")
                written.add((owner, r))
                row.append(shown)
            rows.append(row)
        columns = [c for c in range(width) if any(row[c] for row in rows)]
        return tuple(tuple(row[c] for c in columns) for row in rows if any(row))

    def _place(self, piece: Line) -> tuple[int, int] | None:
        x, y = (piece.x0 + piece.x1) / 2, (piece.top + piece.bottom) / 2
        column, row = bisect_right(self._xs, x) - 1, bisect_right(self._ys, y) - 1
        return self._root((row, column)) if (row, column) in self._owner else None

    def _root(self, cell: tuple[int, int]) -> tuple[int, int]:
        while self._owner[cell] != cell:
            cell = self._owner[cell]
        return cell

    def _join(self, a: tuple[int, int], b: tuple[int, int]) -> None:
        a, b = self._root(a), self._root(b)
        self._owner[max(a, b)] = min(a, b)


def _grids(rules: Rules) -> list[tuple[list[Rule], list[Rule]]]:
    # Rules that meet, over any number of others, make one grid.
    every = [(rule, True) for rule in rules.across] + [(rule, False) for rule in rules.down]
    group = list(range(len(every)))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    first_down = len(rules.across)
    for i in range(first_down):
        for j in range(first_down, len(every)):
            if _meet(every[i][0], every[j][0]):
                group[root(j)] = root(i)
    found: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for i, (rule, is_across) in enumerate(every):
        found.setdefault(root(i), ([], []))[0 if is_across else 1].append(rule)
    # The outer grid last: a table within a cell is found before the one around it.
    return sorted(found.values(), key=lambda grid: len(grid[0]) * len(grid[1]))


def _meet(across: Rule, down: Rule) -> bool:
    x0, x1, y = across
    top, bottom, x = down
    return x0 - _SNAP <= x <= x1 + _SNAP and top - _SNAP <= y <= bottom + _SNAP


def _lines(places: Iterable[float]) -> list[float]:
    # One place for rules that lie so close that they are the two edges of one.
    found: list[float] = []
    for place in sorted(places):
        if not found or place - found[-1] > _SNAP:
            found.append(place)
    return found


def _drawn(rules: Sequence[Rule], place: float, at: float) -> bool:
    return any(abs(rule[2] - place) <= _SNAP and rule[0] <= at <= rule[1] for rule in rules)


def _text(pieces: Sequence[Line]) -> str:
    rows: list[list[Line]] = []
    for piece in sorted(pieces, key=lambda p: p.top + p.bottom):
        last = rows[-1][0] if rows else None
        if last and min(last.bottom, piece.bottom) - max(last.top, piece.top) > 0.5 * min(
            last.bottom - last.top, piece.bottom - piece.top
        ):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return joined(" ".join(p.text for p in sorted(row, key=lambda p: p.x0)) for row in rows)


def _is_table(rows: Sequence[Sequence[str]]) -> bool:
    if len(rows) < 2 or not rows[0] or len(rows[0]) < 2:
        return False
    cells = [cell for row in rows for cell in row]
    filled = [cell for cell in cells if cell]
    full_rows = sum(sum(map(bool, row)) > 1 for row in rows)
    return (
        len(filled) >= max(3, _MIN_FILLED * len(cells))
        and max(map(len, filled)) <= _MAX_CELL
        and full_rows >= 2
    )

"""Pieces of text of a page, as they come, in; lines and tables in reading order out.

Pure geometry: knows nothing of PDF and pictures. The order in which the pieces come is kept where
it reads column by column; where it jumps between columns, their places decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ragstack.documents.pdfaligned import aligned_tables
from ragstack.documents.pdflayout import Line
from ragstack.documents.pdftables import Rules, ruled_tables

__all__ = ["arranged"]

_WIDE_GAP = 3.0
_WORD_GAP = 0.15
_MIN_ROWS = 5
_MIN_GUTTER = 0.7
_CENTRE = (0.2, 0.8)
_MAX_CROSSING = 0.15
_MIN_SIDE = 0.2
_FULL = 0.5
_MAX_DEPTH = 3
_STEPS = 240


def arranged(pieces: Sequence[Line], rules: Rules | None = None) -> list[Line]:
    """Return a page's lines in reading order; a table is one line that has ``rows``.

    Args:
        pieces: Text that no wide gap divides, in the order of the page's content.
        rules: The lines that are drawn on the page.
    """
    upright = [piece for piece in pieces if not _is_turned(piece)]
    turned = [piece for piece in pieces if _is_turned(piece)]
    if 2 * len(turned) > len(pieces):
        # All of the page is turned: its own order is the best there is.
        return _merged(pieces)
    known = aligned_tables(ruled_tables(upright, rules or Rules()))
    ordered = in_reading_order(known)
    if ordered != known:
        ordered = aligned_tables(ordered)
    # Text along the margin stands between the lines of a paragraph: it goes to the end.
    return [*_merged(ordered), *_merged(turned)]


def in_reading_order(pieces: Sequence[Line]) -> list[Line]:
    """Return the pieces column by column, below what spans the columns above them."""
    by_place = _cut(list(pieces), _MAX_DEPTH)
    if by_place is None:
        return list(pieces)
    columns, ordered = by_place
    jumps = sum(columns[id(a)] != columns[id(b)] for a, b in pairwise(pieces))
    needed = sum(columns[id(a)] != columns[id(b)] for a, b in pairwise(ordered))
    return list(pieces) if jumps <= 2 * needed + 1 else ordered


def _cut(pieces: list[Line], depth: int) -> tuple[dict[int, int], list[Line]] | None:
    # Which column each piece stands in (0 for what spans them), and the order by place.
    gutter = _gutter(pieces) if depth else None
    if gutter is None:
        return None
    left, right = gutter
    middle = (left + right) / 2
    columns: dict[int, int] = {}
    for piece in pieces:
        spans = piece.x0 < left and piece.x1 > right
        columns[id(piece)] = 0 if spans else 1 if (piece.x0 + piece.x1) / 2 < middle else 2
    ordered: list[Line] = []
    band: list[Line] = []
    for piece in sorted(pieces, key=lambda p: (p.top, p.x0)):
        if columns[id(piece)]:
            band.append(piece)
        else:
            ordered += _by_column(band, columns, depth)
            ordered.append(piece)
            band = []
    return columns, ordered + _by_column(band, columns, depth)


def _by_column(band: list[Line], columns: dict[int, int], depth: int) -> list[Line]:
    out: list[Line] = []
    for number in (1, 2):
        inside = [piece for piece in band if columns[id(piece)] == number]
        within = _cut(inside, depth - 1)
        if within is not None:
            finer, inside = within
            columns.update({key: number * 10 + value for key, value in finer.items()})
        else:
            inside = _by_row(inside)
        out += inside
    return out


def _by_row(pieces: list[Line]) -> list[Line]:
    rows: list[list[Line]] = []
    for piece in sorted(pieces, key=lambda p: p.top + p.bottom):
        if rows and _overlap(rows[-1][0], piece) > 0.5:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [piece for row in rows for piece in sorted(row, key=lambda p: p.x0)]


def _gutter(pieces: Sequence[Line]) -> tuple[float, float] | None:
    """Return the widest empty strip between two columns of prose, as x from and to."""
    prose = [piece for piece in pieces if len(piece.text) > 1 or piece.rows]
    if len(prose) < 2 * _MIN_ROWS:
        return None
    x0, x1 = min(p.x0 for p in prose), max(p.x1 for p in prose)
    width = x1 - x0
    if width <= 0:
        return None
    step = width / _STEPS
    best: tuple[float, float] | None = None
    run: list[float] = []
    allowed = _MAX_CROSSING * len(prose)
    for i in range(int(_CENTRE[0] * _STEPS), int(_CENTRE[1] * _STEPS) + 1):
        x = x0 + i * step
        if sum(p.x0 < x < p.x1 for p in prose) <= allowed:
            run.append(x)
            if best is None or run[-1] - run[0] > best[1] - best[0]:
                best = (run[0], run[-1])
        else:
            run = []
    if best is None or not _divides(prose, best, width):
        return None
    return best


def _divides(prose: Sequence[Line], gutter: tuple[float, float], width: float) -> bool:
    # Columns of prose stand beside each other, each with several rows that are long for it; the
    # narrow columns of a table are none.
    size = sorted(p.size for p in prose)[len(prose) // 2]
    if gutter[1] - gutter[0] < _MIN_GUTTER * size:
        return False
    sides = (
        [p for p in prose if p.x1 <= gutter[1]],
        [p for p in prose if p.x0 >= gutter[0]],
    )
    spans = []
    for side in sides:
        inside = [p.x1 - p.x0 for p in side]
        long = [p for p in side if p.x1 - p.x0 > max(_MIN_SIDE * width, _FULL * max(inside))]
        if len(long) < _MIN_ROWS or 2 * len(long) < len(side):
            return False
        spans.append((min(p.top for p in long), max(p.bottom for p in long)))
    common = min(spans[0][1], spans[1][1]) - max(spans[0][0], spans[1][0])
    return common > 3 * size


def _merged(lines: Sequence[Line]) -> list[Line]:
    # Superscripts, cells of a row and words set apart come as pieces of their own.
    out: list[Line] = []
    for line in lines:
        if out and not (line.rows or out[-1].rows) and _same_row(out[-1], line):
            last = out[-1]
            gap = line.x0 - last.x1
            space = (
                "  " if gap > _WIDE_GAP * last.size else " " if gap > _WORD_GAP * last.size else ""
            )
            out[-1] = replace(
                last,
                text=last.text + space + line.text,
                x1=max(last.x1, line.x1),
                top=min(last.top, line.top),
                bottom=max(last.bottom, line.bottom),
                size=max(last.size, line.size),
            )
        else:
            out.append(line)
    return out


def _same_row(last: Line, line: Line) -> bool:
    return (
        _overlap(last, line) > 0.5
        and line.x0 >= last.x1 - 0.3 * last.size
        and not (last.text.endswith("-") and line.x0 < last.x0)
    )


def _overlap(a: Line, b: Line) -> float:
    least = min(a.bottom - a.top, b.bottom - b.top)
    common = min(a.bottom, b.bottom) - max(a.top, b.top)
    return common / least if least > 0 else 0.0


def _is_turned(line: Line) -> bool:
    return not line.rows and len(line.text) > 5 and line.bottom - line.top > 3 * (line.x1 - line.x0)

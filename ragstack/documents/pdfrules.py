"""A page of a PDF in, the straight lines drawn on it out. Knows pdfium's paths, nothing else."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pypdfium2
from pypdfium2 import raw

from ragstack.documents.pdftables import Rule, Rules

__all__ = ["page_rules"]

_THIN = 3.0
_MIN_LENGTH = 8.0
_MAX_PATHS = 5_000
_MAX_SEGMENTS = 4_000
_MAX_DEPTH = 3
_MOST_OF_PAGE = 0.9

_Point = tuple[float, float]


def page_rules(page: pypdfium2.PdfPage, height: float) -> Rules:
    """Return the rules of a page; none for one that is drawn more than written."""
    across: list[Rule] = []
    down: list[Rule] = []
    wide = _MOST_OF_PAGE * page.get_width()
    for count, path in enumerate(_paths(page)):
        if count > _MAX_PATHS:
            return Rules()
        for (xa, ya), (xb, yb) in _strokes(path, wide):
            x0, x1 = min(xa, xb), max(xa, xb)
            top, bottom = height - max(ya, yb), height - min(ya, yb)
            if bottom - top <= _THIN and x1 - x0 >= _MIN_LENGTH:
                across.append((x0, x1, (top + bottom) / 2))
            elif x1 - x0 <= _THIN and bottom - top >= _MIN_LENGTH:
                down.append((top, bottom, (x0 + x1) / 2))
    return Rules(_united(across), _united(down))


def _paths(page: pypdfium2.PdfPage) -> Iterator[pypdfium2.PdfObject]:
    for path in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH], max_depth=_MAX_DEPTH):
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        # A path that is neither filled nor stroked only cuts out others.
        if raw.FPDFPath_GetDrawMode(path.raw, fill, stroke) and (fill.value or stroke.value):
            yield path


def _strokes(path: pypdfium2.PdfObject, wide: float) -> Iterator[tuple[_Point, _Point]]:
    # Page by page the same few kinds: a line, a thin filled rectangle, a box, a whole grid.
    left, low, right, high = path.get_bounds()
    if min(right - left, high - low) <= _THIN:
        yield (left, low), (right, high)
        return
    points = _points(path)
    if not points:
        return
    if right - left > wide and high - low > wide:
        # The page's own background or frame.
        return
    yield from points


def _points(path: pypdfium2.PdfObject) -> list[tuple[_Point, _Point]]:
    count = raw.FPDFPath_CountSegments(path.raw)
    if not 1 < count <= _MAX_SEGMENTS:
        return []
    matrix = path.get_matrix()
    strokes: list[tuple[_Point, _Point]] = []
    first: _Point | None = None
    at: _Point | None = None
    x, y = ctypes.c_float(), ctypes.c_float()
    for i in range(count):
        segment = raw.FPDFPath_GetPathSegment(path.raw, i)
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_BEZIERTO:
            # Round corners, letters as outlines, charts: no grid.
            return []
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        point = matrix.on_point(x.value, y.value)
        if kind == raw.FPDF_SEGMENT_LINETO and at is not None:
            strokes.append((at, point))
        elif kind == raw.FPDF_SEGMENT_MOVETO:
            first = point
        at = point
        if raw.FPDFPathSegment_GetClose(segment) and first is not None:
            strokes.append((at, first))
    return strokes


def _united(rules: list[Rule]) -> tuple[Rule, ...]:
    # The edge of one cell begins where that of the last one ended.
    out: list[Rule] = []
    for start, end, place in sorted(rules, key=lambda rule: (round(rule[2]), rule[0])):
        if out and abs(out[-1][2] - place) <= 1.0 and start <= out[-1][1] + 1.0:
            out[-1] = (out[-1][0], max(out[-1][1], end), out[-1][2])
        else:
            out.append((start, end, place))
    return tuple(out)

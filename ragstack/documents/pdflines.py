"""A page of a PDF in, its lines with their places out. Knows pdfium's page, nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pypdfium2
from pypdfium2 import raw

from ragstack.documents.clean import characters, collapse
from ragstack.documents.pdflayout import Line, PageLines
from ragstack.documents.pdforder import arranged
from ragstack.documents.pdfrules import page_rules

__all__ = ["page_lines"]

# pdfium writes U+FFFE, or U+0002, for a hyphen at the end of a line, and no line end after it.
_BREAK = re.compile("\r\n|\r|\n|(?<=[\ufffe\x02])")
_HYPHENS = ("\ufffe", "\x02")
# TeX fonts without a map of their own: pdfium shows their ligature of two f as this arrow.
_MISREAD_FF = re.compile(r"\u21b5(?=\w)|(?<=\w)\u21b5")
_SPACE = re.compile(r"\s+")
_CELL_GAP = 0.6
_MIN_SIZE = 1.0


def page_lines(page: pypdfium2.PdfPage, number: int) -> PageLines:
    """Return the lines and tables of a page in reading order.

    Raises:
        PdfiumError: The page is broken.
    """
    height = page.get_height()
    textpage = page.get_textpage()
    try:
        pieces = list(_lines(textpage, height))
    finally:
        textpage.close()
    return PageLines(number, height, tuple(arranged(pieces, page_rules(page, height))))


def _lines(textpage: pypdfium2.PdfTextPage, height: float) -> Iterator[Line]:
    text = _text(textpage)
    start = 0
    for found in [*_BREAK.finditer(text), None]:
        end = found.start() if found else len(text)
        for first, last in _divided(textpage, text, start, end):
            line = _line(textpage, text[first:last], first, height)
            if line is not None:
                yield line
        start = found.end() if found else end


def _divided(
    textpage: pypdfium2.PdfTextPage, text: str, start: int, end: int
) -> Iterator[tuple[int, int]]:
    # pdfium writes one space for a gap of any width: cells of a row are told apart by their places.
    first = start
    for space in _SPACE.finditer(text, start, end):
        before, after = space.start() - 1, space.end()
        if before < first or after >= end:
            continue
        _, low, right, high = _box(textpage, before)
        left, low2, _, high2 = _box(textpage, after)
        if left - right > _CELL_GAP * max(high - low, high2 - low2, _MIN_SIZE):
            yield first, space.start()
            first = after
    yield first, end


def _text(textpage: pypdfium2.PdfTextPage) -> str:
    # Character i of the result is pdfium's character i: without that no place can be looked up.
    # pdfium leaves characters of unknown meaning out of its text but not out of its count.
    count = textpage.count_chars()
    text = str(textpage.get_text_range()) if count else ""
    if len(text) == count:
        return text
    return "".join([_char(raw.FPDFText_GetUnicode(textpage, i)) for i in range(count)])


def _char(code: int) -> str:
    return chr(code) if 0 < code <= 0x10FFFF else "\x01"


def _line(textpage: pypdfium2.PdfTextPage, text: str, start: int, height: float) -> Line | None:
    hyphen = text.endswith(_HYPHENS)
    shown = characters(_paired(text[:-1] if hyphen else text))
    shown = _MISREAD_FF.sub("ff", collapse(shown))
    if not shown:
        return None
    first = start + len(text) - len(text.lstrip())
    last = start + len(text.rstrip()) - 1 - hyphen
    middle = (first + last) // 2
    while middle < last and text[middle - start].isspace():
        middle += 1
    left, low, _, high = _box(textpage, first)
    _, low2, _, high2 = _box(textpage, middle)
    _, low3, right, high3 = _box(textpage, last)
    tall = high2 - low2
    if not 0.8 * tall < high - low < 1.25 * tall:
        # A bullet or a superscript begins the line: the letters after it say where it stands.
        low, high = low2, high2
    size = max(raw.FPDFText_GetFontSize(textpage, middle), _MIN_SIZE)
    # A font of size 1 scaled by its matrix says nothing: the height of a letter does.
    size = size if 0.4 < tall / size < 2.5 else max(tall, _MIN_SIZE)
    return Line(
        text=shown + "-" * hyphen,
        x0=left,
        top=height - max(high, high3 if high3 - low3 < 1.25 * tall else high),
        x1=max(right, left),
        bottom=height - min(low, low3),
        size=size,
    )


def _paired(text: str) -> str:
    # Character by character, pdfium gives the two halves of what lies outside the basic plane.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _box(textpage: pypdfium2.PdfTextPage, index: int) -> tuple[float, float, float, float]:
    try:
        left, bottom, right, top = textpage.get_charbox(index, loose=True)
    except pypdfium2.PdfiumError:
        return 0.0, 0.0, 0.0, 0.0
    return left, bottom, right, top

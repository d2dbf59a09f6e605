"""A page of a PDF in, its lines with their places out. Knows pdfium's text page, nothing else."""

from __future__ import annotations

import re
from dataclasses import replace

import pypdfium2
from pypdfium2 import raw

from ragstack.documents.clean import characters, collapse
from ragstack.documents.pdflayout import Line, PageLines

__all__ = ["page_lines"]

# pdfium writes U+FFFE, or U+0002, for a hyphen at the end of a line, and no line end after it.
_BREAK = re.compile("\r\n|\r|\n|(?<=[\ufffe\x02])")
_HYPHENS = ("\ufffe", "\x02")
# TeX fonts without a map of their own: pdfium shows their ligature of two f as this arrow.
_MISREAD_FF = re.compile(r"\u21b5(?=\w)|(?<=\w)\u21b5")
_WIDE_GAP = 3.0
_WORD_GAP = 0.15
_MIN_SIZE = 1.0


def page_lines(pdf: pypdfium2.PdfDocument, index: int) -> PageLines:
    """Return the lines of a page in the order of its content; none for a page that is broken."""
    try:
        page = pdf[index]
    except pypdfium2.PdfiumError:
        return PageLines(index + 1, 0.0, ())
    textpage = None
    try:
        height = page.get_height()
        textpage = page.get_textpage()
        return PageLines(index + 1, height, tuple(_upright(_merged(_lines(textpage, height)))))
    except pypdfium2.PdfiumError:
        return PageLines(index + 1, 0.0, ())
    finally:
        if textpage is not None:
            textpage.close()
        page.close()


def _lines(textpage: pypdfium2.PdfTextPage, height: float) -> list[Line]:
    text = _text(textpage)
    lines: list[Line] = []
    start = 0
    for found in [*_BREAK.finditer(text), None]:
        end = found.start() if found else len(text)
        line = _line(textpage, text[start:end], start, height)
        if line is not None:
            lines.append(line)
        start = found.end() if found else end
    return lines


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


def _merged(lines: list[Line]) -> list[Line]:
    # Superscripts, cells of a row and words set apart come as lines of their own.
    out: list[Line] = []
    for line in lines:
        if out and _same_row(out[-1], line):
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


def _upright(lines: list[Line]) -> list[Line]:
    # Text along the margin stands between the lines of a paragraph: it goes to the end of the page.
    turned = [line for line in lines if _is_turned(line)]
    if not turned or 2 * len(turned) > len(lines):
        return lines
    return [*(line for line in lines if not _is_turned(line)), *turned]


def _is_turned(line: Line) -> bool:
    return len(line.text) > 5 and line.bottom - line.top > 3 * (line.x1 - line.x0)


def _same_row(last: Line, line: Line) -> bool:
    overlap = min(last.bottom, line.bottom) - max(last.top, line.top)
    least = min(last.bottom - last.top, line.bottom - line.top)
    return (
        overlap > 0.5 * least
        and line.x0 >= last.x1 - 0.3 * last.size
        and not (last.text.endswith("-") and line.x0 < last.x0)
    )

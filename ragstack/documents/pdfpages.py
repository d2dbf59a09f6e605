"""A page of a PDF in, its lines out: from the text layer, else from its picture."""

from __future__ import annotations

import math
import re

import numpy as np
import pypdfium2
from pypdfium2 import raw

from ragstack.documents.limits import Limits
from ragstack.documents.ocr import Pixels
from ragstack.documents.pdflayout import PageLines
from ragstack.documents.pdflines import page_lines
from ragstack.documents.pdforder import arranged
from ragstack.documents.scan import Scanner

__all__ = ["read_page", "unreadable"]

# The private use area and the replacement character: glyphs that have no letter.
_UNREADABLE = re.compile("[\ue000-\uf8ff\ufffd]")
_MAX_UNREADABLE = 0.3
_FEW_LETTERS = 30
_MOST_OF_PAGE = 0.5
_DOTS_PER_INCH = 150.0
_LONGEST_SIDE = 2_500.0
_LARGEST_SCALE = 5.0


def read_page(
    pdf: pypdfium2.PdfDocument, index: int, scanner: Scanner, limits: Limits
) -> PageLines:
    """Return the lines of a page; none for one that is broken, which the scanner keeps."""
    number = index + 1
    empty = PageLines(number, 0.0, ())
    try:
        page = pdf[index]
    except pypdfium2.PdfiumError as error:
        scanner.miss(number, f"it is broken: {error}")
        return empty
    try:
        typed = page_lines(page, number)
        return _seen(page, typed, scanner, limits) or typed
    except pypdfium2.PdfiumError as error:
        scanner.miss(number, f"it is broken: {error}")
        return empty
    finally:
        page.close()


def unreadable(text: str) -> bool:
    """Return whether too many of a text's characters have no meaning."""
    return len(_UNREADABLE.findall(text)) > _MAX_UNREADABLE * len(text)


def _seen(
    page: pypdfium2.PdfPage, typed: PageLines, scanner: Scanner, limits: Limits
) -> PageLines | None:
    # The page as its picture shows it; None where the text layer is better or all there is.
    text = "".join(line.text or "".join(map("".join, line.rows)) for line in typed.lines)
    letters = sum(map(str.isalnum, text))
    bad = unreadable(text)
    if letters and not bad and (letters >= _FEW_LETTERS or not scanner.ready):
        return None
    if letters and not bad and _pictured(page) < _MOST_OF_PAGE:
        return None
    if not letters and not _has_objects(page):
        return None
    if not scanner.ready:
        scanner.miss(typed.number)
        return None
    pixels, scale = _picture(page, limits)
    lines = scanner.lines(pixels, typed.number, scale)
    found = sum(map(str.isalnum, "".join(line.text for line in lines)))
    if found <= letters and not bad:
        return None
    return PageLines(typed.number, page.get_height(), tuple(arranged(lines)))


def _has_objects(page: pypdfium2.PdfPage) -> bool:
    return bool(raw.FPDFPage_CountObjects(page.raw))


def _pictured(page: pypdfium2.PdfPage) -> float:
    # The share of the page that its largest picture covers.
    area = page.get_width() * page.get_height()
    largest = 0.0
    for picture in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, low, right, high = picture.get_bounds()
        largest = max(largest, (right - left) * (high - low))
    return largest / area if area > 0 else 0.0


def _picture(page: pypdfium2.PdfPage, limits: Limits) -> tuple[Pixels, float]:
    width, height = max(page.get_width(), 1.0), max(page.get_height(), 1.0)
    scale = min(
        max(_DOTS_PER_INCH / 72, 1_000 / max(width, height)),
        _LONGEST_SIDE / max(width, height),
        math.sqrt(limits.max_pixels / (width * height)),
        _LARGEST_SCALE,
    )
    bitmap = page.render(scale=scale)
    try:
        pixels = bitmap.to_numpy()
        if pixels.ndim == 2:
            pixels = np.stack([pixels] * 3, axis=-1)
        return np.ascontiguousarray(pixels[:, :, :3]).copy(), scale
    finally:
        bitmap.close()

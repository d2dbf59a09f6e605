"""PDF in, text with its pages, headings and tables out, from the text layer (pdfium).

A page without one is read from its picture, where the package for that is installed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import replace

import pypdfium2
from pypdfium2 import raw

from ragstack.documents.build import build
from ragstack.documents.clean import collapse
from ragstack.documents.limits import Limits, check_bytes
from ragstack.documents.ocr import INSTALL, TextReader, find_reader
from ragstack.documents.pdflayout import Line, PageLines, without_furniture
from ragstack.documents.pdfpages import read_page, unreadable
from ragstack.documents.pdfwrite import write_pages
from ragstack.documents.scan import Scanner
from ragstack.documents.writer import TextWriter
from ragstack.errors import (
    BrokenDocument,
    DocumentError,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
)
from ragstack.types import Document, Scalar

__all__ = ["PdfLoader"]

# pdfium is not safe for threads: one document at a time in this process.
_PDFIUM = threading.Lock()
_KEY = re.compile(r"[\W_]+")
_NUMBERING = re.compile(r"^(?:\d+(?:\.\d+)*\.?|[ivxlc]+\.|[a-z]\.)\s+", re.IGNORECASE)
_MADE_UP_TITLE = re.compile(
    r"untitled.*|microsoft \w+ - .*|.*\.(?:docx?|pptx?|xlsx?|pdf|tex|dvi|indd|qxd|odt|rtf|ps|html?)"
    r"|(?:document|presentation|slide|print|page)\s*\d*|[\W\d_]*",
    re.IGNORECASE,
)
_MAX_OUTLINE = 5_000
_PAGES_AT_ONCE = 32


class PdfLoader:
    """Reads the text layer of PDF, and pictures of pages that have none.

    Args:
        reader: Reads the pictures; the installed one when None.
    """

    def __init__(self, *, limits: Limits | None = None, reader: TextReader | None = None) -> None:
        self._limits = limits or Limits()
        self._reader = reader

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        with _PDFIUM:
            return self._load(data, source)

    def _load(self, data: bytes, source: str) -> Document:
        try:
            pdf = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            raise _translated(error, source) from error
        try:
            return self._read(pdf, data, source)
        except pypdfium2.PdfiumError as error:
            raise _translated(error, source) from error
        finally:
            pdf.close()

    def _read(self, pdf: pypdfium2.PdfDocument, data: bytes, source: str) -> Document:
        count = len(pdf)
        if count > self._limits.max_pages:
            raise DocumentTooLarge(
                f"{source!r} has {count:,} pages; the limit is {self._limits.max_pages:,}"
            )
        scanner = Scanner(self._reader or find_reader(), seconds=self._limits.max_seconds)
        pages: list[PageLines] = []
        for start in range(0, count, _PAGES_AT_ONCE):
            # pdfium keeps the fonts and pictures of every page it has seen until it is closed.
            part = pypdfium2.PdfDocument(data)
            try:
                numbers = range(start, min(start + _PAGES_AT_ONCE, count))
                pages += [read_page(part, i, scanner, self._limits) for i in numbers]
            finally:
                part.close()
        _check_text(pages, source, scanner.unread)
        outline = _outline(pdf)
        pages = without_furniture(pages)
        pages = [_with_headings(page, outline.get(page.number, [])) for page in pages]
        found = any(line.level for page in pages for line in page.lines)
        writer = TextWriter()
        write_pages(writer, pages, label=lambda number: _label(pdf, number), headings=not found)
        text, marks = writer.finish()
        meta = {**_meta(pdf), "unread": scanner.unread or None}
        return build(text, source=source, meta=meta, marks=marks)


def _check_text(pages: Sequence[PageLines], source: str, unread: str) -> None:
    lines = [line for page in pages for line in page.lines]
    text = "".join(line.text or "".join(map("".join, line.rows)) for line in lines)
    if not text.strip():
        raise EmptyDocument(
            f"the {len(pages)} pages of {source!r} have no text"
            + (f" ({unread})" if unread else "")
        )
    # What is left of a text layer that cannot be read was no better as a picture.
    if unreadable(text):
        raise EmptyDocument(
            f"the text layer of {source!r} cannot be read: its fonts do not say which letters they "
            f"draw; {INSTALL} reads its pages as pictures"
        )


def _translated(error: pypdfium2.PdfiumError, source: str) -> DocumentError:
    code = getattr(error, "err_code", None)
    if code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
        return EncryptedDocument(
            f"{source!r} is encrypted; a password is needed to open it",
            hint="save a copy without a password",
        )
    return BrokenDocument(f"{source!r} is no PDF that can be read: {error}")


def _outline(pdf: pypdfium2.PdfDocument) -> dict[int, list[tuple[str, int]]]:
    # page number -> titles that are said to begin on it, with their depth from 1
    found: dict[int, list[tuple[str, int]]] = {}
    for i, mark in enumerate(pdf.get_toc(max_depth=8)):
        if i >= _MAX_OUTLINE:
            break
        title, target = mark.get_title(), mark.get_dest()
        page = target.get_index() if target is not None else None
        if title and page is not None:
            found.setdefault(page + 1, []).append((title, mark.level + 1))
    return found


def _with_headings(page: PageLines, titles: Sequence[tuple[str, int]]) -> PageLines:
    # Each title is looked for once, in the lines of its page; two lines may hold it together.
    lines = list(page.lines)
    for title, level in titles:
        wanted = {_key(title), _key(_NUMBERING.sub("", collapse(title)))} - {""}
        for i, line in enumerate(lines):
            if line.level:
                continue
            if _keys(line.text) & wanted:
                lines[i] = replace(line, level=level)
                break
            if i + 1 < len(lines) and _keys(f"{line.text} {lines[i + 1].text}") & wanted:
                lines[i : i + 2] = [_merged(line, lines[i + 1], level)]
                break
    return replace(page, lines=tuple(lines))


def _merged(first: Line, second: Line, level: int) -> Line:
    return replace(
        first,
        text=f"{first.text} {second.text}",
        x1=max(first.x1, second.x1),
        bottom=second.bottom,
        level=level,
    )


def _keys(text: str) -> set[str]:
    if len(text) > 300:
        return set()
    return {_key(text), _key(_NUMBERING.sub("", collapse(text)))}


def _key(text: str) -> str:
    return _KEY.sub("", text).lower()


def _label(pdf: pypdfium2.PdfDocument, number: int) -> str:
    return collapse(str(pdf.get_page_label(number - 1) or ""))


def _meta(pdf: pypdfium2.PdfDocument) -> dict[str, Scalar]:
    info = pdf.get_metadata_dict(skip_empty=True)
    title = collapse(info.get("Title", ""))
    meta: dict[str, Scalar] = {
        "author": info.get("Author"),
        "date": info.get("CreationDate") or info.get("ModDate"),
        "type": "pdf",
    }
    if title and not _MADE_UP_TITLE.fullmatch(title):
        meta["title"] = title
    return meta

"""DOCX, PPTX, XLSX, EPUB, ODT, ODS, RTF and the old binary formats in, their text out.

The parsing is kreuzberg's (Rust); what it finds is written here, block by block, so that offsets
are true. EPUB is read by the HTML room, chapter by chapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import kreuzberg

from ragstack.documents.build import build
from ragstack.documents.docxtables import Frame, WordTable, word_tables
from ragstack.documents.entities import restored, without_references
from ragstack.documents.epub import write_epub
from ragstack.documents.limits import Limits, check_bytes
from ragstack.documents.ole import ole_kind
from ragstack.documents.structure import write_structure
from ragstack.documents.writer import TextWriter
from ragstack.documents.zips import Package, zip_kind
from ragstack.errors import (
    BrokenDocument,
    DocumentError,
    DocumentTooLarge,
    EncryptedDocument,
    UnsupportedDocument,
)
from ragstack.types import Document, Scalar

__all__ = ["OfficeLoader"]

_OPEN = "application/vnd.openxmlformats-officedocument."
_MEDIA_TYPES = {
    "docx": _OPEN + "wordprocessingml.document",
    "pptx": _OPEN + "presentationml.presentation",
    "xlsx": _OPEN + "spreadsheetml.sheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "rtf": "application/rtf",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
}
_SHEETS = ("xlsx", "xls", "ods")
_SLIDES = ("pptx", "ppt")
_SLIDE_PART = re.compile(r"ppt/slides/slide\d+\.xml")
_PICTURE = re.compile(rb"<p:pic\b.*?</p:pic>", re.DOTALL)
_BODY = "word/document.xml"
_PASSWORD = re.compile(r"password|encrypt|protected", re.IGNORECASE)


class OfficeLoader:
    """Reads office documents and electronic books."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        package = self._package(data, source)
        kind = zip_kind(package) if package else _kind_without_zip(data, source)
        writer = TextWriter()
        if package and kind == "epub":
            meta = write_epub(writer, package, limits=self._limits, source=source)
        elif kind in _MEDIA_TYPES:
            found = _extracted(data, kind, package, source)
            meta = self._write(writer, found, kind, source, _tables(package, kind))
        else:
            raise UnsupportedDocument(f"{source!r} is no office document that a loader reads")
        text, marks = writer.finish()
        return build(text, source=source, meta={**meta, "type": kind}, marks=marks)

    def _package(self, data: bytes, source: str) -> Package | None:
        if data.startswith(b"PK"):
            return Package(data, limits=self._limits, source=source)
        return None

    def _write(
        self,
        writer: TextWriter,
        found: kreuzberg.ExtractionResult,
        kind: str,
        source: str,
        tables: Sequence[WordTable | Frame] | None,
    ) -> dict[str, Scalar]:
        meta: Mapping[str, Any] = dict(found.metadata)
        pages = meta.get("sheet_count") or (meta.get("pages") or {}).get("total_count") or 0
        if isinstance(pages, int) and pages > self._limits.max_pages:
            raise DocumentTooLarge(
                f"{source!r} has {pages:,} pages; the limit is {self._limits.max_pages:,}"
            )
        nodes: list[Mapping[str, Any]] = list(found.document["nodes"]) if found.document else []
        nodes = restored(nodes) if kind == "docx" else nodes
        unit = "sheet" if kind in _SHEETS else "slide" if kind in _SLIDES else ""
        write_structure(writer, nodes, unit=unit, tables=tables)
        if not nodes:
            writer.block(found.content)
        return _meta(meta)


def _tables(package: Package | None, kind: str) -> list[WordTable | Frame] | None:
    # kreuzberg flattens tables within cells and shifts rows that begin late.
    if package is None or kind != "docx" or _BODY not in package.names:
        return None
    return word_tables(package.read(_BODY))


def _kind_without_zip(data: bytes, source: str) -> str:
    if data.lstrip()[:5] == b"{\\rtf":
        return "rtf"
    kind = ole_kind(data)
    if kind == "encrypted":
        raise EncryptedDocument(
            f"{source!r} is encrypted; a password is needed to open it",
            hint="save a copy without a password",
        )
    return kind


def _extracted(
    data: bytes, kind: str, package: Package | None, source: str
) -> kreuzberg.ExtractionResult:
    if kind == "docx" and package is not None:
        data = without_references(package) or data
    try:
        return _parsed(data, kind, source)
    except BrokenDocument as error:
        if kind != "pptx" or package is None or "Image" not in str(error):
            raise
    # A slide whose picture is damaged still has its text: read it again without pictures.
    slides = [name for name in package.names if _SLIDE_PART.fullmatch(name)]
    bare = package.rewritten((name, _PICTURE.sub(b"", package.read(name))) for name in slides)
    return _parsed(bare, kind, source)


def _parsed(data: bytes, kind: str, source: str) -> kreuzberg.ExtractionResult:
    config = kreuzberg.ExtractionConfig(
        output_format="markdown",
        use_cache=False,
        enable_quality_processing=False,
        include_document_structure=True,
        pages=kreuzberg.PageConfig(extract_pages=True, insert_page_markers=kind in _SLIDES),
    )
    try:
        return kreuzberg.extract_bytes_sync(data, _MEDIA_TYPES[kind], config)
    except (kreuzberg.KreuzbergError, OSError, ValueError, RuntimeError, OverflowError) as error:
        raise _translated(error, source) from error
    except BaseException as error:
        # A panic in Rust comes as an exception that is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise BrokenDocument(f"{source!r} made its parser fail: {error}") from error


def _translated(error: Exception, source: str) -> DocumentError:
    said = str(error).strip() or type(error).__name__
    if _PASSWORD.search(said):
        return EncryptedDocument(f"{source!r} is encrypted: {said}")
    if isinstance(error, kreuzberg.ValidationError) and "Unsupported" in said:
        return UnsupportedDocument(f"{source!r} cannot be read: {said}")
    return BrokenDocument(f"{source!r} cannot be read: {said}")


def _meta(said: Mapping[str, Any]) -> dict[str, Scalar]:
    core: Mapping[str, Any] = said.get("core_properties") or {}
    authors = said.get("authors") or []
    author = ", ".join(str(name) for name in authors) if isinstance(authors, list) else authors
    found: dict[str, Any] = {
        "title": said.get("title") or core.get("title") or said.get("subject"),
        "author": author or said.get("created_by") or said.get("from_email"),
        "date": said.get("created_at") or said.get("modified_at"),
        "language": said.get("language") or core.get("language"),
    }
    return {key: str(value) for key, value in found.items() if value}

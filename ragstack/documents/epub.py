"""An electronic book (EPUB 2 and 3) in, its chapters written in reading order out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from urllib.parse import unquote
from xml.etree import ElementTree

from ragstack.documents.decode import decode
from ragstack.documents.html import write_page
from ragstack.documents.limits import Limits
from ragstack.documents.writer import TextWriter
from ragstack.documents.zips import Package
from ragstack.errors import BrokenDocument, EncryptedDocument
from ragstack.types import Scalar

__all__ = ["write_epub"]

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)
_FONT = re.compile(r"\.(?:otf|ttf|woff2?)$", re.IGNORECASE)


def write_epub(
    writer: TextWriter, package: Package, *, limits: Limits, source: str
) -> dict[str, Scalar]:
    """Write the chapters of a book and return what it says of itself.

    Raises:
        BrokenDocument: Its container or its list of contents cannot be read.
        EncryptedDocument: Its chapters are encrypted (DRM).
    """
    _check_encryption(package, source)
    container = _xml(package.read(_CONTAINER), source)
    root = container.find(".//{*}rootfile")
    path = root.get("full-path", "") if root is not None else ""
    content = _xml(package.read(path), source)
    folder = posixpath.dirname(path)
    items = {
        item.get("id", ""): (unquote(item.get("href", "")), item.get("media-type", ""))
        for item in content.iterfind(".//{*}manifest/{*}item")
    }
    known = set(package.names)
    for reference in content.iterfind(".//{*}spine/{*}itemref"):
        href, media_type = items.get(reference.get("idref", ""), ("", ""))
        name = posixpath.normpath(posixpath.join(folder, href.partition("#")[0]))
        if name in known and (media_type in _PAGES or name.endswith(("html", "htm"))):
            chapter = decode(package.read(name), source=source, declared="")
            write_page(writer, chapter, limits=limits, source=source, whole=True)
    return _meta(content)


def _meta(content: ElementTree.Element) -> dict[str, Scalar]:
    said: Mapping[str, list[str]] = {
        name: [
            " ".join("".join(element.itertext()).split())
            for element in content.iterfind(f".//{{http://purl.org/dc/elements/1.1/}}{name}")
        ]
        for name in ("title", "creator", "date", "language")
    }
    found = {
        "title": said["title"][:1],
        "author": said["creator"],
        "date": said["date"][:1],
        "language": said["language"][:1],
    }
    return {key: ", ".join(values) for key, values in found.items() if any(values)}


def _check_encryption(package: Package, source: str) -> None:
    if _ENCRYPTION not in package.names:
        return
    for element in _xml(package.read(_ENCRYPTION), source).iter():
        uri = element.get("URI")
        # Fonts are often garbled to protect them; the text is readable then.
        if uri and not _FONT.search(uri):
            raise EncryptedDocument(f"the chapters of {source!r} are encrypted (DRM)")


def _xml(data: bytes, source: str) -> ElementTree.Element:
    if _ENTITY.search(data):
        raise BrokenDocument(f"{source!r} declares entities, which are not read")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BrokenDocument(f"the contents of {source!r} cannot be read: {error}") from error

"""HTML in, readable Markdown-like text out; scripts, navigation and what is hidden are left out.

The page's own metadata (title, author, date, language, OpenGraph) become typed metadata.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ragstack.documents.build import build
from ragstack.documents.decode import decode
from ragstack.documents.htmltext import write_html
from ragstack.documents.limits import Limits, check_bytes
from ragstack.documents.writer import TextWriter
from ragstack.errors import DocumentTooLarge
from ragstack.types import Document, Scalar

__all__ = ["HtmlLoader", "html_meta", "write_page"]

_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?([\w.:-]+)""", re.I
)
_HEAD = 4096
_TAG = re.compile(r"<(/?)([a-zA-Z][\w:-]*)[^<>]*?(/?)>")
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"]
)
_OPTIONAL_END = frozenset(["p", "li", "td", "th", "tr", "dt", "dd", "option", "tbody", "thead"])
_FIELDS = {
    "title": ("og:title", "dc.title", "citation_title", "twitter:title"),
    "author": ("author", "article:author", "dc.creator", "citation_author", "byl"),
    "date": (
        "article:published_time", "date", "dc.date", "dcterms.date", "datepublished", "pubdate",
        "citation_publication_date", "dcterms.created", "og:updated_time",
        "article:modified_time", "last-modified",
    ),
    "language": ("language", "dc.language", "content-language", "og:locale"),
    "description": ("description", "og:description"),
}  # fmt: skip


class HtmlLoader:
    """Reads HTML and XHTML pages."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def load(self, data: bytes, *, source: str) -> Document:
        """Return the document; see ``protocols.Loader``."""
        check_bytes(len(data), self._limits, source)
        found = _CHARSET.search(data[:_HEAD])
        declared = found[1].decode("ascii", "replace") if found else ""
        # A page that could be read as ASCII far enough to find the declaration is not UTF-16.
        declared = "" if declared.lower().startswith(("utf-16", "utf-32")) else _web_name(declared)
        text = decode(data, source=source, declared=declared)
        writer = TextWriter()
        meta = write_page(writer, text, limits=self._limits, source=source)
        body, marks = writer.finish()
        return build(body, source=source, meta={**meta, "type": "html"}, marks=marks)


def write_page(
    writer: TextWriter, text: str, *, limits: Limits, source: str, whole: bool = False
) -> dict[str, Scalar]:
    """Write a page and return its metadata.

    Args:
        whole: Keep everything that is shown, navigation and page headers too: mail, book chapters.

    Raises:
        DocumentTooLarge: Its elements are nested too deep.
    """
    _check_depth(text, limits, source)
    tree = LexborHTMLParser(text)
    body = tree.body or tree.root
    if body is not None:
        write_html(writer, body, whole=whole, max_depth=limits.max_depth)
    return html_meta(tree)


def html_meta(tree: LexborHTMLParser) -> dict[str, Scalar]:
    """Return what the page's head and its first ``time`` say, under the typed keys."""
    said: dict[str, str] = {}
    for node in tree.css("meta"):
        attributes = node.attributes
        name = attributes.get("property") or attributes.get("name") or attributes.get("itemprop")
        name = (name or attributes.get("http-equiv") or "").lower()
        content = attributes.get("content")
        if name and content and content.strip():
            said.setdefault(name, content)
    meta: dict[str, Scalar] = {}
    for key, names in _FIELDS.items():
        meta[key] = next((said[name] for name in names if name in said), None)
    title = tree.css_first("head > title") or tree.css_first("title")
    if title is not None and title.text().strip():
        meta["title"] = title.text()
    root = tree.css_first("html")
    declared = root.attributes.get("lang") or root.attributes.get("xml:lang") if root else None
    meta["language"] = declared or meta["language"]
    meta["date"] = meta["date"] or _published(tree)
    return {key: value for key, value in meta.items() if value}


def _published(tree: LexborHTMLParser) -> str | None:
    node: LexborNode | None = tree.css_first("article time[datetime], time[pubdate][datetime]")
    return node.attributes.get("datetime") if node is not None else None


def _web_name(declared: str) -> str:
    # What browsers do: these three names mean the Windows encoding on the web.
    western = ("iso-8859-1", "latin1", "us-ascii", "ascii", "iso8859-1")
    return "cp1252" if declared.lower() in western else declared


def _check_depth(text: str, limits: Limits, source: str) -> None:
    # Before the parser sees it: it builds and frees its tree by recursion of its own.
    if text.count("<") <= limits.max_depth:
        return
    depth = 0
    for closing, name, empty in _TAG.findall(text):
        name = name.lower()
        if empty or name in _VOID or name in _OPTIONAL_END:
            continue
        depth = max(depth - 1, 0) if closing else depth + 1
        if depth > _SLACK * limits.max_depth:
            raise DocumentTooLarge(
                f"the elements of {source!r} are nested more than {limits.max_depth} deep"
            )


# Elements that are never closed look like depth to the scan above but not to the parser.
_SLACK = 40

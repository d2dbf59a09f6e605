"""A tree of HTML elements in, blocks for a TextWriter out. Knows nothing of bytes and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborNode

from ragstack.documents.clean import characters
from ragstack.documents.tables import grid
from ragstack.documents.writer import TextWriter
from ragstack.errors import DocumentTooLarge

__all__ = ["inline_text", "write_html"]

_SKIPPED = frozenset(
    [
        "audio", "base", "button", "canvas", "datalist", "embed", "head", "iframe", "input", "link",
        "map", "meta", "noscript", "object", "option", "param", "rp", "rt", "script", "select",
        "source", "style", "svg", "template", "textarea", "title", "track", "video",
    ]
)  # fmt: skip
_BLOCKS = frozenset(
    [
        "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details",
        "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header",
        "hgroup", "hr", "legend", "li", "main", "menu", "nav", "ol", "p", "section", "summary",
        "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", "html",
    ]
)  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset(["ul", "ol", "menu"])
_CHROME_ROLES = frozenset(["navigation", "banner", "contentinfo", "search", "menu", "menubar"])
_CHROME_CLASSES = frozenset(
    [
        "breadcrumb", "breadcrumbs", "cookie-banner", "mw-editsection", "mw-jump-link", "navbar",
        "mw-portlet", "mw-redirectedfrom", "navbox", "noprint", "reference", "sidebar",
        "site-footer", "skip-link", "vector-menu", "vector-dropdown",
        "mw-indicators", "catlinks", "printfooter", "mw-footer",
    ]
)  # fmt: skip
_HIDDEN_STYLES = ("display:none", "visibility:hidden")
_BREAK = "\x0b"
_MIN_MAIN = 0.3


@dataclass(slots=True)
class _Level:
    """A list that is open: its numbering and how deep it lies."""

    ordered: bool
    indent: int
    number: int = 0


def write_html(
    writer: TextWriter, root: LexborNode, *, whole: bool = False, max_depth: int = 500
) -> None:
    """Write what an element shows: headings, paragraphs, lists, tables, preformatted text.

    Args:
        whole: Keep navigation, page headers and footers too.

    Raises:
        DocumentTooLarge: Elements are nested deeper than ``max_depth``.
    """
    start = root if whole else _main(root)
    before = len(writer)
    _Walk(writer, whole=whole, max_depth=max_depth).run(start)
    if len(writer) == before and not whole:
        # A page of which everything looked like navigation is better read whole than lost.
        _Walk(writer, whole=True, max_depth=max_depth).run(root)


def inline_text(node: LexborNode, *, whole: bool = False) -> str:
    """Return the text of an element on one line, without what is hidden in it."""
    parts: list[str] = []
    stack = [node.child]
    while stack:
        child = stack.pop()
        if child is None:
            continue
        stack.append(child.next)
        if child.is_text_node:
            parts.append(child.text_content or "")
        elif child.is_element_node and not _is_skipped(child, whole):
            if child.tag in _BLOCKS or child.tag == "br":
                parts.append(" ")
            stack.append(child.child)
    return " ".join(characters("".join(parts)).split())


class _Walk:
    """One pass over a tree, with a stack of its own: depth costs memory, not the interpreter's."""

    def __init__(self, writer: TextWriter, *, whole: bool, max_depth: int) -> None:
        self._writer = writer
        self._whole = whole
        self._max_depth = max_depth
        self._inline: list[str] = []
        self._lists: list[_Level] = []
        self._quotes = 0
        self._prefix: str | None = None
        self._gap = 2

    def run(self, root: LexborNode) -> None:
        stack: list[tuple[LexborNode, bool]] = [(root, False)]
        depth = 0
        while stack:
            node, leaving = stack.pop()
            if leaving:
                depth -= 1
                self._leave(node.tag or "")
            elif node.is_text_node:
                self._inline.append(characters(node.text_content or "").replace("\n", " "))
            elif node.is_element_node and not _is_skipped(node, self._whole):
                if not self._enter(node):
                    continue
                depth += 1
                if depth > self._max_depth:
                    raise DocumentTooLarge(
                        f"HTML elements are nested more than {self._max_depth} deep"
                    )
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(list(_children(node))))
        self._flush()

    def _enter(self, node: LexborNode) -> bool:
        # Returns whether the children are to be walked.
        tag = node.tag or ""
        if tag == "br":
            self._inline.append(_BREAK)
            return False
        if tag in _HEADINGS:
            self._flush()
            self._writer.heading(inline_text(node, whole=self._whole), _HEADINGS[tag])
            return False
        if tag in ("pre", "listing", "xmp"):
            self._flush()
            self._writer.code(node.text())
            return False
        if tag == "table":
            return self._enter_table(node)
        if tag in _BLOCKS:
            self._flush()
            self._open(node, tag)
        return True

    def _enter_table(self, node: LexborNode) -> bool:
        self._flush()
        rows = grid(node, inline_text)
        if rows is None:
            return True
        caption = node.css_first("caption")
        self._writer.table(rows, caption=inline_text(caption) if caption is not None else "")
        return False

    def _open(self, node: LexborNode, tag: str) -> None:
        if tag in _LISTS:
            indent = self._lists[-1].indent + 2 if self._lists else 0
            level = _Level(tag == "ol", indent)
            if level.ordered:
                level.number = _start(node)
            self._gap = 1 if self._lists else 2
            self._lists.append(level)
        elif tag == "li":
            level = self._lists[-1] if self._lists else _Level(False, 0)
            bullet = f"{level.number}. " if level.ordered else "- "
            level.number += 1
            self._prefix = " " * level.indent + bullet
        elif tag == "blockquote":
            self._quotes += 1

    def _leave(self, tag: str) -> None:
        if tag not in _BLOCKS:
            return
        self._flush()
        if tag in _LISTS and self._lists:
            self._lists.pop()
            self._gap = 1 if self._lists else 2
        elif tag == "blockquote":
            self._quotes -= 1
        elif tag == "li":
            self._prefix = None

    def _flush(self) -> None:
        text = "".join(self._inline)
        self._inline.clear()
        text = "\n".join(" ".join(line.split()) for line in text.split(_BREAK)).strip()
        if not text:
            return
        prefix, gap = self._prefix, self._gap
        if prefix is None:
            indent = self._lists[-1].indent + 2 if self._lists else 0
            prefix, gap = " " * indent, 1 if self._lists else 2
        self._writer.block(text, prefix="> " * self._quotes + prefix, gap=gap)
        self._prefix = None
        self._gap = 1 if self._lists else 2


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def _start(node: LexborNode) -> int:
    written = node.attributes.get("start") or "1"
    return int(written) if written.isascii() and written.isdigit() and len(written) < 7 else 1


def _is_skipped(node: LexborNode, whole: bool) -> bool:
    tag = node.tag or ""
    if tag in _SKIPPED:
        return True
    attributes = node.attributes
    if not attributes:
        return tag == "nav" and not whole
    style = (attributes.get("style") or "").replace(" ", "").lower()
    if "hidden" in attributes or any(hidden in style for hidden in _HIDDEN_STYLES):
        return True
    return not whole and _is_chrome(node, tag, attributes)


def _is_chrome(node: LexborNode, tag: str, attributes: dict[str, str | None]) -> bool:
    if tag == "nav" or (attributes.get("aria-hidden") == "true" and tag != "math"):
        return True
    if (attributes.get("role") or "").lower() in _CHROME_ROLES:
        return True
    names = (attributes.get("class") or "").lower().split()
    return not _CHROME_CLASSES.isdisjoint(names) and tag not in ("body", "main", "article")


def _main(root: LexborNode) -> LexborNode:
    # A page that names its main part is read from there, if that is where its text is.
    found = root.css("main, [role=main]")
    if len(found) != 1:
        return root
    share = len(found[0].text().strip()) / max(len(root.text().strip()), 1)
    return found[0] if share > _MIN_MAIN else root

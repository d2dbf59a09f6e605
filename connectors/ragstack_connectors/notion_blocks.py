"""Blocks of Notion in, Markdown out. Knows nothing of fetching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plain", "rendered"]

_HEADS = {"heading_1": "## ", "heading_2": "### ", "heading_3": "#### "}  # the page's title is "#"
_LISTED = {"bulleted_list_item": "- ", "toggle": "- "}
_QUOTED = frozenset(["quote", "callout"])
_LINKED = ("bookmark", "embed", "link_preview", "image", "video", "file", "pdf", "audio")


def plain(rich: object) -> str:
    """Return rich text without its styles."""
    if not isinstance(rich, Sequence) or isinstance(rich, str):
        return ""
    return "".join(str(each.get("plain_text", "")) for each in rich if isinstance(each, Mapping))


def rendered(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Return blocks as Markdown, those in them indented or in place."""
    lines: list[str] = []
    number = 0
    before = ""
    for block in blocks:
        kind = str(block.get("type", ""))
        number = number + 1 if kind == "numbered_list_item" else 0
        text = _block(kind, block, number)
        if not text:
            continue
        listed = _is_listed(kind) and _is_listed(before)
        lines += [text] if listed or not lines else ["", text]
        before = kind
    return "\n".join(lines)


def _block(kind: str, block: Mapping[str, Any], number: int) -> str:
    held = block.get(kind)
    held = held if isinstance(held, Mapping) else {}
    text = plain(held.get("rich_text"))
    children = block.get("children") or ()
    if kind in _HEADS:
        head = _HEADS[kind] + text if text else ""
        return "\n\n".join(part for part in (head, rendered(children)) if part)
    if _is_listed(kind):
        return _indented(_mark(kind, held, number) + text, rendered(children))
    if kind in _QUOTED:
        inner = "\n\n".join(part for part in (text, rendered(children)) if part)
        return "\n".join(f"> {line}".rstrip() for line in inner.splitlines())
    if kind == "code":
        return f"```{held.get('language', '')}\n{text}\n```"
    if kind == "table":
        return _table(children)
    if kind == "equation":
        return f"$${held.get('expression', '')}$$"
    if kind in ("child_page", "child_database"):
        return str(held.get("title", ""))
    if kind in _LINKED:
        return _linked(held)
    return "\n\n".join(part for part in (text, rendered(children)) if part)


def _is_listed(kind: str) -> bool:
    return kind in _LISTED or kind in ("numbered_list_item", "to_do")


def _mark(kind: str, held: Mapping[str, Any], number: int) -> str:
    if kind == "to_do":
        return "- [x] " if held.get("checked") else "- [ ] "
    return _LISTED.get(kind, f"{number}. ")


def _indented(head: str, inner: str) -> str:
    return "\n".join([head, *(f"  {line}".rstrip() for line in inner.splitlines())])


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [plain(cell).replace("|", "\\|").replace("\n", " ") for cell in row["table_row"]["cells"]]
        for row in rows
        if isinstance(row.get("table_row"), Mapping)
    ]
    if not cells:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(cells[0]), *lines[1:]])


def _linked(held: Mapping[str, Any]) -> str:
    """Return what is said of a thing elsewhere; addresses that run out within the hour are not."""
    external = held.get("external")
    url = held.get("url") or (external.get("url") if isinstance(external, Mapping) else "")
    caption = plain(held.get("caption")) or str(held.get("name", ""))
    if caption and url:
        return f"[{caption}]({url})"
    return caption or str(url or "")
